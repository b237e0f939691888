//! PostgreSQL as redirectors use it: the feed of links, and the clicks.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{PostgresStore, changes, clicks, error, limits, link_sums, misses, query};
use crate::link_digest::{Bucket, DigestKey, LinkSums};
use crate::missed_code::NewMisses;
use crate::seal_key::SealKey;
use crate::store::{ClickSink, Cursor, Delta, LinkFeed, LinkRows, PoolStatus, Result, Snapshot};
use crate::{ClickBatch, ClickTake, Id, JournalId, JournalState, ShipOutcome, TakenClicks};

#[async_trait]
impl LinkFeed for PostgresStore {
    async fn ping(&self) -> Result<()> {
        self.connections
            .control(async |db| Ok(query::execute(db, "SELECT FROM replica_meta", &[]).await.map(|_| ())?))
            .await
    }

    async fn seal_key(&self) -> Result<SealKey> {
        let key =
            self.connections.control(async |db| Ok(query::row(db, "SELECT seal_key FROM replica_meta", &[]).await?));
        let row = key.await?.ok_or_else(|| error::unexpected("empty result"))?;
        let bytes: Vec<u8> = row.try_get(0)?;
        Ok(SealKey::from_bytes(bytes.try_into().map_err(|_| error::unexpected("seal key"))?))
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        self.feed.snapshot().await
    }

    async fn delta(&self, since: &Cursor) -> Result<Delta> {
        self.feed.delta(since).await
    }

    async fn digest_key(&self) -> Result<Option<DigestKey>> {
        link_sums::digest_key(&self.connections).await.map(Some)
    }

    async fn link_sums(&self, at: &Cursor) -> Result<LinkSums> {
        link_sums::read(&self.connections, at).await
    }

    async fn links_in(&self, buckets: Vec<Bucket>) -> Result<LinkRows> {
        changes::links_in(&self.connections, buckets).await
    }

    fn last_answer(&self) -> Option<Instant> {
        self.connections.last_answer()
    }

    fn kind(&self) -> &'static str {
        "PostgreSQL"
    }

    fn pools(&self) -> Vec<PoolStatus> {
        self.connections.status()
    }
}

#[async_trait]
impl ClickSink for PostgresStore {
    async fn ship_clicks(&self, batch: ClickBatch<'_>) -> Result<ShipOutcome> {
        let clicks::Shipped { outcome, locking } = clicks::ship(&self.connections, &self.referrers, batch).await?;
        *self.locking.lock().unwrap_or_else(PoisonError::into_inner) = locking;
        Ok(outcome)
    }

    fn locking_time(&self) -> Option<Duration> {
        *self.locking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find_journals(&self, ids: &[JournalId]) -> Result<Vec<Option<JournalState>>> {
        self.connections.control(async |db| clicks::find_journals(db, ids).await).await
    }

    async fn count_misses(&self, misses: &[NewMisses]) -> Result<()> {
        self.connections.background(async |db| misses::count(db, misses).await).await
    }

    async fn take_clicks(&self, takes: &[ClickTake]) -> Result<Vec<TakenClicks>> {
        self.connections.takes(async |db| limits::take(db, takes).await).await
    }

    async fn return_clicks(&self, unused: &[(Id, i64)]) -> Result<()> {
        self.connections.takes(async |db| limits::give_back(db, unused).await).await
    }
}
