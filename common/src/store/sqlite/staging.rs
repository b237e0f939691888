//! The rows of a file in a temporary table of SQLite, and the statement that inserts them.
//!
//! A temporary table has its own file, which SQLite unlinks when it creates it. So a kill leaves no file.

use rusqlite::{Connection, Error, Statement, params};

use super::query::last_id;
use super::urls::json_of;
use crate::ClickSource;
use crate::event::EventRow;
use crate::link_labels::{ExternalId, LinkLabels, Notes};
use crate::product::ProductRow;
use crate::store::judgement::{self, FORGET_TWINS, FileRow};
use crate::store::{ImportedClick, Result};
use crate::url::{Title, UrlRow};
use crate::user::UserRow;

/// A row that a file can bring.
pub(super) trait Stageable: FileRow {
    /// The columns of `staged` after `line` and `id`.
    const COLUMNS: &'static str;

    /// The statement that stages a row. Its parameters are `line`, `id` and the columns.
    const STAGE: &'static str;

    /// The statement that inserts the rows of `marked` in their order. `?1` is the present time.
    const INSERT: &'static str;

    /// The statement that runs in the transaction of the insert, after it.
    const AFTER_INSERT: Option<&'static str> = None;

    /// The columns by which `TWINS` looks up `marked`, if it does not look up the table by an index.
    const TWIN_KEYS: Option<&'static str> = None;

    /// The columns whose values `row_counts` counts. `None` if the table is not counted.
    const COUNTED_BY: Option<&'static [&'static str]>;

    /// Whether rows of type `clicked` are counted by the hour.
    const BRINGS_CLICKS: bool = false;

    /// Whether the feed of changes gets the rows.
    const CHANGES_LINKS: bool = false;

    fn stage(&self, line: i64, stage: &mut Statement<'_>) -> Result<usize, Error>;
}

/// Creates `marked` from `staged`.
pub(super) fn mark<T: Stageable>(connection: &Connection) -> Result<()> {
    connection.execute_batch(&judgement::mark::<T>())?;
    if let Some(keys) = T::TWIN_KEYS {
        let index = "CREATE INDEX temp.marked_twin_keys ON marked";
        connection.execute_batch(&format!("{index} ({keys}) WHERE id IS NULL AND line = first_without_id"))?;
    }
    Ok(())
}

/// Fills `twins` anew, and returns the largest id that the table ever had.
pub(super) fn find_twins<T: Stageable>(connection: &Connection) -> Result<i64> {
    connection.execute(FORGET_TWINS, [])?;
    connection.execute(&judgement::find_twins::<T>(), [])?;
    last_id(connection, T::TABLE)
}

impl Stageable for UserRow {
    const COLUMNS: &'static str = "username TEXT, email TEXT, created_at INTEGER";
    const STAGE: &'static str = "INSERT INTO staged VALUES (?1, ?2, ?3, ?4, ?5)";
    const INSERT: &'static str = "INSERT INTO users (id, username, email, created_at)
        SELECT id, username, email, coalesce(created_at, ?1) FROM marked ORDER BY rowid";
    const COUNTED_BY: Option<&'static [&'static str]> = Some(&[]);

    fn stage(&self, line: i64, stage: &mut Statement<'_>) -> Result<usize, Error> {
        stage.execute((line, self.id, self.username.as_str(), self.email.as_str(), self.created_at))
    }
}

impl Stageable for UrlRow {
    const COLUMNS: &'static str = "user_id INTEGER, short_code TEXT, original_url TEXT, title TEXT, is_active INTEGER,
        created_at INTEGER, updated_at INTEGER, starts_at INTEGER, expires_at INTEGER, expired_url TEXT,
        redirect_status INTEGER, forward_query INTEGER, tags TEXT, notes TEXT, external_id TEXT, revision INTEGER,
        imported_clicks INTEGER, max_clicks INTEGER, rules TEXT, split TEXT";
    const STAGE: &'static str = "INSERT INTO staged
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";
    const INSERT: &'static str = "INSERT INTO urls (id, user_id, short_code, original_url, title, is_active,
            starts_at, expires_at, expired_url, redirect_status, forward_query, tags, notes, external_id, revision,
            imported_clicks, max_clicks, rules, split, created_at, updated_at)
        SELECT id, user_id, short_code, original_url, title, is_active,
               starts_at, expires_at, expired_url, redirect_status, forward_query, tags, notes, external_id,
               coalesce(revision, 1), imported_clicks, max_clicks, rules, split,
               coalesce(created_at, ?1), coalesce(updated_at, created_at, ?1)
        FROM marked ORDER BY rowid";
    const COUNTED_BY: Option<&'static [&'static str]> = Some(&["user_id", "is_active"]);
    const CHANGES_LINKS: bool = true;

    fn stage(&self, line: i64, stage: &mut Statement<'_>) -> Result<usize, Error> {
        let LinkLabels { tags, notes, external_id } = &self.labels;
        stage.execute(params![
            line,
            self.id,
            self.user_id,
            self.short_code.as_str(),
            self.original_url.as_given(),
            self.title.as_ref().map(Title::as_str),
            self.is_active,
            self.created_at,
            self.updated_at,
            self.options.starts_at,
            self.options.expires_at,
            &self.options.expired_url,
            self.options.redirect_status,
            self.options.forward_query,
            json_of(&tags.iter().collect::<Vec<_>>()),
            notes.as_ref().map(Notes::as_str),
            external_id.as_ref().map(ExternalId::as_str),
            self.revision,
            self.imported_clicks,
            self.options.max_clicks,
            self.options.rules.to_stored(),
            self.options.split.to_stored(),
        ])
    }
}

impl Stageable for EventRow {
    const COLUMNS: &'static str = "url_id INTEGER, user_id INTEGER, event_type TEXT, timestamp INTEGER, details TEXT,
        visitor TEXT, referrer TEXT, source TEXT, target TEXT";
    const STAGE: &'static str = "INSERT INTO staged VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    const INSERT: &'static str =
        "INSERT INTO events (id, url_id, user_id, event_type, timestamp, details, visitor, referrer, source, target)
        SELECT id, url_id, user_id, event_type, coalesce(timestamp, ?1), details, visitor, referrer, source, target
        FROM marked ORDER BY rowid";
    const TWIN_KEYS: Option<&'static str> = Some("url_id, timestamp, user_id, event_type, details");
    const COUNTED_BY: Option<&'static [&'static str]> = Some(&["url_id", "user_id", "event_type"]);
    const BRINGS_CLICKS: bool = true;

    fn stage(&self, line: i64, stage: &mut Statement<'_>) -> Result<usize, Error> {
        let event_type = self.event_type.as_str();
        let ClickSource { visitor, referrer, source, target } = ClickSource::of_event(event_type, &self.details);
        let (visitor, details) = (visitor.map(|visitor| visitor.to_string()), self.details.as_str());
        let (url_id, user_id, at) = (self.url_id, self.user_id, self.timestamp);
        stage.execute((line, self.id, url_id, user_id, event_type, at, details, visitor, referrer, source, target))
    }
}

impl Stageable for ImportedClick {
    const COLUMNS: &'static str = EventRow::COLUMNS;
    const STAGE: &'static str = EventRow::STAGE;
    const INSERT: &'static str = EventRow::INSERT;
    const AFTER_INSERT: Option<&'static str> = Some(
        "UPDATE urls SET imported_clicks = max(imported_clicks - clicked.n, 0)
         FROM (SELECT url_id, count(*) AS n FROM marked GROUP BY url_id) AS clicked WHERE urls.id = clicked.url_id",
    );
    const TWIN_KEYS: Option<&'static str> = EventRow::TWIN_KEYS;
    const COUNTED_BY: Option<&'static [&'static str]> = EventRow::COUNTED_BY;
    const BRINGS_CLICKS: bool = EventRow::BRINGS_CLICKS;

    fn stage(&self, line: i64, stage: &mut Statement<'_>) -> Result<usize, Error> {
        self.0.stage(line, stage)
    }
}

impl Stageable for ProductRow {
    const COLUMNS: &'static str = "name TEXT, category TEXT, price_hundredths INTEGER, stock INTEGER";
    const STAGE: &'static str = "INSERT INTO staged VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    const INSERT: &'static str = "INSERT INTO products (id, name, category, price_hundredths, stock)
        SELECT id, name, category, price_hundredths, stock FROM marked WHERE ?1 IS NOT NULL ORDER BY rowid";
    const TWIN_KEYS: Option<&'static str> = Some("name, category, price_hundredths, stock");
    const COUNTED_BY: Option<&'static [&'static str]> = None;

    fn stage(&self, line: i64, stage: &mut Statement<'_>) -> Result<usize, Error> {
        stage.execute((line, self.id, &self.name, &self.category, self.price.hundredths(), self.stock))
    }
}
