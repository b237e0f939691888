//! The readiness of the process, which `/ready` reports.

use std::sync::atomic::{AtomicBool, Ordering};

use tern_common::store::{AdminStore, Result};

use crate::shared_call::SharedCall;

/// The readiness of the process: it ends with the notice of a shutdown, or while the database does not answer.
#[derive(Debug, Default)]
pub struct Readiness {
    is_ending: AtomicBool,
    /// The check of the database, which any client may ask for.
    check: SharedCall,
}

impl Readiness {
    /// Ends readiness, so that load balancers send new requests to other processes.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Checks that the database answers. Clients that ask at the same time share one call.
    pub(crate) async fn check(&self, store: &dyn AdminStore) -> Result<()> {
        self.check.run(async || store.ping().await).await
    }
}
