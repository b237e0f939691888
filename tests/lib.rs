//! Fleets of Tern's processes over a PostgreSQL and a Redis of their own.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]
#![expect(clippy::print_stdout, reason = "the differences are printed")]

pub mod chaos;
pub mod checker;
pub mod clicks;
pub mod cluster;
pub mod disks;
mod fleet;
mod follower;
mod followers;
mod forger;
pub mod limits;
pub mod long_log;
mod plane;
pub mod propagation;
pub mod roll;
mod session;
mod visitors;

use std::time::{Duration, Instant};

pub use fleet::{Filesystem, Fleet, FleetOptions, OpenTransaction, Relays, Visible};
pub use forger::{BusListener, CHANNELS, Flood, Forger, Forgery};
pub use plane::Plane;
pub use visitors::{Visitors, Visits};

/// Longest wait for any condition, for a machine that runs ten other things.
const WAIT_LIMIT: Duration = Duration::from_secs(90);

/// Waits until `holds` returns true, for [`WAIT_LIMIT`] at most.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < WAIT_LIMIT, "condition not met in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Variable that `make chaos` sets for a test that has the machine to itself.
pub const ALONE: &str = "TERN_TEST_ALONE";

/// Returns `demanded` for a test that runs alone, and `beside_others` otherwise.
pub fn limit(demanded: Duration, beside_others: Duration) -> Duration {
    if std::env::var_os(ALONE).is_some() { demanded } else { beside_others }
}

/// Returns the time below which `share` of the measured times lie.
pub fn percentile(times: &[Duration], share: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    #[expect(clippy::cast_precision_loss, reason = "the number of samples is small")]
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[index]
}
