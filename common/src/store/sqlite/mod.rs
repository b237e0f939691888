//! The embedded store: one SQLite file in WAL mode with one writer and many readers.
//!
//! Each resource and its SQL have a file. `connections` provides connections.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

mod audit;
mod backup;
mod changes;
mod clicks;
mod columns;
mod commits;
mod connections;
mod counting;
mod error;
mod events;
mod limits;
mod listing;
mod loading;
mod many_urls;
mod misses;
mod open;
mod position;
mod products;
mod query;
mod redirectors;
mod schema;
mod search;
mod series;
mod sifting;
mod staging;
mod stats;
mod summaries;
mod tags;
mod tail;
mod tokens;
mod url_drivers;
mod url_lists;
mod urls;
mod users;
mod visits;

pub use backup::{Contents, check_database, copy_database};
pub use error::OpenError;

use self::connections::{Connections, Lane, existing};
use super::author::author;
use super::referrer_budget::ReferrerBudget;
use super::{
    AdminStore, Change, ClickTail, Commit, ImportOutcome, Listing, Load, LoadError, LoadOutcome, NewClicks, Page,
    Placed, Result, RetentionOutcome, Reused, SkippedRows, StoreError, Total, UrlCursor, UrlSelection,
};
use crate::audit::{AuditEntry, AuditFilter};
use crate::event::{Event, EventFilter, NewEvent};
use crate::missed_code::MissedCode;
use crate::product::Product;
use crate::seal_key::SealKey;
use crate::tag_count::{TagCount, TagCursor, TagFilter};
use crate::token::{NewToken, Token, TokenKey};
use crate::url::{NewUrl, Url, UrlChange, UrlFilter, UrlReplacement, UrlSort};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{
    Id, LinkSeries, PointClicks, SeriesQuery, ShortCode, Statistics, StatsQuery, Timestamp, Visit, VisitQuery,
};

/// A SQLite database.
#[derive(Debug)]
pub struct SqliteStore {
    connections: Connections,
    /// The URI that opens the database for a load, from [`existing`].
    uri: String,
    /// A random key, since no other process uses the file at the same time.
    seal_key: SealKey,
    referrers: Arc<ReferrerBudget>,
}

impl SqliteStore {
    /// Opens and migrates the database at `path`. Creates it and its directory if they do not exist.
    ///
    /// Refuses a file of another program and does not change it.
    pub async fn open(path: &Path) -> Result<SqliteStore, OpenError> {
        let owned = path.to_owned();
        tokio::task::spawn_blocking(move || open::prepare(&owned)).await.map_err(OpenError::other)??;
        let connections = Connections::new(path)?;
        let (uri, seal_key) = (existing(path), SealKey::random());
        Ok(SqliteStore { connections, uri, seal_key, referrers: Arc::default() })
    }

    /// Deletes most events of a url or a user in parts, if a single deletion would delay other writers for long.
    async fn delete_most_events(&self, column: &'static str, id: Id) -> Result<()> {
        if self.connections.read(Lane::Requests, move |db| events::are_many(db, column, id)).await? {
            while self.connections.write(move |db| events::delete_part(db, column, id)).await? {}
        }
        Ok(())
    }
}

#[async_trait]
impl AdminStore for SqliteStore {
    async fn insert_user(&self, user: NewUser) -> Result<User> {
        self.connections.write(move |db| users::insert(db, &user)).await
    }

    async fn find_user(&self, id: Id) -> Result<Option<User>> {
        self.connections.read(Lane::Requests, move |db| users::find(db, id)).await
    }

    async fn list_users(&self, page: Page) -> Result<Listing<User>> {
        self.connections.read(Lane::Lists, move |db| users::list(db, page)).await
    }

    async fn update_user(&self, id: Id, change: UserChange) -> Result<Option<User>> {
        self.connections.write(move |db| users::update(db, id, &change)).await
    }

    async fn delete_user(&self, id: Id, cascade: bool) -> Result<Option<Change<()>>> {
        if cascade {
            self.delete_most_events("user_id", id).await?;
            if self.connections.read(Lane::Requests, move |db| users::is_large(db, id)).await? {
                while self.connections.write(move |db| users::delete_part(db, id)).await? {}
            }
            if self.find_user(id).await?.is_some() {
                while self.connections.write(move |db| audit::delete_part_of_user(db, id)).await? {}
            }
        }
        self.connections.write(move |db| users::delete(db, id, cascade)).await
    }

    async fn import_users(&self, rows: Vec<UserRow>) -> Result<Vec<ImportOutcome>> {
        self.connections.write(move |db| rows.iter().map(|row| users::import(db, row)).collect()).await
    }

    async fn insert_url(&self, url: NewUrl) -> Result<Change<Url>> {
        self.connections.write(move |db| urls::insert(db, &url)).await
    }

    async fn reuse_url(&self, url: NewUrl, wanted: UrlChange) -> Result<Reused> {
        self.connections.write(move |db| urls::reuse(db, &url, &wanted)).await
    }

    async fn put_url(&self, replacement: UrlReplacement) -> Result<Placed> {
        self.connections.write(move |db| urls::put(db, &replacement)).await
    }

    async fn insert_urls(&self, urls: Vec<NewUrl>, commit: Commit) -> Result<Change<Vec<Result<Url>>>> {
        self.connections.write(move |db| many_urls::insert(db, &urls, commit)).await
    }

    async fn find_url(&self, id: Id) -> Result<Option<Url>> {
        self.connections.read(Lane::Requests, move |db| urls::find(db, id)).await
    }

    async fn find_urls_by_codes(&self, codes: Vec<ShortCode>) -> Result<Vec<Url>> {
        self.connections.read(Lane::Streams, move |db| many_urls::find_by_codes(db, &codes)).await
    }

    async fn list_urls(
        &self,
        filter: UrlFilter,
        sort: UrlSort,
        page: Page<UrlCursor>,
    ) -> Result<Listing<Url, UrlCursor>> {
        self.connections.read(Lane::Lists, move |db| url_lists::list(db, filter, sort, &page)).await
    }

    async fn update_url(&self, id: Id, change: UrlChange) -> Result<Option<Change<Url>>> {
        self.connections.write(move |db| urls::update(db, id, &change)).await
    }

    async fn update_urls(&self, selection: UrlSelection, change: UrlChange) -> Result<Change<u64>> {
        self.connections.write(move |db| many_urls::update(db, &selection, &change)).await
    }

    async fn change_urls(&self, changes: Vec<(Id, UrlChange)>) -> Result<Change<Vec<Result<Url>>>> {
        self.connections.write(move |db| many_urls::change(db, &changes)).await
    }

    async fn delete_urls(&self, selection: UrlSelection) -> Result<Change<u64>> {
        self.connections.write(move |db| many_urls::delete(db, &selection)).await
    }

    async fn delete_url(&self, id: Id, if_revision: Option<Vec<i64>>) -> Result<Option<Change<()>>> {
        let accepted = if_revision.clone();
        self.connections.read(Lane::Requests, move |db| urls::check_revision(db, id, accepted.as_deref())).await?;
        self.delete_most_events("url_id", id).await?;
        self.connections.write(move |db| urls::delete(db, id, if_revision.as_deref())).await
    }

    async fn insert_event(&self, event: NewEvent) -> Result<Event> {
        self.connections.write(move |db| events::insert(db, &event)).await
    }

    async fn find_event(&self, id: Id) -> Result<Option<Event>> {
        self.connections.read(Lane::Requests, move |db| events::find(db, id)).await
    }

    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listing<Event>> {
        self.connections.read(Lane::Lists, move |db| events::list(db, filter, page)).await
    }

    async fn walk_events(&self, filter: EventFilter, after: i64, size: u32) -> Result<Vec<Event>> {
        self.connections.read(Lane::Streams, move |db| events::walk(db, filter, after, size)).await
    }

    async fn walk_urls(&self, filter: UrlFilter, after: i64, size: u32) -> Result<Vec<Url>> {
        self.connections.read(Lane::Streams, move |db| url_lists::walk(db, &filter, after, size)).await
    }

    async fn follow_clicks(&self, tail: &mut ClickTail, limit: u32) -> Result<NewClicks> {
        let mut moved = tail.clone();
        let work = self.connections.read(Lane::Streams, move |db| Ok((tail::follow(db, &mut moved, limit)?, moved)));
        let (new, moved) = work.await?;
        *tail = moved;
        Ok(new)
    }

    async fn list_audit(&self, filter: AuditFilter, page: Page) -> Result<Listing<AuditEntry>> {
        self.connections.read(Lane::Lists, move |db| audit::list(db, filter, page)).await
    }

    async fn find_audit_entry(&self, id: Id) -> Result<Option<AuditEntry>> {
        self.connections.read(Lane::Requests, move |db| audit::find(db, id)).await
    }

    async fn delete_old_audit(&self, keep: Duration) -> Result<u64> {
        let horizon = Timestamp::ago(keep);
        let mut deleted = 0;
        loop {
            let part = self.connections.write(move |db| audit::delete_part(db, horizon)).await?;
            deleted += part;
            if part == 0 {
                return Ok(deleted);
            }
        }
    }

    async fn list_tags(&self, filter: TagFilter, page: Page<TagCursor>) -> Result<Listing<TagCount, TagCursor>> {
        self.connections.read(Lane::Lists, move |db| tags::list(db, filter, &page)).await
    }

    async fn list_misses(&self, limit: u32) -> Result<Vec<MissedCode>> {
        self.connections.read(Lane::Lists, move |db| misses::list(db, limit)).await
    }

    async fn list_visits(&self, query: VisitQuery) -> Result<(Vec<Visit>, Total)> {
        self.connections.read(Lane::Lists, move |db| visits::list(db, &query)).await
    }

    async fn count_clicks_by_tag(&self, filter: TagFilter) -> Result<HashMap<String, PointClicks>> {
        self.connections.read(Lane::Lists, move |db| visits::count_by_tag(db, filter)).await
    }

    async fn list_products(&self) -> Result<Vec<Product>> {
        self.connections.read(Lane::Lists, products::list).await
    }

    async fn insert_token(&self, token: NewToken) -> Result<Token> {
        let author = author();
        self.connections.write(move |db| tokens::insert(db, &token, author.as_deref())).await
    }

    async fn insert_first_token(&self, token: NewToken) -> Result<bool> {
        self.connections.write(move |db| tokens::insert_first(db, &token)).await
    }

    async fn list_tokens(&self) -> Result<Vec<Token>> {
        self.connections.read(Lane::Control, tokens::list).await
    }

    async fn revoke_token(&self, key: &TokenKey) -> Result<bool> {
        let (key, author) = (key.clone(), author());
        self.connections.write(move |db| tokens::revoke(db, &key, author.as_deref())).await
    }

    async fn note_token_uses(&self, uses: Vec<(Id, Timestamp)>) -> Result<()> {
        self.connections.write(move |db| tokens::note_uses(db, &uses)).await
    }

    async fn delete_old_journals(&self, keep: Duration) -> Result<u64> {
        self.connections.write(move |db| clicks::delete_old_journals(db, keep)).await
    }

    async fn statistics(&self, query: StatsQuery) -> Result<Option<Statistics>> {
        self.connections.read(Lane::Lists, move |db| stats::find(db, &query)).await
    }

    async fn click_series(&self, query: SeriesQuery) -> Result<Vec<LinkSeries>> {
        self.connections.read(Lane::Lists, move |db| series::find(db, &query)).await
    }

    async fn delete_old_events(&self, keep: Duration) -> Result<RetentionOutcome> {
        let horizon = Timestamp::ago(keep);
        let mut deleted = 0;
        // A read connection does this, so no writer waits.
        if !self.connections.read(Lane::Background, move |db| events::is_credible(db, horizon)).await? {
            return Ok(RetentionOutcome::Refused);
        }
        self.connections.write(move |db| clicks::delete_old_counts(db, horizon)).await?;
        let Some((mut from, to)) =
            self.connections.read(Lane::Background, move |db| events::find_old(db, horizon)).await?
        else {
            return Ok(RetentionOutcome::Deleted(0));
        };
        while let Some((last, events)) =
            self.connections.write(move |db| events::delete_old_part(db, from, to, horizon)).await?
        {
            deleted += events;
            let Some(next) = Id::new(last.get().saturating_add(1)).filter(|next| *next <= to) else { break };
            from = next;
        }
        Ok(RetentionOutcome::Deleted(deleted))
    }

    async fn run_upkeep(&self) -> Result<()> {
        self.connections.write(misses::prune).await?;
        summaries::write(&self.connections).await
    }

    async fn prune_changes(&self, keep: Duration) -> Result<u64> {
        self.connections.write(move |db| changes::prune(db, keep)).await
    }

    async fn load(&self, load: Load, skipped: Option<SkippedRows>) -> Result<LoadOutcome, LoadError> {
        let uri = self.uri.clone();
        let loading =
            tokio::task::spawn_blocking(move || loading::load(&mut loading::connect(&uri)?, load, skipped.as_ref()));
        loading.await.unwrap_or_else(|error| Err(StoreError::Internal(error.into()).into()))
    }
}
