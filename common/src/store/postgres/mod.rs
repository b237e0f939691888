//! The store in PostgreSQL 13 or newer, which any number of processes share.
//!
//! Each resource and its SQL have a file. `connections` provides connections, and `changes` is the feed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

mod audit;
mod beats;
mod changes;
mod clicks;
mod columns;
mod connections;
mod connector;
mod error;
mod events;
mod hosts;
mod limits;
mod link_sums;
mod listing;
mod loading;
mod many_urls;
mod migration;
mod misses;
mod open;
mod paging;
mod pool;
mod pooler;
pub(super) mod position;
mod privileges;
mod products;
mod pruning;
mod query;
mod recent;
mod redirectors;
mod retention;
mod search;
mod series;
mod session;
mod settings;
mod sifting;
mod staging;
mod stats;
mod summaries;
mod tags;
mod tail;
mod tokens;
mod url_lists;
mod urls;
mod users;
mod visits;

pub use migration::migrate;
pub use open::{OpenError, PostgresConfig};

use self::connections::Connections;
use self::listing::SummedListing;
use super::referrer_budget::ReferrerBudget;
use super::{
    AdminStore, Change, ClickTail, Commit, ImportOutcome, Listing, Load, LoadError, LoadOutcome, NewClicks, Page,
    Placed, Result, RetentionOutcome, Reused, SkippedRows, StoreError, Total, UrlCursor, UrlSelection,
};
use crate::audit::{AuditEntry, AuditFilter};
use crate::event::{Event, EventFilter, NewEvent};
use crate::missed_code::MissedCode;
use crate::product::Product;
use crate::tag_count::{TagCount, TagCursor, TagFilter};
use crate::token::{NewToken, Token, TokenKey};
use crate::url::{NewUrl, Url, UrlChange, UrlFilter, UrlReplacement, UrlSort};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{
    Id, LinkSeries, PointClicks, SeriesQuery, ShortCode, Statistics, StatsQuery, Timestamp, Visit, VisitQuery,
};

/// The number of deltas in one total from which they are folded at once.
const MANY_DELTAS: u64 = 100;

/// A PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    feed: changes::Feed,
    referrers: ReferrerBudget,
    /// The time for which the last batch of clicks locked counts.
    locking: Mutex<Option<Duration>>,
    /// Whether a task folds deltas into totals. The task itself clears it at its end.
    folding: Arc<AtomicBool>,
}

impl PostgresStore {
    /// Makes a store without connecting to the database, which may be unavailable.
    ///
    /// # Errors
    /// [`OpenError::Url`] and [`OpenError::Certificates`].
    pub fn new(config: &PostgresConfig) -> Result<PostgresStore, OpenError> {
        let connections = Connections::new(config)?;
        Ok(PostgresStore {
            feed: changes::Feed::new(connections.clone(), config.delta_entries),
            connections,
            referrers: ReferrerBudget::default(),
            locking: Mutex::default(),
            folding: Arc::default(),
        })
    }

    /// Makes a store over a database that answers and has the schema of this build.
    pub async fn open(config: &PostgresConfig) -> Result<PostgresStore, OpenError> {
        let store = PostgresStore::new(config)?;
        store.check_schema().await?;
        store.connections.warm();
        Ok(store)
    }

    /// Checks that connections have sessions of their own, and that the database has the schema of this build.
    pub async fn check_schema(&self) -> Result<(), OpenError> {
        self.connections.check_sessions().await?;
        self.connections.control(async |db| Ok(migration::check_schema(db).await)).await?
    }

    /// Deletes most events of a url or a user in parts, if they are too many to delete within one request.
    async fn delete_most_events(&self, column: &'static str, id: Id) -> Result<()> {
        if self.connections.request(async |db| events::are_many(db, column, id).await).await? {
            while self.connections.request(async |db| events::delete_part(db, column, id).await).await? {}
        }
        Ok(())
    }

    /// Returns a page, and starts folding deltas if its total was summed from many.
    fn finish_list<T, C>(&self, page: SummedListing<T, C>) -> Listing<T, C> {
        if page.deltas > MANY_DELTAS && !self.folding.swap(true, Ordering::AcqRel) {
            let (connections, folding) = (self.connections.clone(), Arc::clone(&self.folding));
            tokio::spawn(async move {
                if let Err(error) = pruning::fold(&connections).await {
                    tracing::warn!(%error, "totals could not be folded; lists become slower; the next upkeep tries again");
                }
                folding.store(false, Ordering::Release);
            });
        }
        page.listing
    }
}

#[async_trait]
impl AdminStore for PostgresStore {
    async fn insert_user(&self, user: NewUser) -> Result<User> {
        self.connections.request(async |db| users::insert(db, &user).await).await
    }

    async fn find_user(&self, id: Id) -> Result<Option<User>> {
        self.connections.request(async |db| users::find(db, id).await).await
    }

    async fn list_users(&self, page: Page) -> Result<Listing<User>> {
        Ok(self.finish_list(self.connections.list(async |db| users::list(db, page).await).await?))
    }

    async fn update_user(&self, id: Id, change: UserChange) -> Result<Option<User>> {
        self.connections.request(async |db| users::update(db, id, &change).await).await
    }

    async fn delete_user(&self, id: Id, cascade: bool) -> Result<Option<Change<()>>> {
        if cascade {
            self.delete_most_events("user_id", id).await?;
            if self.connections.request(async |db| users::is_large(db, id).await).await? {
                while self.connections.request(async |db| users::delete_part(db, id).await).await? {}
            }
            if self.find_user(id).await?.is_some() {
                while self.connections.request(async |db| audit::delete_part_of_user(db, id).await).await? {}
            }
        }
        self.connections.request(async |db| users::delete(db, id, cascade).await).await
    }

    async fn import_users(&self, rows: Vec<UserRow>) -> Result<Vec<ImportOutcome>> {
        self.connections.request(async |db| users::import(db, &rows).await).await
    }

    async fn insert_url(&self, url: NewUrl) -> Result<Change<Url>> {
        self.connections.request(async |db| urls::insert(db, &url).await).await
    }

    async fn reuse_url(&self, url: NewUrl, wanted: UrlChange) -> Result<Reused> {
        self.connections.request_in_transaction(async |db| urls::reuse(db, &url, &wanted).await).await
    }

    async fn put_url(&self, replacement: UrlReplacement) -> Result<Placed> {
        let put = || self.connections.request_in_transaction(async |db| urls::put(db, &replacement).await);
        match put().await {
            // A concurrent call inserted the url, so it is there to be replaced.
            Err(StoreError::ExternalIdTaken) => put().await,
            done => done,
        }
    }

    async fn insert_urls(&self, urls: Vec<NewUrl>, commit: Commit) -> Result<Change<Vec<Result<Url>>>> {
        self.connections.many(async |db| many_urls::insert(db, &urls, commit).await).await
    }

    async fn find_url(&self, id: Id) -> Result<Option<Url>> {
        self.connections.request(async |db| urls::find(db, id).await).await
    }

    async fn find_urls_by_codes(&self, codes: Vec<ShortCode>) -> Result<Vec<Url>> {
        self.connections.stream(async |db| many_urls::find_by_codes(db, &codes).await).await
    }

    async fn list_urls(
        &self,
        filter: UrlFilter,
        sort: UrlSort,
        page: Page<UrlCursor>,
    ) -> Result<Listing<Url, UrlCursor>> {
        Ok(self.finish_list(self.connections.list(async |db| url_lists::list(db, filter, sort, &page).await).await?))
    }

    async fn update_url(&self, id: Id, change: UrlChange) -> Result<Option<Change<Url>>> {
        self.connections.request(async |db| urls::update(db, id, &change).await).await
    }

    async fn update_urls(&self, selection: UrlSelection, change: UrlChange) -> Result<Change<u64>> {
        self.connections.many(async |db| many_urls::update(db, &selection, &change).await).await
    }

    async fn change_urls(&self, changes: Vec<(Id, UrlChange)>) -> Result<Change<Vec<Result<Url>>>> {
        self.connections.many(async |db| many_urls::change(db, &changes).await).await
    }

    async fn delete_urls(&self, selection: UrlSelection) -> Result<Change<u64>> {
        self.connections.many(async |db| many_urls::delete(db, &selection).await).await
    }

    async fn delete_url(&self, id: Id, if_revision: Option<Vec<i64>>) -> Result<Option<Change<()>>> {
        let accepted = if_revision.as_deref();
        self.connections.request(async |db| urls::check_revision(db, id, accepted).await).await?;
        self.delete_most_events("url_id", id).await?;
        self.connections.request(async |db| urls::delete(db, id, accepted).await).await
    }

    async fn insert_event(&self, event: NewEvent) -> Result<Event> {
        self.connections.request(async |db| events::insert(db, &event).await).await
    }

    async fn find_event(&self, id: Id) -> Result<Option<Event>> {
        self.connections.request(async |db| events::find(db, id).await).await
    }

    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listing<Event>> {
        Ok(self.finish_list(self.connections.list(async |db| events::list(db, filter, page).await).await?))
    }

    async fn walk_events(&self, filter: EventFilter, after: i64, size: u32) -> Result<Vec<Event>> {
        self.connections.stream(async |db| events::walk(db, filter, after, size).await).await
    }

    async fn walk_urls(&self, filter: UrlFilter, after: i64, size: u32) -> Result<Vec<Url>> {
        self.connections.stream(async |db| url_lists::walk(db, &filter, after, size).await).await
    }

    async fn follow_clicks(&self, tail: &mut ClickTail, limit: u32) -> Result<NewClicks> {
        self.connections.stream(async |db| tail::follow(db, tail, limit).await).await
    }

    async fn list_audit(&self, filter: AuditFilter, page: Page) -> Result<Listing<AuditEntry>> {
        Ok(self.finish_list(self.connections.list(async |db| audit::list(db, filter, page).await).await?))
    }

    async fn find_audit_entry(&self, id: Id) -> Result<Option<AuditEntry>> {
        self.connections.request(async |db| audit::find(db, id).await).await
    }

    async fn delete_old_audit(&self, keep: Duration) -> Result<u64> {
        audit::delete_old(&self.connections, keep).await
    }

    async fn list_tags(&self, filter: TagFilter, page: Page<TagCursor>) -> Result<Listing<TagCount, TagCursor>> {
        Ok(self.finish_list(self.connections.list(async |db| tags::list(db, filter, &page).await).await?))
    }

    async fn list_misses(&self, limit: u32) -> Result<Vec<MissedCode>> {
        self.connections.list(async |db| misses::list(db, limit).await).await
    }

    async fn list_visits(&self, query: VisitQuery) -> Result<(Vec<Visit>, Total)> {
        self.connections.list(async |db| visits::list(db, &query).await).await
    }

    async fn count_clicks_by_tag(&self, filter: TagFilter) -> Result<HashMap<String, PointClicks>> {
        self.connections.list(async |db| visits::count_by_tag(db, filter).await).await
    }

    async fn list_products(&self) -> Result<Vec<Product>> {
        self.connections.list(async |db| products::list(db).await).await
    }

    async fn insert_token(&self, token: NewToken) -> Result<Token> {
        self.connections.control(async |db| tokens::insert(db, &token).await).await
    }

    async fn insert_first_token(&self, token: NewToken) -> Result<bool> {
        self.connections.request(async |db| tokens::insert_first(db, &token).await).await
    }

    async fn list_tokens(&self) -> Result<Vec<Token>> {
        self.connections.control(async |db| tokens::list(db).await).await
    }

    async fn revoke_token(&self, key: &TokenKey) -> Result<bool> {
        self.connections.control(async |db| tokens::revoke(db, key).await).await
    }

    async fn note_token_uses(&self, uses: Vec<(Id, Timestamp)>) -> Result<()> {
        self.connections.control(async |db| tokens::note_uses(db, &uses).await).await
    }

    async fn delete_old_journals(&self, keep: Duration) -> Result<u64> {
        self.connections.background(async |db| clicks::delete_old_journals(db, keep).await).await
    }

    async fn statistics(&self, query: StatsQuery) -> Result<Option<Statistics>> {
        self.connections.list(async |db| stats::find(db, &query).await).await
    }

    async fn click_series(&self, query: SeriesQuery) -> Result<Vec<LinkSeries>> {
        self.connections.list(async |db| series::find(db, &query).await).await
    }

    async fn delete_old_events(&self, keep: Duration) -> Result<RetentionOutcome> {
        retention::delete_old_events(&self.connections, keep).await
    }

    async fn write_beat(&self) -> Result<()> {
        self.connections.control(async |db| beats::write(db).await).await
    }

    async fn run_upkeep(&self) -> Result<()> {
        pruning::fold(&self.connections).await?;
        // A failure prevents no other upkeep. Sums that are not folded are right, too.
        let sums = link_sums::maintain(&self.connections).await;
        self.connections.background(async |db| privileges::close_functions(&**db).await).await?;
        // The lock is refused while events are written or deleted all the time. The next upkeep tries again.
        let partitions = retention::create_partitions(&self.connections).await;
        misses::prune(&self.connections).await?;
        summaries::write(&self.connections).await?;
        partitions.and(sums)
    }

    async fn prune_changes(&self, keep: Duration) -> Result<u64> {
        pruning::fold(&self.connections).await?;
        pruning::prune(&self.connections, keep).await
    }

    async fn load(&self, load: Load, skipped: Option<SkippedRows>) -> Result<LoadOutcome, LoadError> {
        loading::load(&self.connections, load, skipped).await
    }
}
