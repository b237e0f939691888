//! The quota of log entries for requests that no token admits.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::http::StatusCode;
use prometheus::{IntCounter, Registry, register_int_counter_with_registry};
use tern_common::budget::{Budget, ClientBudget};

/// Requests of one client that are logged at once, and each second.
const CLIENT_QUOTA: (u32, u32) = (20, 1);

/// Requests of all clients that are logged at once, and each second.
/// The thousand entries that `/logs` shows then cover some minutes under any load.
const TOTAL_QUOTA: (u32, u32) = (200, 2);

/// The quotas of log entries for requests that no token admits.
#[derive(Debug)]
pub(crate) struct LogQuota {
    /// Quota of refused requests.
    refusals: Quota,
    /// Quota of requests that need no token, such as `/health`. Refusals cannot exhaust it.
    answers: Quota,
    unlogged: IntCounter,
    reported: AtomicU64,
}

#[derive(Debug)]
struct Quota {
    client: ClientBudget,
    all: Budget,
}

impl Quota {
    fn new() -> Quota {
        let ((burst, per_second), (all_burst, all_per_second)) = (CLIENT_QUOTA, TOTAL_QUOTA);
        Quota { client: ClientBudget::new(burst, per_second), all: Budget::single(all_burst, all_per_second) }
    }
}

impl LogQuota {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<LogQuota> {
        let unlogged = register_int_counter_with_registry!(
            "tern_admin_requests_unlogged_total",
            "Requests without a valid token that have no log entry because there were too many.",
            registry
        )?;
        Ok(LogQuota { refusals: Quota::new(), answers: Quota::new(), unlogged, reported: AtomicU64::new(0) })
    }

    /// Returns whether a request of this client with this status is logged. If not, it is counted.
    pub(crate) fn take(&self, client: IpAddr, status: StatusCode, now: Instant) -> bool {
        let is_refusal = status.is_client_error() || status.is_server_error();
        let share = if is_refusal { &self.refusals } else { &self.answers };
        let is_logged = share.client.spend(client, now).is_ok() && share.all.spend((), now).is_ok();
        if !is_logged {
            self.unlogged.inc();
        }
        is_logged
    }

    /// Logs the number of requests that were counted since the last report, if there are any.
    pub(crate) fn report(&self) {
        let total = self.unlogged.get();
        let requests = total - self.reported.swap(total, Ordering::Relaxed);
        if requests > 0 {
            tracing::warn!(target: "app", requests, "too many requests without a valid token; their log entries are omitted");
        }
    }
}
