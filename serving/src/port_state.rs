//! The state of a port, for handlers whose answers last long.

use tokio::sync::watch;

/// The state of the port that received a request. Each request has it as an extension.
#[derive(Clone, Debug)]
pub struct PortState {
    pub(crate) connections: usize,
    pub(crate) drains: watch::Receiver<bool>,
}

impl PortState {
    /// Returns the most connections that the port has open.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Returns whether the port drains, so that an answer that never ends by itself has to end.
    pub fn is_draining(&self) -> bool {
        *self.drains.borrow()
    }

    /// Waits until the port drains.
    pub async fn drain_began(&mut self) {
        // Without its owner, the port ends, too.
        let _ = self.drains.wait_for(|drains| *drains).await;
    }
}
