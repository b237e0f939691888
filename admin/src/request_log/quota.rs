//! How many log entries the requests have that no token admits: some for each client, and a count of the others.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::http::StatusCode;
use prometheus::{IntCounter, Registry, register_int_counter_with_registry};
use tern_common::budget::{Budget, ClientBudget};

/// Requests of one client that are logged at once, and a second.
const OF_A_CLIENT: (u32, u32) = (20, 1);

/// Requests of all clients together: the thousand entries that `/logs` shows reach back some minutes in any case.
const OF_ALL: (u32, u32) = (200, 2);

/// Quotas of log entries for requests without a token that is good for them.
#[derive(Debug)]
pub(crate) struct LogQuota {
    /// Refusals, and answers that need no token, such as those of `/health`: neither can use up the other's quota.
    refusals: Share,
    answers: Share,
    unlogged: IntCounter,
    reported: AtomicU64,
}

#[derive(Debug)]
struct Share {
    client: ClientBudget,
    all: Budget,
}

impl Share {
    fn new() -> Share {
        let ((burst, per_second), (all_burst, all_per_second)) = (OF_A_CLIENT, OF_ALL);
        Share { client: ClientBudget::new(burst, per_second), all: Budget::single(all_burst, all_per_second) }
    }
}

impl LogQuota {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<LogQuota> {
        let unlogged = register_int_counter_with_registry!(
            "tern_admin_requests_unlogged_total",
            "Requests without a good token that have no log entry, since there were too many.",
            registry
        )?;
        Ok(LogQuota { refusals: Share::new(), answers: Share::new(), unlogged, reported: AtomicU64::new(0) })
    }

    /// Whether a request of this client and with this answer is logged. If not, it is counted.
    pub(crate) fn take(&self, client: IpAddr, status: StatusCode, now: Instant) -> bool {
        let is_refusal = status.is_client_error() || status.is_server_error();
        let share = if is_refusal { &self.refusals } else { &self.answers };
        let is_logged = share.client.spend(client, now).is_ok() && share.all.spend((), now).is_ok();
        if !is_logged {
            self.unlogged.inc();
        }
        is_logged
    }

    /// Logs how many requests were counted since the last report, if any were.
    pub(crate) fn report(&self) {
        let total = self.unlogged.get();
        let requests = total - self.reported.swap(total, Ordering::Relaxed);
        if requests > 0 {
            tracing::warn!(target: "app", requests, "too many requests without a token; they are counted here and not logged");
        }
    }
}
