//! Counts messages that were received and not passed on.

use prometheus::{IntCounterVec, Opts};

/// The reason to ignore an announcement whose seal does not fit.
pub(super) const FORGED: &str = "forged";

/// Messages that were received and not passed on, by reason.
#[derive(Clone, Debug)]
pub(super) struct Ignored(pub(super) IntCounterVec);

impl Ignored {
    pub(super) fn new() -> Ignored {
        let help =
            "Bus messages that were not passed on: too long, unreadable, forged, or more than the receiver could take.";
        let counters = IntCounterVec::new(Opts::new("tern_bus_messages_ignored_total", help), &["reason"])
            .expect("the name and the label are well formed");
        Ignored(counters)
    }

    pub(super) fn count(&self, reason: &str) {
        self.0.with_label_values(&[reason]).inc();
    }
}
