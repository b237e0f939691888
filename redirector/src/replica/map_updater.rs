//! Applies the store's answers to the map. Nothing else writes the map.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tern_common::store::{AgedChange, Cursor, LinkChange, StoreError};

use super::audit::{Audit, Suspects};
use super::fetch::{FetchTimes, StoreAnswer, log_rejected};
use super::file::FileContents;
use super::freshness::Freshness;
use super::loss;
use super::state_machine::Event;
use crate::link_map::{LinkMap, LinkMapWriter, Replacement};
use crate::metrics::ReplicaMetrics;

/// The map, and how far it has followed the store.
#[derive(Debug)]
pub(super) struct MapUpdater {
    writer: LinkMapWriter,
    /// Whether a loss of more than half of the served links is believed.
    allow_shrink: bool,
    cursor: Option<Cursor>,
    /// Whether the map has changed since the snapshot file was last begun.
    is_unsaved: bool,
    /// Whether links may lack fields that the store has: they are of a file whose writer did not know them.
    lacks_fields: bool,
    audit: Option<Audit>,
    /// When the last snapshot, or delta that left nothing, was asked for: it had all that was committed by then.
    /// `None` after a start from the file.
    seen_until: Option<Instant>,
    freshness: Arc<Freshness>,
    metrics: ReplicaMetrics,
}

/// Contents of the next snapshot file. The map may change while it is written.
pub(super) struct NextFile {
    pub(super) cursor: Cursor,
    pub(super) equal_at: SystemTime,
    pub(super) map: Arc<LinkMap>,
}

impl MapUpdater {
    pub(super) fn new(
        writer: LinkMapWriter,
        allow_shrink: bool,
        freshness: Arc<Freshness>,
        metrics: ReplicaMetrics,
    ) -> MapUpdater {
        let (cursor, is_unsaved, lacks_fields, audit, seen_until) = (None, false, false, None, None);
        MapUpdater { writer, allow_shrink, cursor, is_unsaved, lacks_fields, audit, seen_until, freshness, metrics }
    }

    pub(super) fn map(&self) -> &Arc<LinkMap> {
        self.writer.map()
    }

    pub(super) fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    pub(super) fn go_on_from(&mut self, cursor: Cursor) {
        self.cursor = Some(cursor);
    }

    /// Puts the links of the snapshot file into the map. They are not served before [`MapUpdater::serve`].
    pub(super) fn restore(&mut self, stored: FileContents) {
        let FileContents { links, rejected, equal_at, has_all_fields, .. } = stored;
        tracing::info!(links = links.len(), rejected, has_all_fields, "going on from the snapshot file");
        // Millions of links take their time, and this thread has other tasks.
        tokio::task::block_in_place(|| self.writer.replace(links));
        self.lacks_fields = !has_all_fields;
        self.metrics.links.set(gauge(self.map().len()));
        self.freshness.mark_restored(equal_at);
    }

    /// Serves restored links, whether or not the store has told what came since.
    pub(super) fn serve(&mut self, is_current: bool) {
        if !is_current {
            let links = self.map().len();
            let staleness_seconds = self.freshness.staleness().unwrap_or_default().as_secs();
            tracing::error!(
                links,
                staleness_seconds,
                "the store cannot be read; links are served from the snapshot file; the store is asked again"
            );
        }
        self.writer.declare_loaded();
    }

    pub(super) fn apply(&mut self, times: FetchTimes, answer: Result<StoreAnswer, StoreError>) -> Event {
        let event = match answer {
            Ok(StoreAnswer::Snapshot { links, rejected, cursor }) => {
                self.apply_snapshot(links, rejected);
                self.cursor = Some(cursor);
                self.freshness.mark(times.at);
                self.seen_until = Some(times.since);
                Event::SnapshotApplied
            }
            Ok(StoreAnswer::Delta { changes, cursor, more }) => {
                let count = changes.len();
                self.apply_changes(changes, times.answered);
                self.cursor = Some(cursor);
                if !more {
                    self.seen_until = Some(times.since);
                    self.freshness.mark(times.at);
                    if times.ends_audit {
                        self.conclude_audit();
                    }
                }
                self.metrics.delta_seconds.observe(times.since.elapsed().as_secs_f64());
                Event::DeltaApplied { changes: count, more }
            }
            Ok(StoreAnswer::TooOld) => {
                tracing::info!("the change log does not reach back to our cursor; loading every link");
                return Event::CursorTooOld;
            }
            Err(error) => {
                tracing::warn!(%error, "the store did not answer; redirects go on from what is loaded");
                self.metrics.store_failures.inc();
                return Event::StoreFailed;
            }
        };
        self.metrics.links.set(gauge(self.map().len()));
        event
    }

    fn apply_snapshot(&mut self, links: Replacement, rejected: u64) {
        self.metrics.rejected_rows.inc_by(rejected);
        tracing::info!(links = links.len(), rejected, "every link was loaded");
        self.metrics.snapshots.inc();
        // Millions of links take their time, and this thread has other tasks.
        tokio::task::block_in_place(|| self.replace_without_loss(links));
        // An audit under way is about a map that is no more.
        if let Some(audit) = &mut self.audit {
            audit.void();
        }
        (self.is_unsaved, self.lacks_fields) = (true, false);
    }

    /// Makes the map hold `links`. If they are less than half of those that are served, the others stay.
    fn replace_without_loss(&mut self, links: Replacement) {
        let found = links.len();
        let is_loss = self.is_refused_loss(found);
        self.writer.commit(if is_loss { loss::merged(self.map(), links) } else { links });
        self.metrics.refused_removals.set(if is_loss { gauge(self.map().len().saturating_sub(found)) } else { 0 });
    }

    /// Returns whether so few links would be left that none is removed; if so, it is logged and counted.
    fn is_refused_loss(&self, left: usize) -> bool {
        let held = self.map().len();
        let is_refused = loss::is_suspicious(held, left) && !self.allow_shrink;
        if is_refused {
            self.metrics.refused_snapshots.inc();
            tracing::error!(
                held,
                left,
                "the store has lost most links; they are served on, and all other changes are taken; restore the \
                 store, or restart with REPLICA_ALLOW_SHRINK=true if they were deleted"
            );
        }
        is_refused
    }

    fn apply_changes(&mut self, changes: Vec<AgedChange>, read_at: Instant) {
        self.metrics.deltas.inc();
        self.metrics.changes.inc_by(changes.len() as u64);
        self.is_unsaved |= !changes.is_empty();
        // A change may have to make the table grow, which takes as long as a load.
        tokio::task::block_in_place(|| {
            for AgedChange { change, age } in changes {
                self.apply_change(change);
                self.measure(age, read_at);
            }
            self.writer.sweep();
        });
    }

    fn apply_change(&mut self, change: LinkChange) {
        if let Some(audit) = &mut self.audit {
            audit.touch(change.short_code());
        }
        match change {
            LinkChange::Put(row) => {
                if let Err(error) = self.writer.put(&row) {
                    log_rejected(row.url_id, error);
                    self.metrics.rejected_rows.inc();
                    // What cannot be served leaves what was; but switching a link off needs no target.
                    if !row.is_active {
                        self.writer.deactivate(&row.short_code);
                    }
                }
            }
            LinkChange::Removed { short_code } => self.writer.remove(&short_code),
        }
    }

    /// Notes how long it took from a commit until now, when the change is served.
    fn measure(&self, age: Option<Duration>, read_at: Instant) {
        // Whatever its age, what the last delta did not bring was not committed yet when that was asked for.
        if let (Some(age), Some(seen_until)) = (age, self.seen_until) {
            let took = seen_until.elapsed().min(age + read_at.elapsed());
            self.metrics.propagation_seconds.observe(took.as_secs_f64());
        }
    }

    /// Begins an audit, unless one is under way, the map is not served yet, or links lack fields. Returns whether it did.
    pub(super) fn begin_audit(&mut self) -> bool {
        let begins = self.audit.is_none() && self.map().is_loaded() && !self.lacks_fields;
        if begins {
            self.audit = Some(Audit::default());
        }
        begins
    }

    /// Whether the next delta that leaves nothing ends an audit.
    pub(super) fn awaits_delta(&self) -> bool {
        self.audit.as_ref().is_some_and(Audit::awaits_delta)
    }

    /// Takes what an audit found, which is judged by a delta that is yet to be asked for. Without anything, the audit failed.
    pub(super) fn take_suspects(&mut self, suspects: Option<Suspects>) {
        match (suspects, &mut self.audit) {
            (Some(suspects), Some(audit)) => audit.found(suspects),
            _ => self.audit = None,
        }
    }

    /// Puts right what differs. A code that looked different is wrong unless a delta has brought it meanwhile.
    fn conclude_audit(&mut self) {
        let Some(audit) = self.audit.take() else { return };
        self.metrics.audits.inc();
        let wrong = audit.conclude();
        let removals = wrong.values().filter(|row| row.is_none()).count();
        if !wrong.is_empty() {
            self.metrics.divergent.inc_by(wrong.len() as u64);
            let example = wrong.keys().next();
            tracing::error!(codes = wrong.len(), removals, example, "the map differed from the store");
        }
        let is_loss = self.is_refused_loss(self.map().len().saturating_sub(removals));
        self.metrics.refused_removals.set(if is_loss { gauge(removals) } else { 0 });
        self.is_unsaved |= !wrong.is_empty();
        tokio::task::block_in_place(|| {
            for (code, row) in wrong {
                match row {
                    Some(row) => self.writer.put(&row).expect("a suspect was checked when it was found"),
                    None if is_loss => {}
                    None => self.writer.remove(&code),
                }
            }
        });
    }

    /// Returns what a snapshot file has to hold, if the map has changed since this was last asked.
    ///
    /// Links that may lack fields are not written: the file would claim that its writer knew them.
    pub(super) fn take_next_file(&mut self) -> Option<NextFile> {
        if !self.is_unsaved || self.lacks_fields {
            return None;
        }
        let (cursor, equal_at) = (self.cursor.clone()?, self.freshness.equal_at()?);
        self.is_unsaved = false;
        Some(NextFile { cursor, equal_at, map: Arc::clone(self.map()) })
    }

    /// Notes that what was taken last is not in the file.
    pub(super) fn mark_unsaved(&mut self) {
        self.is_unsaved = true;
    }
}

/// Returns a gauge's form of a count.
fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
