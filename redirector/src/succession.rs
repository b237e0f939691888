//! The place of a redirector between its predecessor and its successor: which sockets it serves, and from when.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::RedirectorConfig;
use crate::hand_over::{Offer, Predecessor, PredecessorEvent, take_over};
use crate::sockets::{Activation, Sockets};
use crate::start_error::StartError;

/// Time after which clients in the queue of a systemd socket are answered 503 if the map is still not loaded.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of a start between the predecessor that serves now and the successor that takes over later.
#[derive(Debug)]
pub struct Succession {
    /// Path of the Unix socket at which a serving process waits for its successor.
    path: PathBuf,
    predecessor: Option<Predecessor>,
    /// Copies of the listening sockets, for the successor.
    sockets: Sockets,
    /// Notified when another process took over from the predecessor first.
    overtaken: Notify,
}

impl Succession {
    /// Returns the listening sockets: those of the process that waits at `path` if this one `takes_over`, those that
    /// systemd passed on, or newly bound ones.
    ///
    /// # Errors
    /// Returns a sentence for the operator.
    pub async fn begin(
        path: PathBuf,
        takes_over: bool,
        activation: Activation,
        config: &RedirectorConfig,
    ) -> anyhow::Result<(Sockets, Succession)> {
        let taken = if takes_over { take_over(&path).await.with_context(|| unreachable(&path))? } else { None };
        let (sockets, predecessor) = match taken {
            Some((sockets, predecessor)) => (sockets, Some(predecessor)),
            None => {
                let activated = activation.sockets(config);
                let sockets = activated.and_then(|sockets| sockets.map_or_else(|| Sockets::bind(config), Ok));
                (sockets.map_err(|error| explain(error, &path))?, None)
            }
        };
        let copies = sockets.try_clone().context("cannot duplicate the listening sockets for a successor")?;
        Ok((sockets, Succession { path, predecessor, sockets: copies, overtaken: Notify::new() }))
    }

    /// Waits until clients must be accepted even without a current map.
    ///
    /// The deadline is the end of the predecessor or, without one, the longest time that clients may wait.
    pub async fn start_deadline(&self) {
        match &self.predecessor {
            Some(predecessor) => {
                if predecessor.event().await == PredecessorEvent::Replaced {
                    self.overtaken.notify_one();
                    std::future::pending().await
                }
            }
            None => sleep(QUEUE_TIMEOUT).await,
        }
    }

    /// Waits until another successor has taken over first, which [`Succession::start_deadline`] notices.
    pub async fn overtaken(&self) -> anyhow::Error {
        self.overtaken.notified().await;
        anyhow!("another process took over from the redirector that waits at {} first", self.path.display())
    }

    /// Starts to wait for a successor, then releases the predecessor. At each moment, one process accepts successors.
    pub async fn complete(self) -> Offer {
        let offer = Offer::at(&self.path, self.sockets);
        if let Some(predecessor) = self.predecessor
            && let Err(error) = predecessor.release().await
        {
            tracing::warn!(%error, "predecessor ended before it was released; this process serves");
        }
        offer
    }
}

/// Adds advice to an error if a redirector with the same data directory may use the port.
fn explain(error: StartError, hand_over: &Path) -> anyhow::Error {
    match &error {
        StartError::Listen { error: cause, .. } if cause.kind() == io::ErrorKind::AddrInUse && hand_over.exists() => {
            anyhow!(
                "{error}; if a redirector with this TERN_DATA_DIR has it, replace that one: tern-redirector serve \
                 --take-over"
            )
        }
        _ => error.into(),
    }
}

fn unreachable(path: &Path) -> String {
    format!("cannot take over from the redirector that waits at {} (TERN_DATA_DIR)", path.display())
}
