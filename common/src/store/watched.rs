//! A store that logs slow calls: the function and the duration, and never a value.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{
    AdminStore, Change, ClickSink, ClickTail, Commit, Cursor, Delta, ImportOutcome, LinkFeed, LinkRows, Listing, Load,
    LoadError, LoadOutcome, NewClicks, Page, Placed, PoolStatus, Result, RetentionOutcome, Reused, SkippedRows,
    Snapshot, Total, UrlCursor, UrlSelection,
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

/// A wrapper around another store that logs its slow calls and changes nothing else.
#[derive(Debug)]
pub struct WatchedStore {
    store: Arc<dyn AdminStore>,
    /// The duration from which a call is logged. `None` disables the log.
    slow: Option<Duration>,
}

/// A call that is running. It is logged when it ends, even if its caller gave up.
struct Call {
    function: &'static str,
    began: Instant,
    slow: Option<Duration>,
}

impl WatchedStore {
    /// Logs calls that take `slow` or longer; 0 disables the slow-query log.
    pub fn new(store: Arc<dyn AdminStore>, slow: Duration) -> WatchedStore {
        WatchedStore { store, slow: (!slow.is_zero()).then_some(slow) }
    }

    fn call(&self, function: &'static str) -> Call {
        Call { function, began: Instant::now(), slow: self.slow }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        if self.slow.is_some_and(|slow| took >= slow) {
            let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
            tracing::warn!(function = self.function, duration_ms, "slow query");
        }
    }
}

/// Implements a trait by calling the same functions of the other store, each of them timed.
/// The functions after the braces are added unchanged.
macro_rules! watch {
    ($seam:ident { $($function:ident($($value:ident: $kind:ty),*) -> $answer:ty;)* } $($rest:tt)*) => {
        #[async_trait]
        impl $seam for WatchedStore {
            $(async fn $function(&self, $($value: $kind),*) -> $answer {
                let _call = self.call(stringify!($function));
                self.store.$function($($value),*).await
            })*

            $($rest)*
        }
    };
}

watch! {
    LinkFeed {
        ping() -> Result<()>;
        seal_key() -> Result<SealKey>;
        snapshot() -> Result<Snapshot>;
        delta(since: &Cursor) -> Result<Delta>;
        digest_key() -> Result<Option<DigestKey>>;
        link_sums(at: &Cursor) -> Result<LinkSums>;
        links_in(buckets: Vec<Bucket>) -> Result<LinkRows>;
    }

    fn last_answer(&self) -> Option<Instant> {
        self.store.last_answer()
    }

    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn pools(&self) -> Vec<PoolStatus> {
        self.store.pools()
    }
}

watch! {
    ClickSink {
        ship_clicks(batch: ClickBatch<'_>) -> Result<ShipOutcome>;
        find_journals(ids: &[JournalId]) -> Result<Vec<Option<JournalState>>>;
        count_misses(misses: &[NewMisses]) -> Result<()>;
        take_clicks(takes: &[ClickTake]) -> Result<Vec<TakenClicks>>;
        return_clicks(unused: &[(Id, i64)]) -> Result<()>;
    }

    fn locking_time(&self) -> Option<Duration> {
        self.store.locking_time()
    }
}

watch! {
    AdminStore {
        insert_user(user: NewUser) -> Result<User>;
        find_user(id: Id) -> Result<Option<User>>;
        list_users(page: Page) -> Result<Listing<User>>;
        update_user(id: Id, change: UserChange) -> Result<Option<User>>;
        delete_user(id: Id, cascade: bool) -> Result<Option<Change<()>>>;
        import_users(rows: Vec<UserRow>) -> Result<Vec<ImportOutcome>>;
        insert_url(url: NewUrl) -> Result<Change<Url>>;
        reuse_url(url: NewUrl, wanted: UrlChange) -> Result<Reused>;
        put_url(replacement: UrlReplacement) -> Result<Placed>;
        insert_urls(urls: Vec<NewUrl>, commit: Commit) -> Result<Change<Vec<Result<Url>>>>;
        find_url(id: Id) -> Result<Option<Url>>;
        find_urls_by_codes(codes: Vec<ShortCode>) -> Result<Vec<Url>>;
        list_urls(filter: UrlFilter, sort: UrlSort, page: Page<UrlCursor>) -> Result<Listing<Url, UrlCursor>>;
        update_url(id: Id, change: UrlChange) -> Result<Option<Change<Url>>>;
        update_urls(selection: UrlSelection, change: UrlChange) -> Result<Change<u64>>;
        change_urls(changes: Vec<(Id, UrlChange)>) -> Result<Change<Vec<Result<Url>>>>;
        delete_urls(selection: UrlSelection) -> Result<Change<u64>>;
        delete_url(id: Id, if_revision: Option<Vec<i64>>) -> Result<Option<Change<()>>>;
        insert_event(event: NewEvent) -> Result<Event>;
        find_event(id: Id) -> Result<Option<Event>>;
        list_events(filter: EventFilter, page: Page) -> Result<Listing<Event>>;
        walk_events(filter: EventFilter, after: i64, size: u32) -> Result<Vec<Event>>;
        walk_urls(filter: UrlFilter, after: i64, size: u32) -> Result<Vec<Url>>;
        follow_clicks(tail: &mut ClickTail, limit: u32) -> Result<NewClicks>;
        list_audit(filter: AuditFilter, page: Page) -> Result<Listing<AuditEntry>>;
        find_audit_entry(id: Id) -> Result<Option<AuditEntry>>;
        delete_old_audit(keep: Duration) -> Result<u64>;
        list_tags(filter: TagFilter, page: Page<TagCursor>) -> Result<Listing<TagCount, TagCursor>>;
        list_misses(limit: u32) -> Result<Vec<MissedCode>>;
        list_visits(query: VisitQuery) -> Result<(Vec<Visit>, Total)>;
        count_clicks_by_tag(filter: TagFilter) -> Result<HashMap<String, PointClicks>>;
        list_products() -> Result<Vec<Product>>;
        insert_token(token: NewToken) -> Result<Token>;
        insert_first_token(token: NewToken) -> Result<bool>;
        list_tokens() -> Result<Vec<Token>>;
        revoke_token(key: &TokenKey) -> Result<bool>;
        note_token_uses(uses: Vec<(Id, Timestamp)>) -> Result<()>;
        delete_old_journals(keep: Duration) -> Result<u64>;
        statistics(query: StatsQuery) -> Result<Option<Statistics>>;
        click_series(query: SeriesQuery) -> Result<Vec<LinkSeries>>;
        delete_old_events(keep: Duration) -> Result<RetentionOutcome>;
        write_beat() -> Result<()>;
        run_upkeep() -> Result<()>;
        prune_changes(keep: Duration) -> Result<u64>;
        load(load: Load, skipped: Option<SkippedRows>) -> Result<LoadOutcome, LoadError>;
    }
}
