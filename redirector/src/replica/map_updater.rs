//! Applies the answers of the store to the map.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tern_common::link_digest::DigestKey;
use tern_common::store::{AgedChange, Cursor, LinkChange, StoreError};

use super::audit::{Audit, AuditStart, Suspects};
use super::fetch::{FetchTimes, StoreAnswer, log_rejected};
use super::file::FileContents;
use super::freshness::Freshness;
use super::loss;
use super::state_machine::Event;
use super::touched::Touched;
use super::unsaved::{Save, Unsaved};
use crate::link_map::{LinkMap, LinkMapWriter, Replacement};
use crate::metrics::ReplicaMetrics;

/// The writer of the map, with the cursor of the map.
#[derive(Debug)]
pub(super) struct MapUpdater {
    writer: LinkMapWriter,
    /// Whether a snapshot or an audit may remove more than half of the served links.
    allow_shrink: bool,
    cursor: Option<Cursor>,
    /// Whether the map is that of the store at the cursor. While deltas catch up, some links are of a later moment.
    is_at_cursor: bool,
    /// Changes since the last write of the snapshot file began.
    unsaved: Unsaved,
    /// Whether links may lack fields, because the writer of the snapshot file did not know them.
    lacks_fields: bool,
    audit: Option<Audit>,
    /// Time of the request whose answer brought the map up to date. All changes committed before it are applied.
    /// `None` after a start from the snapshot file.
    seen_until: Option<Instant>,
    freshness: Arc<Freshness>,
    metrics: ReplicaMetrics,
}

impl MapUpdater {
    pub(super) fn new(
        writer: LinkMapWriter,
        allow_shrink: bool,
        freshness: Arc<Freshness>,
        metrics: ReplicaMetrics,
    ) -> MapUpdater {
        MapUpdater {
            writer,
            allow_shrink,
            cursor: None,
            is_at_cursor: false,
            unsaved: Unsaved::Everything,
            lacks_fields: false,
            audit: None,
            seen_until: None,
            freshness,
            metrics,
        }
    }

    pub(super) fn map(&self) -> &Arc<LinkMap> {
        self.writer.map()
    }

    pub(super) fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// Sets the cursor at which the deltas continue.
    pub(super) fn continue_from(&mut self, cursor: Cursor) {
        self.cursor = Some(cursor);
    }

    /// Puts the links of the snapshot file into the map. They are not served before [`MapUpdater::serve`].
    pub(super) fn restore(&mut self, stored: FileContents) {
        let FileContents { rejected, equal_at, has_all_fields, can_grow, .. } = stored;
        // Millions of links take long, and the thread has other tasks.
        tokio::task::block_in_place(|| stored.restore(&mut self.writer));
        let links = self.map().len();
        tracing::info!(links, rejected, has_all_fields, "links were restored from the snapshot file; deltas follow");
        self.lacks_fields = !has_all_fields;
        self.unsaved = if can_grow { Unsaved::nothing() } else { Unsaved::Everything };
        self.metrics.links.set(gauge(self.map().len()));
        self.freshness.mark_restored(equal_at);
    }

    /// Serves restored links. `is_current` is true if the changes since the file are applied.
    pub(super) fn serve(&mut self, is_current: bool) {
        if !is_current {
            let links = self.map().len();
            let staleness_seconds = self.freshness.staleness().unwrap_or_default().as_secs();
            tracing::error!(
                links,
                staleness_seconds,
                "store is unavailable; old links of the snapshot file are served; the store is asked again"
            );
        }
        self.writer.declare_loaded();
    }

    pub(super) fn apply(&mut self, times: FetchTimes, answer: Result<StoreAnswer, StoreError>) -> Event {
        let event = match answer {
            Ok(StoreAnswer::Snapshot { links, rejected, cursor }) => {
                self.apply_snapshot(links, rejected);
                (self.cursor, self.is_at_cursor) = (Some(cursor), true);
                self.freshness.mark(times.at);
                self.seen_until = Some(times.since);
                Event::SnapshotApplied
            }
            Ok(StoreAnswer::Delta { changes, cursor, more }) => {
                let count = changes.len();
                self.apply_changes(changes, times.answered);
                self.continue_after_failover(&cursor);
                (self.cursor, self.is_at_cursor) = (Some(cursor), !more);
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
                tracing::info!("change log does not reach back to the cursor; every link is loaded");
                return Event::CursorTooOld;
            }
            Err(error) => {
                tracing::warn!(%error, "store did not answer; redirects continue with the loaded links; the store is asked again");
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
        // Millions of links take long, and the thread has other tasks.
        tokio::task::block_in_place(|| self.replace_without_loss(links));
        // A running audit compares a map that no longer exists.
        if let Some(audit) = &mut self.audit {
            audit.void();
        }
        (self.unsaved, self.lacks_fields) = (Unsaved::Everything, false);
    }

    /// Replaces the links of the map. If fewer than half of the served links would be left, none is removed.
    fn replace_without_loss(&mut self, links: Replacement) {
        let found = links.len();
        let is_loss = self.is_refused_loss(found);
        self.writer.commit(if is_loss { loss::merged(self.map(), links) } else { links });
        self.metrics.refused_removals.set(if is_loss { gauge(self.map().len().saturating_sub(found)) } else { 0 });
    }

    /// Returns whether so few links would be left that no removal is allowed. Logs and counts a refusal.
    fn is_refused_loss(&self, left: usize) -> bool {
        let served = self.map().len();
        let is_refused = loss::is_suspicious(served, left) && !self.allow_shrink;
        if is_refused {
            self.metrics.refused_snapshots.inc();
            tracing::error!(
                served,
                left,
                "store has lost most links; they are still served, and all other changes are applied; restore the \
                 store, or restart with REPLICA_ALLOW_SHRINK=true if they were deleted"
            );
        }
        is_refused
    }

    fn apply_changes(&mut self, changes: Vec<AgedChange>, read_at: Instant) {
        self.metrics.deltas.inc();
        self.metrics.changes.inc_by(changes.len() as u64);
        // Many changes take long, and the thread has other tasks.
        tokio::task::block_in_place(|| {
            for AgedChange { change, age } in changes {
                self.apply_change(change);
                self.measure(age, read_at);
            }
            self.writer.sweep();
        });
    }

    /// Adapts to another history of the database, if the new cursor is of another one than the last.
    fn continue_after_failover(&mut self, cursor: &Cursor) {
        if self.cursor.as_ref().is_none_or(|last| last.is_of_history_of(cursor)) {
            return;
        }
        tracing::info!("database failed over; deltas continue without a full load");
        self.metrics.failovers.inc();
        // A running audit may have read changes that the failover undid.
        if let Some(audit) = &mut self.audit {
            audit.void();
        }
        // The cursor of the last snapshot file is of the earlier history, and a restart from it needs a full load.
        self.mark_unsaved();
    }

    fn apply_change(&mut self, change: LinkChange) {
        if let Some(audit) = &self.audit {
            audit.touch(change.short_code(), self.writer.map());
        }
        match change {
            LinkChange::Put(row) => match self.writer.put(&row) {
                Ok(link) => self.unsaved.put(link),
                Err(error) => {
                    log_rejected(row.url_id, error);
                    self.metrics.rejected_rows.inc();
                    // A row that cannot be served leaves the old link, but deactivation needs no valid target.
                    if !row.is_active
                        && let Some(link) = self.writer.deactivate(&row.short_code)
                    {
                        self.unsaved.put(link);
                    }
                }
            },
            LinkChange::Removed { short_code } => self.remove(&short_code),
        }
    }

    fn remove(&mut self, code: &str) {
        self.writer.remove(code);
        self.unsaved.remove(code);
    }

    /// Measures the time from the commit of a change until now, when it is served.
    fn measure(&self, age: Option<Duration>, read_at: Instant) {
        // A change that the previous delta did not contain was committed after the request for that delta.
        if let (Some(age), Some(seen_until)) = (age, self.seen_until) {
            let took = seen_until.elapsed().min(age + read_at.elapsed());
            self.metrics.propagation_seconds.observe(took.as_secs_f64());
        }
    }

    /// Returns whether an audit is possible: none is running, the map is served, and links lack no fields.
    pub(super) fn is_auditable(&self) -> bool {
        self.audit.is_none() && self.map().is_loaded() && !self.lacks_fields
    }

    /// Begins an audit, if one is possible and deltas have caught up.
    pub(super) fn begin_audit(&mut self, key: Option<DigestKey>) -> Option<AuditStart> {
        let at = self.cursor.clone().filter(|_| self.is_auditable() && self.is_at_cursor)?;
        let touched = Arc::new(Touched::new(key.clone()));
        self.audit = Some(Audit::new(Arc::clone(&touched)));
        // A moved link would be in two sums.
        self.writer.pause_compaction(key.is_some());
        let rows = self.metrics.audit_rows.clone();
        Some(AuditStart { at, map: Arc::clone(self.map()), touched, key, rows })
    }

    /// Returns whether the next delta that catches up concludes an audit.
    pub(super) fn awaits_delta(&self) -> bool {
        self.audit.as_ref().is_some_and(Audit::awaits_delta)
    }

    /// Takes the suspects of an audit, which the next delta concludes. `None` ends a failed audit.
    pub(super) fn take_suspects(&mut self, suspects: Option<Suspects>) {
        self.writer.pause_compaction(false);
        match (suspects, &mut self.audit) {
            (Some(suspects), Some(audit)) => audit.set_suspects(suspects),
            _ => self.audit = None,
        }
    }

    /// Corrects the codes that differ. A suspect that a delta has changed meanwhile is no difference.
    fn conclude_audit(&mut self) {
        let Some(wrong) = self.audit.take().and_then(Audit::conclude) else { return };
        self.metrics.audits.inc();
        let removals = wrong.values().filter(|row| row.is_none()).count();
        if !wrong.is_empty() {
            self.metrics.divergent.inc_by(wrong.len() as u64);
            let example = wrong.keys().next();
            tracing::error!(
                codes = wrong.len(),
                removals,
                example,
                "map differed from the store; the codes were corrected; report it as a defect"
            );
        }
        let is_loss = self.is_refused_loss(self.map().len().saturating_sub(removals));
        self.metrics.refused_removals.set(if is_loss { gauge(removals) } else { 0 });
        tokio::task::block_in_place(|| {
            for (code, row) in wrong {
                match row {
                    Some(row) => {
                        self.unsaved.put(self.writer.put(&row).expect("a suspect was checked when it was found"));
                    }
                    None if is_loss => {}
                    None => self.remove(&code),
                }
            }
        });
    }

    /// Returns the contents of the next write of the snapshot file, if the map has changed since the last call.
    ///
    /// Links that may lack fields are not written, because the file would claim that its writer knew them.
    pub(super) fn take_unsaved(&mut self) -> Option<Save> {
        if self.lacks_fields {
            return None;
        }
        let (cursor, equal_at) = (self.cursor.clone()?, self.freshness.equal_at()?);
        Some(Save { cursor, equal_at, unsaved: self.unsaved.take()?, map: Arc::clone(self.map()) })
    }

    pub(super) fn unsaved(&self) -> &Unsaved {
        &self.unsaved
    }

    /// Notes that the contents taken last were not written.
    pub(super) fn mark_unsaved(&mut self) {
        self.unsaved = Unsaved::Everything;
    }
}

/// Converts a count for a gauge.
fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
