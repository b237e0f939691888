//! Upkeep of the journals, every few seconds: adopts orphans, compares states with the store, removes finished journals.

use std::sync::Arc;

use tern_common::click::{JournalId, ShipOutcome};
use tern_common::store::ClickSink;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::backlog::{Backlog, Batch};
use super::shipper::{Journal, Progress, Shipper};
use crate::clicks::journal::{self, directory};

/// The number of codes without a link that one upkeep stores. The rest, each asked for least, is forgotten.
const MOST_MISSES: usize = 200;

impl Shipper {
    /// Adopts an orphan, compares each journal with the store, and removes files that are not needed any more.
    pub(super) async fn upkeep(&mut self, store: &dyn ClickSink) -> Progress {
        block_in_place(|| self.country_file.refresh());
        if block_in_place(|| self.adopt()) {
            // There may be more orphans. One is adopted at a time, so that others are shipped meanwhile.
            self.upkeep_at = Instant::now();
        }
        let known: Vec<JournalId> = self.journals.iter().map(|journal| journal.backlog.journal).collect();
        let states = match store.find_journals(&known).await {
            Ok(states) => states,
            Err(error) => {
                tracing::debug!(%error, "states of journals not read from the store; clicks wait in their journals; trying again");
                return Progress::StoreUnavailable;
            }
        };
        for (index, state) in states.into_iter().enumerate() {
            let backlog = &self.journals[index].backlog;
            if !backlog.is_located() || backlog.stored() != state.map(|state| state.position) {
                self.locate(index, state);
            }
        }
        block_in_place(|| self.space.remove_older(self.keep_shipped));
        self.remove_finished();
        self.store_misses(store).await;
        self.refresh(store).await
    }

    /// Stores the codes that were asked for and that no link has. Without the store, they are counted with the next ones.
    pub(super) async fn store_misses(&self, store: &dyn ClickSink) {
        let misses = self.misses.take(MOST_MISSES);
        if misses.is_empty() {
            return;
        }
        if let Err(error) = store.count_misses(&misses).await {
            tracing::debug!(%error, codes = misses.len(), "codes without a link not stored; they are counted with later ones");
            self.misses.put_back(&misses);
        }
    }

    /// Adopts one journal. Returns whether there was one.
    fn adopt(&mut self) -> bool {
        let found = match directory::journals(&self.root) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "directory of click journals not read; journals of ended processes wait; trying again in 5 seconds");
                return false;
            }
        };
        for id in found {
            if self.journals.iter().any(|journal| journal.backlog.journal == id) {
                continue;
            }
            match journal::adopt(&self.root, id) {
                Ok(Some(orphan)) => {
                    tracing::info!(journal = %id, bytes = orphan.bytes, "journal of an ended process adopted; shipping its clicks");
                    self.journals.push(Journal::new(Backlog::orphan(orphan, Arc::clone(&self.space))));
                    return true;
                }
                Ok(None) => {}
                Err(error) => {
                    self.metrics.read_errors.inc();
                    tracing::error!(
                        journal = %id, %error,
                        "journal of an ended process not adopted; its clicks wait on disk; trying again in 5 seconds"
                    );
                }
            }
        }
        false
    }

    /// Removes journals that are in the store and whose segments are not retained any more.
    ///
    /// The store retains their rows, so that a copy of the files is not shipped again.
    fn remove_finished(&mut self) {
        for finished in self.journals.extract_if(.., |journal| journal.backlog.is_finished()) {
            // The journal is locked until `finished` is dropped.
            if let Err(error) = block_in_place(|| directory::remove(finished.backlog.directory())) {
                tracing::error!(
                    journal = %finished.backlog.journal, %error,
                    "shipped journal not removed; it is adopted and removed again; check the directory's permissions"
                );
            }
        }
    }

    /// Refreshes the rows of idle journals, so that the store does not remove them.
    async fn refresh(&mut self, store: &dyn ClickSink) -> Progress {
        for index in 0..self.journals.len() {
            let journal = &self.journals[index];
            let Some(to) = journal.backlog.stored().filter(|_| Instant::now() >= journal.refresh_at) else { continue };
            match self.send(index, store, to, &Batch::default(), 0).await {
                Ok(ShipOutcome::Committed(state)) => self.on_taken(index, state, None),
                Ok(ShipOutcome::Mismatch(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "row of an idle journal not refreshed; trying again");
                    return Progress::StoreUnavailable;
                }
            }
        }
        Progress::Made
    }
}
