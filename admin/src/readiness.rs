//! Whether the process takes part.

use std::sync::atomic::{AtomicBool, Ordering};

use tern_common::store::{AdminStore, Result};

use crate::shared_look::SharedLook;

/// Whether the process takes part: not once it leaves, nor while the database does not answer.
#[derive(Debug, Default)]
pub struct Readiness {
    is_leaving: AtomicBool,
    /// At the database, which everybody may ask for.
    look: SharedLook,
}

impl Readiness {
    /// Whoever asks from here on is told to turn elsewhere.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Checks that the database answers. Clients that ask at the same time share one question to it.
    pub(crate) async fn check(&self, store: &dyn AdminStore) -> Result<()> {
        self.look.look(async || store.ping().await).await
    }
}
