//! A fleet of Tern's processes over a PostgreSQL and a Redis of its own.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]
#![expect(clippy::print_stdout, reason = "what differs is shown")]

pub mod chaos;
pub mod checker;
pub mod clicks;
pub mod disks;
mod fleet;
mod follower;
mod followers;
mod forger;
mod plane;
pub mod propagation;
pub mod roll;
mod session;
mod visitors;

use std::time::{Duration, Instant};

pub use fleet::{Filesystem, Fleet, Held, Relays, Scene, Visible};
pub use forger::{CHANNELS, Eavesdropper, Flood, Forger, Forgery};
pub use plane::Plane;
pub use visitors::{Visitors, Visits};

/// Long enough for a machine that does ten other things; nothing waits so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds` does, and fails when it never does.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Set for a test that `make chaos` runs, which has the machine to itself.
pub const ALONE: &str = "TERN_TEST_ALONE";

/// Returns the longest that something may take: `demanded` of a test that runs alone, and `beside_others` otherwise.
pub fn limit(demanded: Duration, beside_others: Duration) -> Duration {
    if std::env::var_os(ALONE).is_some() { demanded } else { beside_others }
}

/// The value below which `share` of the measured times lie.
pub fn percentile(times: &[Duration], share: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    #[expect(clippy::cast_precision_loss, reason = "nobody measures so often")]
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[index]
}
