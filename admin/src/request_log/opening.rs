//! The first log entry of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Method;

/// The "request started" entry, which is written once the request is admitted.
#[derive(Clone, Debug)]
pub(crate) struct Opening(Arc<Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) method: Method,
    pub(super) path: String,
    is_written: AtomicBool,
}

impl Opening {
    pub(super) fn new(method: Method, path: String) -> Opening {
        Opening(Arc::new(Entry { method, path, is_written: AtomicBool::new(false) }))
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.0
    }

    /// Writes the entry, unless it is written already.
    pub(crate) fn write(&self) {
        let Entry { method, path, is_written } = &*self.0;
        if !is_written.swap(true, Ordering::Relaxed) {
            tracing::info!(target: "app", method = method.as_str(), path = path.as_str(), "request started");
        }
    }

    pub(super) fn is_written(&self) -> bool {
        self.0.is_written.load(Ordering::Relaxed)
    }
}
