//! Upkeep of the journals, every few seconds: adopts orphans, compares states with the store, removes finished journals.

use std::sync::Arc;

use tern_common::click::{JournalId, Shipped};
use tern_common::store::ClickSink;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::backlog::{Backlog, Batch};
use super::shipper::{Journal, Progress, Shipper};
use crate::clicks::journal::{self, directory};

impl Shipper {
    /// Adopts journals of ended processes, compares each journal with the store, and removes what is not needed any more.
    pub(super) async fn upkeep(&mut self, store: &dyn ClickSink) -> Progress {
        if block_in_place(|| self.adopt()) {
            // There may be more of them; one at a time, so that others are shipped meanwhile.
            self.upkeep_at = Instant::now();
        }
        let known: Vec<JournalId> = self.journals.iter().map(|journal| journal.backlog.journal).collect();
        let states = match store.find_journals(&known).await {
            Ok(states) => states,
            Err(error) => {
                tracing::debug!(%error, "the store was not asked where the journals stand");
                return Progress::Away;
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
        self.refresh(store).await
    }

    /// Adopts one journal. Returns whether there was one.
    fn adopt(&mut self) -> bool {
        let found = match directory::journals(&self.root) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the journals of clicks could not be listed");
                return false;
            }
        };
        for id in found {
            if self.journals.iter().any(|journal| journal.backlog.journal == id) {
                continue;
            }
            match journal::adopt(&self.root, id) {
                Ok(Some(orphan)) => {
                    tracing::info!(journal = %id, bytes = orphan.bytes, "took over a journal of clicks");
                    self.journals.push(Journal::new(Backlog::orphan(orphan, Arc::clone(&self.space))));
                    return true;
                }
                Ok(None) => {}
                Err(error) => {
                    self.metrics.read_errors.inc();
                    tracing::error!(journal = %id, %error, "a journal of clicks could not be taken over");
                }
            }
        }
        false
    }

    /// Removes journals of which everything is in the store, and has been for long enough. Their rows stay: a copy of
    /// the files may turn up.
    fn remove_finished(&mut self) {
        for finished in self.journals.extract_if(.., |journal| journal.backlog.is_finished()) {
            // It is locked until it is dropped.
            if let Err(error) = block_in_place(|| directory::remove(finished.backlog.directory())) {
                tracing::error!(journal = %finished.backlog.journal, %error, "a journal could not be removed");
            }
        }
    }

    /// Shows the store that journals are still there to which nothing is written.
    async fn refresh(&mut self, store: &dyn ClickSink) -> Progress {
        for index in 0..self.journals.len() {
            let journal = &self.journals[index];
            let Some(to) = journal.backlog.stored().filter(|_| Instant::now() >= journal.refresh_at) else { continue };
            match self.send(index, store, to, &Batch::default(), 0).await {
                Ok(Shipped::Taken(state)) => self.on_taken(index, state, None),
                Ok(Shipped::Elsewhere(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "a journal could not be shown to be needed");
                    return Progress::Away;
                }
            }
        }
        Progress::Some
    }
}
