//! What the shipper does now and then: takes journals over, asks the store about all of them, and removes what is done.

use std::sync::Arc;

use tern_common::click::{JournalId, Shipped};
use tern_common::store::Store;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::backlog::{Backlog, Batch};
use super::shipper::{Journal, Progress, Shipper};
use crate::clicks::journal;

impl Shipper {
    /// Takes over what ended processes have left, asks the store whether it still has what it had, and removes what
    /// nobody will ask for any more.
    pub(super) async fn look_around(&mut self, store: &dyn Store) -> Progress {
        if block_in_place(|| self.take_over()) {
            // There may be more of them; one at a time, so that others are shipped meanwhile.
            self.look_at = Instant::now();
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

    /// Takes over one journal; whether there was one.
    fn take_over(&mut self) -> bool {
        let found = match journal::journals(&self.root) {
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
            match journal::take_over(&self.root, id) {
                Ok(Some(left)) => {
                    tracing::info!(journal = %id, bytes = left.bytes, "took over a journal of clicks");
                    self.journals.push(Journal::new(Backlog::left(left, Arc::clone(&self.space))));
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
            if let Err(error) = block_in_place(|| journal::remove_journal(finished.backlog.directory())) {
                tracing::error!(journal = %finished.backlog.journal, %error, "a journal could not be removed");
            }
        }
    }

    /// Shows the store that journals are still there to which nothing is written.
    async fn refresh(&mut self, store: &dyn Store) -> Progress {
        for index in 0..self.journals.len() {
            let journal = &self.journals[index];
            let Some(to) = journal.backlog.stored().filter(|_| Instant::now() >= journal.refresh_at) else { continue };
            match self.send(index, store, to, &Batch::default(), 0).await {
                Ok(Shipped::Taken(state)) => self.settle(index, state, None),
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
