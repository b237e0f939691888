//! The traits of the store, one for each kind of caller: a redirector follows links and hands in clicks, an admin does the rest.
//!
//! Implementations answer within two seconds, if only with [`StoreError::Unavailable`](super::StoreError::Unavailable) or
//! [`StoreError::Busy`](super::StoreError::Busy).

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{
    Changed, Cursor, Delta, Forgotten, Imported, Listing, Load, LoadError, Loaded, Page, PoolStatus, Result,
    SkippedRows, Snapshot,
};
use crate::event::{Event, EventFilter, NewEvent};
use crate::product::Product;
use crate::seal_key::SealKey;
use crate::token::{NewToken, Token, TokenName};
use crate::url::{NewUrl, Url, UrlChange, UrlFilter};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{ClickBatch, ClickStats, Id, JournalId, JournalState, ShipOutcome, StatsRange, Timestamp};

/// The links that redirectors serve, and how the database fares. It changes nothing.
#[async_trait]
pub trait LinkFeed: fmt::Debug + Send + Sync + 'static {
    /// Whether the database answers.
    async fn ping(&self) -> Result<()>;
    /// Returns the secret by which processes of one Tern know each other on a bus and a cache.
    async fn seal_key(&self) -> Result<SealKey>;
    async fn snapshot(&self) -> Result<Snapshot>;
    async fn delta(&self, since: &Cursor) -> Result<Delta>;
    /// When the database last answered a call, if only with a refusal; `None` before the first answer.
    fn last_answer(&self) -> Option<Instant>;
    /// How full its pools of connections are, now.
    fn pools(&self) -> Vec<PoolStatus>;
}

/// The place where clicks go.
#[async_trait]
pub trait ClickSink: fmt::Debug + Send + Sync + 'static {
    /// Moves a journal on and makes its clicks events, in one transaction: all of the batch, or nothing of it.
    /// If two ship from one place of a journal, one gets the journal's new place instead.
    /// A click is recorded only if its id and its code name one url, or did before the url was renamed.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`](super::StoreError::Unavailable), which a batch may take ten seconds to come to, the batch may be in or not:
    /// shipping it again, or [`ClickSink::find_journals`], tells. [`StoreError::Unfit`](super::StoreError::Unfit) refuses what a click holds.
    async fn ship_clicks(&self, batch: ClickBatch<'_>) -> Result<ShipOutcome>;
    /// Where journals stand, in the order asked for; `None` for one of which nothing was shipped.
    async fn find_journals(&self, ids: &[JournalId]) -> Result<Vec<Option<JournalState>>>;
}

/// Everything that an admin reads and changes.
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
    /// Deletes a user with the events recorded under it, and with `cascade` its urls and theirs,
    /// as [`AdminStore::delete_url`] does. Many urls go in parts that are each committed, and the user with the last.
    ///
    /// # Errors
    /// [`StoreError::UserOwnsUrls`](super::StoreError::UserOwnsUrls) without `cascade`.
    async fn delete_user(&self, id: Id, cascade: bool) -> Result<Option<Changed<()>>>;
    /// Imports users in one transaction, one answer for each row; a row that cannot be kept does not harm the others.
    async fn import_users(&self, rows: Vec<UserRow>) -> Result<Vec<Imported>>;

    /// Inserts the url and its `created` event.
    ///
    /// # Errors
    /// [`StoreError::ShortCodeTaken`](super::StoreError::ShortCodeTaken), [`StoreError::UnknownUser`](super::StoreError::UnknownUser).
    async fn insert_url(&self, url: NewUrl) -> Result<Changed<Url>>;
    async fn find_url(&self, id: Id) -> Result<Option<Url>>;
    async fn list_urls(&self, filter: UrlFilter, page: Page) -> Result<Listing<Url>>;
    /// Changes the url and records its `updated` event; an empty change does neither.
    async fn update_url(&self, id: Id, change: UrlChange) -> Result<Option<Changed<Url>>>;
    /// Deletes the url and its events, in one transaction. If the events are more than 50,000, most of them go before, in
    /// parts that are each committed, and the link is served until the last part: that takes longer than two seconds,
    /// some tens of thousands of events a second, and a call that was cut short is repeated and goes on from there.
    async fn delete_url(&self, id: Id) -> Result<Option<Changed<()>>>;

    /// Inserts an event, under the owner of its link unless it names a user.
    ///
    /// # Errors
    /// [`StoreError::UnknownUrl`](super::StoreError::UnknownUrl), [`StoreError::UnknownUser`](super::StoreError::UnknownUser).
    async fn insert_event(&self, event: NewEvent) -> Result<Event>;
    async fn find_event(&self, id: Id) -> Result<Option<Event>>;
    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listing<Event>>;

    async fn list_products(&self) -> Result<Vec<Product>>;

    /// # Errors
    /// [`StoreError::TokenNameTaken`](super::StoreError::TokenNameTaken) by a token that was not revoked.
    async fn insert_token(&self, token: NewToken) -> Result<Token>;
    /// Inserts the token if there never was one; whether it did. Of two at once with one name, one does.
    async fn insert_first_token(&self, token: NewToken) -> Result<bool>;
    /// Every token there ever was, revoked and expired ones among them, by id.
    async fn list_tokens(&self) -> Result<Vec<Token>>;
    /// Revokes the token of this name; false if there is none that was not revoked.
    async fn revoke_token(&self, name: &TokenName) -> Result<bool>;
    /// Notes when tokens were last used.
    async fn note_token_uses(&self, uses: Vec<(Id, Timestamp)>) -> Result<()>;

    /// Forgets where journals stand that moved longer than `keep` ago. Their clicks stay.
    /// Forgets nothing if no journal moved since: living journals move every day, so the clock must be wrong.
    async fn forget_journals(&self, keep: Duration) -> Result<u64>;

    /// How often a url was followed, from counts that are kept as clicks come and go; `None` if there is no such url.
    async fn click_stats(&self, url: Id, range: StatsRange) -> Result<Option<ClickStats>>;
    /// Forgets events of any type that are older than `keep` by the clock of the database, unless all of them are.
    async fn forget_events(&self, keep: Duration) -> Result<Forgotten>;
    /// Does what has to be done every minute, such as making room ahead. Without it the store works, and slows down.
    async fn keep_up(&self) -> Result<()>;

    /// Forgets changes older than `keep`. Cursors from before then become too old.
    async fn prune_changes(&self, keep: Duration) -> Result<u64>;

    /// Loads the rows of one file in one transaction: all of them or none.
    /// With `skipped`, rows that cannot be loaded go there, and all others are loaded in one transaction.
    async fn load(&self, load: Load, skipped: Option<SkippedRows>) -> Result<Loaded, LoadError>;
}
