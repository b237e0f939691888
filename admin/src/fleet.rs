//! The redirectors of an installation, by their own reports. They are for people, and no answer to a change waits for one.

use std::collections::HashMap;
use std::time::Duration;

use tern_common::bus::{MAX_REPLICAS, ReplicaId, ReplicaStatus, SILENT_AFTER};
use tokio::time::Instant;

/// The time for which a redirector that fell silent is shown. One that ends in order is forgotten at once.
const SHOWN_FOR: Duration = Duration::from_secs(10 * 60);

/// The last report of each redirector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet(HashMap<ReplicaId, Report>);

/// A report, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) status: ReplicaStatus,
    at: Instant,
}

impl Report {
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.age() >= SILENT_AFTER
    }
}

impl Fleet {
    /// Notes a report. A silent redirector at the same place is the predecessor of this one, and is forgotten.
    pub(crate) fn note(&mut self, replica: ReplicaId, status: ReplicaStatus) {
        let place = (&status.host, status.address);
        self.0.retain(|other, report| {
            let is_replaced = *other != replica && (&report.status.host, report.status.address) == place;
            report.age() < SHOWN_FOR && !(is_replaced && report.is_silent())
        });
        if self.0.len() < MAX_REPLICAS || self.0.contains_key(&replica) {
            self.0.insert(replica, Report { status, at: Instant::now() });
        }
    }

    pub(crate) fn remove(&mut self, replica: ReplicaId) {
        self.0.remove(&replica);
    }

    /// Returns the redirectors by machine and address.
    pub(crate) fn into_reports(self) -> Vec<(ReplicaId, Report)> {
        let mut reports: Vec<_> = self.0.into_iter().filter(|(_, report)| report.age() < SHOWN_FOR).collect();
        reports.sort_by_cached_key(|(id, Report { status, .. })| (status.host.clone(), status.address, id.to_string()));
        reports
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::time::advance;

    use super::*;

    pub(crate) fn status(port: u16) -> ReplicaStatus {
        ReplicaStatus {
            version: "0.2.0".to_owned(),
            host: "a".to_owned(),
            address: ([127, 0, 0, 1], port).into(),
            links: 2,
            stale_ms: Some(10),
            clicks_waiting: 0,
            oldest_click_ms: 0,
            clicks_dropped: 0,
            room_percent: 100,
            has_no_room: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_redirector_is_shown_until_another_one_has_its_place() {
        let mut fleet = Fleet::default();
        let ports = |fleet: &Fleet| -> Vec<u16> {
            fleet.clone().into_reports().iter().map(|(_, report)| report.status.address.port()).collect()
        };
        let [one, other, next] = std::array::from_fn(|_| ReplicaId::random());
        fleet.note(one, status(2));
        fleet.note(other, status(1));
        assert_eq!(ports(&fleet), [1, 2]);
        // A successor serves beside its predecessor for a while.
        fleet.note(next, status(1));
        assert_eq!(ports(&fleet), [1, 1, 2]);
        advance(SILENT_AFTER).await;
        assert!(fleet.clone().into_reports().iter().all(|(_, report)| report.is_silent()));
        fleet.note(next, status(1));
        assert_eq!(ports(&fleet), [1, 2]);
        fleet.remove(one);
        assert_eq!(ports(&fleet), [1]);
        advance(SHOWN_FOR).await;
        assert_eq!(ports(&fleet), [0; 0]);
    }
}
