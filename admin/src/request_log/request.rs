//! Facts about a request, found once for the log and for the guard of its route.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Method;

/// A request that the log follows.
#[derive(Debug)]
pub(crate) struct LoggedRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(crate) client: IpAddr,
    /// Whether the API answers the request without a token.
    pub(crate) is_open: bool,
    is_started: AtomicBool,
}

impl LoggedRequest {
    pub(super) fn new(method: Method, path: String, client: IpAddr, is_open: bool) -> LoggedRequest {
        LoggedRequest { method, path, client, is_open, is_started: AtomicBool::new(false) }
    }

    /// Writes the entry "request started" the first time.
    pub(crate) fn log_start(&self) {
        if !self.is_started.swap(true, Ordering::Relaxed) {
            let (method, path) = (self.method.as_str(), self.path.as_str());
            tracing::info!(target: "app", method, path, "request started");
        }
    }

    pub(super) fn is_started(&self) -> bool {
        self.is_started.load(Ordering::Relaxed)
    }
}
