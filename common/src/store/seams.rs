//! The traits of the store, one for each kind of caller.
//!
//! A redirector uses [`LinkFeed`] and [`ClickSink`]; an admin uses all of [`AdminStore`].
//! Unless a function says otherwise, it returns within two seconds, possibly with
//! [`StoreError::Unavailable`](super::StoreError::Unavailable) or [`StoreError::Busy`](super::StoreError::Busy).

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{
    Change, ClickTail, Commit, Cursor, Delta, ImportOutcome, LinkRows, Listing, Load, LoadError, LoadOutcome,
    NewClicks, Page, Placed, PoolStatus, Result, RetentionOutcome, Reused, SkippedRows, Snapshot, Total, UrlCursor,
    UrlSelection,
};
use crate::audit::{AuditEntry, AuditFilter};
use crate::event::{Event, EventFilter, NewEvent};
use crate::link_digest::{Bucket, DigestKey, LinkSums};
use crate::missed_code::{MissedCode, NewMisses};
use crate::product::Product;
use crate::seal_key::SealKey;
use crate::tag_count::{TagCount, TagCursor, TagFilter};
use crate::token::{NewToken, Token, TokenKey};
use crate::url::{NewUrl, Url, UrlChange, UrlFilter, UrlReplacement, UrlSort};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{
    ClickBatch, ClickTake, Id, JournalId, JournalState, LinkSeries, PointClicks, SeriesQuery, ShipOutcome, ShortCode,
    Statistics, StatsQuery, TakenClicks, Timestamp, Visit, VisitQuery,
};

/// Read access to the links that redirectors serve, and to the state of the database.
#[async_trait]
pub trait LinkFeed: fmt::Debug + Send + Sync + 'static {
    /// Checks that the database answers.
    async fn ping(&self) -> Result<()>;
    /// Returns the secret with which processes of one Tern seal what they write to the bus and the cache.
    async fn seal_key(&self) -> Result<SealKey>;
    async fn snapshot(&self) -> Result<Snapshot>;
    async fn delta(&self, since: &Cursor) -> Result<Delta>;
    /// Returns the key of the digests of links; `None` if the store has no sums of them, so that an audit reads every link.
    async fn digest_key(&self) -> Result<Option<DigestKey>>;
    /// Returns the sums of links at a position that a delta without further changes or a snapshot has returned.
    /// This may take long. The sums are wrong if the position is older than ten minutes.
    async fn link_sums(&self, at: &Cursor) -> Result<LinkSums>;
    /// Returns the present links of buckets. The rows arrive as those of a snapshot.
    async fn links_in(&self, buckets: Vec<Bucket>) -> Result<LinkRows>;
    /// Returns when the database last answered a call, even with a refusal. `None` before the first answer.
    fn last_answer(&self) -> Option<Instant>;
    /// Returns the kind of database, as people name it.
    fn kind(&self) -> &'static str;
    /// Returns the current state of each pool of connections.
    fn pools(&self) -> Vec<PoolStatus>;
}

/// The part of the store that takes clicks from journals, and grants those of limited links.
#[async_trait]
pub trait ClickSink: fmt::Debug + Send + Sync + 'static {
    /// Stores a batch of clicks as events and advances the position of their journal, all in one transaction.
    /// If two shippers send a batch from the same position, one of them gets the journal's new position instead.
    /// A click is recorded only if its id and its code name one url, or did so before the url was renamed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable) may take ten seconds, and leaves open whether the batch is stored.
    /// The caller ships it again, or asks [`ClickSink::find_journals`].
    /// [`StoreError::Unfit`](super::StoreError::Unfit) refuses a value in a click.
    async fn ship_clicks(&self, batch: ClickBatch<'_>) -> Result<ShipOutcome>;
    /// Returns for how long the last batch locked counts that other shippers change, which excludes the network.
    /// `None` if the store does not measure it, so that the whole time of the batch counts.
    fn locking_time(&self) -> Option<Duration> {
        None
    }
    /// Returns the state of each journal, in the order of `ids`. `None` if nothing of a journal was shipped.
    async fn find_journals(&self, ids: &[JournalId]) -> Result<Vec<Option<JournalState>>>;
    /// Adds to the numbers of times for which codes without a link were asked. No code may occur twice.
    async fn count_misses(&self, misses: &[NewMisses]) -> Result<()>;
    /// Takes clicks of limited links in one transaction, and returns an outcome for each in the order of `takes`.
    /// No two calls together are granted more than the limit of a link. No link may occur twice.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable) leaves open whether clicks were taken; then they are wasted.
    async fn take_clicks(&self, takes: &[ClickTake]) -> Result<Vec<TakenClicks>>;
    /// Takes clicks back that were taken and not used, each a number of a link. No link may occur twice.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable) leaves open whether they are back. The caller must not repeat
    /// the call, since clicks that are returned twice would exceed the limit.
    async fn return_clicks(&self, unused: &[(Id, i64)]) -> Result<()>;
}

/// All data that an admin reads and changes.
#[async_trait]
pub trait AdminStore: LinkFeed + ClickSink {
    /// # Errors
    /// [`StoreError::UsernameTaken`](super::StoreError::UsernameTaken), [`StoreError::EmailTaken`](super::StoreError::EmailTaken).
    async fn insert_user(&self, user: NewUser) -> Result<User>;
    async fn find_user(&self, id: Id) -> Result<Option<User>>;
    async fn list_users(&self, page: Page) -> Result<Listing<User>>;
    /// # Errors
    /// [`StoreError::UsernameTaken`](super::StoreError::UsernameTaken), [`StoreError::EmailTaken`](super::StoreError::EmailTaken).
    async fn update_user(&self, id: Id, change: UserChange) -> Result<Option<User>>;
    /// Deletes a user and the events recorded under it.
    /// With `cascade`, deletes its urls too, as [`AdminStore::delete_url`] does, and the audit entries of its urls.
    /// Its tokens are revoked and lose their names, their last use and their user.
    /// Many urls are deleted in parts that are each committed, and the user with the last part.
    ///
    /// # Errors
    /// [`StoreError::UserOwnsUrls`](super::StoreError::UserOwnsUrls) without `cascade`.
    async fn delete_user(&self, id: Id, cascade: bool) -> Result<Option<Change<()>>>;
    /// Imports users in one transaction, and returns an outcome for each row. A refused row does not affect the others.
    async fn import_users(&self, rows: Vec<UserRow>) -> Result<Vec<ImportOutcome>>;

    /// Inserts the url and its `created` event.
    ///
    /// # Errors
    /// [`StoreError::ShortCodeTaken`](super::StoreError::ShortCodeTaken), [`StoreError::UnknownUser`](super::StoreError::UnknownUser).
    async fn insert_url(&self, url: NewUrl) -> Result<Change<Url>>;
    /// Returns the oldest url of the owner with this target that redirects now, if it has every value of `wanted`.
    /// Otherwise inserts the url as [`AdminStore::insert_url`] does. Of concurrent calls, one inserts.
    async fn reuse_url(&self, url: NewUrl, wanted: UrlChange) -> Result<Reused>;
    /// Replaces the url of the owner that has this external id, or inserts it. Of concurrent calls, one inserts.
    ///
    /// # Errors
    /// The errors of [`AdminStore::insert_url`] and [`AdminStore::update_url`].
    /// [`StoreError::EndsInThePast`](super::StoreError::EndsInThePast) and
    /// [`StoreError::NoRevision`](super::StoreError::NoRevision) instead of an insertion.
    async fn put_url(&self, replacement: UrlReplacement) -> Result<Placed>;
    /// Inserts urls and their `created` events in one transaction, and returns an outcome for each in their order.
    /// `commit` determines how a refused url affects the others. This may take half a minute.
    async fn insert_urls(&self, urls: Vec<NewUrl>, commit: Commit) -> Result<Change<Vec<Result<Url>>>>;
    async fn find_url(&self, id: Id) -> Result<Option<Url>>;
    /// Returns the urls that have one of these codes, in no particular order.
    async fn find_urls_by_codes(&self, codes: Vec<ShortCode>) -> Result<Vec<Url>>;
    async fn list_urls(
        &self,
        filter: UrlFilter,
        sort: UrlSort,
        page: Page<UrlCursor>,
    ) -> Result<Listing<Url, UrlCursor>>;
    /// Changes the url and inserts its `updated` event. An empty change does neither.
    ///
    /// # Errors
    /// [`StoreError::OtherCode`](super::StoreError::OtherCode), [`StoreError::OtherRevision`](super::StoreError::OtherRevision),
    /// [`StoreError::OptionConflict`](super::StoreError::OptionConflict), [`StoreError::TooManyTags`](super::StoreError::TooManyTags),
    /// [`StoreError::ExternalIdTaken`](super::StoreError::ExternalIdTaken).
    async fn update_url(&self, id: Id, change: UrlChange) -> Result<Option<Change<Url>>>;
    /// Changes many urls as [`AdminStore::update_url`] does, in one transaction, and returns their number.
    /// This may take half a minute.
    ///
    /// # Errors
    /// [`StoreError::UnknownUrl`](super::StoreError::UnknownUrl), [`StoreError::OtherCount`](super::StoreError::OtherCount),
    /// [`StoreError::RefusedBy`](super::StoreError::RefusedBy).
    async fn update_urls(&self, selection: UrlSelection, change: UrlChange) -> Result<Change<u64>>;
    /// Changes each url as [`AdminStore::update_url`] does, all in one transaction.
    /// Returns an outcome for each in their order. A refused change does not affect the others.
    /// This may take half a minute.
    async fn change_urls(&self, changes: Vec<(Id, UrlChange)>) -> Result<Change<Vec<Result<Url>>>>;
    /// Deletes many urls and their events in one transaction, and returns the number of urls. This may take half a minute.
    ///
    /// # Errors
    /// [`StoreError::UnknownUrl`](super::StoreError::UnknownUrl), [`StoreError::OtherCount`](super::StoreError::OtherCount),
    /// [`StoreError::TooManyEvents`](super::StoreError::TooManyEvents).
    async fn delete_urls(&self, selection: UrlSelection) -> Result<Change<u64>>;
    /// Deletes the url and its events in one transaction, if it has one of the given revisions.
    ///
    /// More than 50,000 events are first deleted in parts that are each committed, some tens of thousands a second.
    /// The call may then take longer than two seconds, and redirectors serve the link until the last part.
    /// A repeated call continues where an interrupted one ended.
    ///
    /// # Errors
    /// [`StoreError::OtherRevision`](super::StoreError::OtherRevision).
    async fn delete_url(&self, id: Id, if_revision: Option<Vec<i64>>) -> Result<Option<Change<()>>>;

    /// Inserts an event. Without a user it belongs to the owner of its link.
    ///
    /// # Errors
    /// [`StoreError::UnknownUrl`](super::StoreError::UnknownUrl), [`StoreError::UnknownUser`](super::StoreError::UnknownUser).
    async fn insert_event(&self, event: NewEvent) -> Result<Event>;
    async fn find_event(&self, id: Id) -> Result<Option<Event>>;
    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listing<Event>>;

    /// Returns the first events after an id, by id and at most `size` of them, for walks through all of them.
    async fn walk_events(&self, filter: EventFilter, after: i64, size: u32) -> Result<Vec<Event>>;
    /// Returns the first urls after an id, by id and at most `size` of them, for walks through all of them.
    async fn walk_urls(&self, filter: UrlFilter, after: i64, size: u32) -> Result<Vec<Url>>;
    /// Returns the clicks that were stored since the last call with this position, by id and at most `limit` of them.
    /// The first call returns none.
    async fn follow_clicks(&self, tail: &mut ClickTail, limit: u32) -> Result<NewClicks>;

    /// Returns the creations, changes and deletions of links. The token of a change is that of [`signed`](super::signed).
    async fn list_audit(&self, filter: AuditFilter, page: Page) -> Result<Listing<AuditEntry>>;
    async fn find_audit_entry(&self, id: Id) -> Result<Option<AuditEntry>>;
    /// Deletes audit entries that are older than `keep`, unless all of them are. Returns their number.
    async fn delete_old_audit(&self, keep: Duration) -> Result<u64>;

    /// Returns the tags of links by code point, with the numbers of their links.
    async fn list_tags(&self, filter: TagFilter, page: Page<TagCursor>) -> Result<Listing<TagCount, TagCursor>>;

    /// Returns the codes that were asked for most and that no link has, at most `limit` of them.
    async fn list_misses(&self, limit: u32) -> Result<Vec<MissedCode>>;
    /// Returns clicks that have an event, the newest first, and the number of all that match.
    async fn list_visits(&self, query: VisitQuery) -> Result<(Vec<Visit>, Total)>;
    /// Returns the clicks of all time of each tag that has one.
    async fn count_clicks_by_tag(&self, filter: TagFilter) -> Result<HashMap<String, PointClicks>>;

    async fn list_products(&self) -> Result<Vec<Product>>;

    /// Inserts a token. The row has the name of the token of [`signed`](super::signed), as has the row of a revoked one.
    ///
    /// # Errors
    /// [`StoreError::UnknownUser`](super::StoreError::UnknownUser), and
    /// [`StoreError::TokenNameTaken`](super::StoreError::TokenNameTaken) if a token with this name is not revoked.
    async fn insert_token(&self, token: NewToken) -> Result<Token>;
    /// Inserts the token if the table is empty, and returns whether it did.
    /// If two concurrent calls have the same name, one of them inserts.
    async fn insert_first_token(&self, token: NewToken) -> Result<bool>;
    /// Returns all tokens by id, including revoked and expired ones.
    async fn list_tokens(&self) -> Result<Vec<Token>>;
    /// Revokes a token. Returns false if there is none, or it is already revoked.
    async fn revoke_token(&self, key: &TokenKey) -> Result<bool>;
    /// Records when tokens were last used.
    async fn note_token_uses(&self, uses: Vec<(Id, Timestamp)>) -> Result<()>;

    /// Deletes the states of journals that last advanced longer than `keep` ago, and not their clicks.
    /// Deletes nothing if no journal advanced since: active journals advance every day, so the clock must be wrong.
    async fn delete_old_journals(&self, keep: Duration) -> Result<u64>;

    /// Returns the clicks of links, from counts that each click updates. `None` if the only link does not exist.
    async fn statistics(&self, query: StatsQuery) -> Result<Option<Statistics>>;
    /// Returns the clicks of those links of the query that exist, in the order of the query.
    async fn click_series(&self, query: SeriesQuery) -> Result<Vec<LinkSeries>>;
    /// Deletes events of all types that are older than `keep` by the database's clock, unless all of them are.
    async fn delete_old_events(&self, keep: Duration) -> Result<RetentionOutcome>;
    /// Writes a beat, which is due every second. With it, replicas that follow a failover of the database need no snapshot.
    async fn write_beat(&self) -> Result<()> {
        Ok(())
    }
    /// Runs the upkeep that is due every minute, such as creating partitions. Without it the store becomes slower.
    async fn run_upkeep(&self) -> Result<()>;

    /// Deletes changes older than `keep` from the feed. Cursors from before then become too old.
    async fn prune_changes(&self, keep: Duration) -> Result<u64>;

    /// Loads the rows of one file in one transaction: all of them or none. This may take hours.
    /// With `skipped`, reports rows that cannot be loaded to it, and loads all others in one transaction.
    async fn load(&self, load: Load, skipped: Option<SkippedRows>) -> Result<LoadOutcome, LoadError>;
}
