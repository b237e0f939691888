//! SQLite as redirectors use it: the feed of links, and the clicks.

use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use async_trait::async_trait;

use super::connections::Lane;
use super::{SqliteStore, changes, clicks, limits, misses};
use crate::link_digest::{Bucket, DigestKey, LinkSums};
use crate::missed_code::NewMisses;
use crate::seal_key::SealKey;
use crate::store::{ClickSink, Cursor, Delta, LinkFeed, LinkRows, PoolStatus, Result, Snapshot, StoreError};
use crate::{ClickBatch, ClickTake, Id, JournalId, JournalState, ShipOutcome, TakenClicks};

#[async_trait]
impl LinkFeed for SqliteStore {
    async fn ping(&self) -> Result<()> {
        self.connections.read(Lane::Control, |db| Ok(db.query_row("SELECT 1 FROM replica_meta", [], |_| Ok(()))?)).await
    }

    async fn seal_key(&self) -> Result<SealKey> {
        Ok(self.seal_key)
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        changes::snapshot(self.connections.reader(Lane::Background).await?).await
    }

    async fn delta(&self, since: &Cursor) -> Result<Delta> {
        let (since, commits) = (since.clone(), self.connections.commits());
        self.connections.read(Lane::Control, move |db| changes::delta(db, &since, &commits)).await
    }

    async fn digest_key(&self) -> Result<Option<DigestKey>> {
        // The database is local, so an audit reads it whole, and no writer computes sums.
        Ok(None)
    }

    async fn link_sums(&self, _: &Cursor) -> Result<LinkSums> {
        Err(StoreError::Internal(anyhow!("SQLite has no sums of links")))
    }

    async fn links_in(&self, _: Vec<Bucket>) -> Result<LinkRows> {
        Err(StoreError::Internal(anyhow!("SQLite has no sums of links")))
    }

    fn last_answer(&self) -> Option<Instant> {
        self.connections.last_answer()
    }

    fn kind(&self) -> &'static str {
        "SQLite"
    }

    fn pools(&self) -> Vec<PoolStatus> {
        self.connections.status()
    }
}

#[async_trait]
impl ClickSink for SqliteStore {
    async fn ship_clicks(&self, batch: ClickBatch<'_>) -> Result<ShipOutcome> {
        let ClickBatch { journal, from, to, parked, .. } = batch;
        let (clicks, referrers) = (batch.clicks.to_vec(), Arc::clone(&self.referrers));
        self.connections
            .write(move |db| clicks::ship(db, &referrers, ClickBatch { journal, from, to, clicks: &clicks, parked }))
            .await
    }

    async fn find_journals(&self, ids: &[JournalId]) -> Result<Vec<Option<JournalState>>> {
        let ids = ids.to_vec();
        self.connections
            .read(Lane::Control, move |db| ids.iter().map(|id| clicks::find_journal(db, *id)).collect())
            .await
    }

    async fn count_misses(&self, misses: &[NewMisses]) -> Result<()> {
        let misses = misses.to_vec();
        self.connections.write(move |db| misses::count(db, &misses)).await
    }

    async fn take_clicks(&self, takes: &[ClickTake]) -> Result<Vec<TakenClicks>> {
        let takes = takes.to_vec();
        self.connections.write(move |db| limits::take(db, &takes)).await
    }

    async fn return_clicks(&self, unused: &[(Id, i64)]) -> Result<()> {
        let unused = unused.to_vec();
        self.connections.write(move |db| limits::give_back(db, &unused)).await
    }
}
