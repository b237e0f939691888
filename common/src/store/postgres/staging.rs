//! The rows of a file in temporary tables of PostgreSQL, and the statements that insert them.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};

use super::query::last_id;
use crate::ClickSource;
use crate::event::EventRow;
use crate::product::ProductRow;
use crate::store::judgement::{self, FORGET_TWINS, FileRow};
use crate::store::{ImportedClick, Result, StoreError};
use crate::url::UrlRow;
use crate::user::UserRow;

/// A row that a file can bring.
pub(super) trait Stageable: FileRow {
    /// The columns of `staged` after `line`.
    const COLUMNS: &'static str;
    const TYPES: &'static [Type];

    /// The statement that inserts the rows of `marked`. `$1` is the present time, and `{id}` the id, given or generated.
    const INSERT: &'static str;

    /// The statement that runs in the transaction of the insert, after it.
    const AFTER_INSERT: Option<&'static str> = None;

    /// Returns the reason why PostgreSQL cannot store the row.
    fn unfit(&self) -> Option<String> {
        None
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)>;

    /// Returns the values that are derived from the others, for the columns after theirs.
    fn derived(&self) -> Vec<Option<String>> {
        Vec::new()
    }
}

/// Creates `marked` from `staged`.
pub(super) async fn mark<T: Stageable>(db: &ClientWrapper) -> Result<()> {
    batch(db, &format!("{}; ANALYZE marked", judgement::mark::<T>())).await
}

/// Fills `twins` anew, and returns the largest id that the table ever had.
pub(super) async fn find_twins<T: Stageable>(db: &ClientWrapper) -> Result<i64> {
    batch::<StoreError>(db, &format!("{FORGET_TWINS}; {}; ANALYZE twins", judgement::find_twins::<T>())).await?;
    Ok(db.query_one(&last_id(T::TABLE), &[]).await?.try_get(0)?)
}

/// Runs statements without results.
pub(super) async fn batch<E: From<StoreError>>(db: &ClientWrapper, sql: &str) -> Result<(), E> {
    db.batch_execute(sql).await.map_err(|error| StoreError::from(error).into())
}

impl Stageable for UserRow {
    const COLUMNS: &'static str = "id bigint, username text, email text, created_at timestamptz";
    const TYPES: &'static [Type] = &[Type::INT8, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ];
    const INSERT: &'static str = "INSERT INTO users (id, username, email, created_at)
        SELECT {id}, username, email, coalesce(created_at, $1::timestamptz) FROM marked AS s";

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.id, &self.username, &self.email, &self.created_at]
    }
}

impl Stageable for UrlRow {
    const COLUMNS: &'static str = "id bigint, user_id bigint, short_code text COLLATE \"C\", original_url text,
        title text, is_active boolean, created_at timestamptz, updated_at timestamptz, starts_at timestamptz,
        expires_at timestamptz, expired_url text, redirect_status smallint, forward_query boolean,
        notes text, external_id text COLLATE \"C\", revision bigint, imported_clicks bigint, max_clicks bigint, tags text, rules text,
        split text";
    const TYPES: &'static [Type] = &[
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::BOOL,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::TEXT,
        Type::INT2,
        Type::BOOL,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
    ];
    const INSERT: &'static str = "INSERT INTO urls (id, user_id, short_code, original_url, title, is_active,
            starts_at, expires_at, expired_url, redirect_status, forward_query, notes, external_id, revision,
            imported_clicks, max_clicks, tags, rules, split, created_at, updated_at)
        SELECT {id}, user_id, short_code, original_url, title, is_active,
               starts_at, expires_at, expired_url, redirect_status, forward_query, notes, external_id,
               coalesce(revision, 1), imported_clicks, max_clicks, coalesce(string_to_array(tags, '|'), '{}'), rules, split,
               coalesce(created_at, $1::timestamptz), coalesce(updated_at, created_at, $1::timestamptz)
        FROM marked AS s";

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.id,
            &self.user_id,
            &self.short_code,
            &self.original_url,
            &self.title,
            &self.is_active,
            &self.created_at,
            &self.updated_at,
            &self.options.starts_at,
            &self.options.expires_at,
            &self.options.expired_url,
            &self.options.redirect_status,
            &self.options.forward_query,
            &self.labels.notes,
            &self.labels.external_id,
            &self.revision,
            &self.imported_clicks,
            &self.options.max_clicks,
        ]
    }

    /// Returns the tags, none of which contains the separator, and the rules and the split as JSON.
    fn derived(&self) -> Vec<Option<String>> {
        let tags: Vec<&str> = self.labels.tags.iter().collect();
        let tags = (!tags.is_empty()).then(|| tags.join("|"));
        vec![tags, self.options.rules.to_stored(), self.options.split.to_stored()]
    }
}

impl Stageable for EventRow {
    const COLUMNS: &'static str = "id bigint, url_id bigint, user_id bigint, event_type text COLLATE \"C\",
        timestamp timestamptz, details text, visitor text, referrer text, source text, target text";
    const TYPES: &'static [Type] = &[
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
    ];
    const INSERT: &'static str =
        "INSERT INTO events (id, url_id, user_id, event_type, timestamp, details, visitor, referrer, source, target)
        SELECT {id}, url_id, user_id, event_type, coalesce(timestamp, $1::timestamptz), details::json, visitor, referrer,
               source, target
        FROM marked AS s";

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.id, &self.url_id, &self.user_id, &self.event_type, &self.timestamp, &self.details]
    }

    fn derived(&self) -> Vec<Option<String>> {
        let source = ClickSource::of_event(self.event_type.as_str(), &self.details);
        let visitor = source.visitor.map(|visitor| visitor.to_string());
        vec![visitor, source.referrer, source.source, source.target]
    }
}

impl Stageable for ImportedClick {
    const COLUMNS: &'static str = EventRow::COLUMNS;
    const TYPES: &'static [Type] = EventRow::TYPES;
    const INSERT: &'static str = EventRow::INSERT;
    const AFTER_INSERT: Option<&'static str> = Some(
        "UPDATE urls SET imported_clicks = greatest(imported_clicks - clicked.n, 0)
         FROM (SELECT url_id, count(*) AS n FROM marked GROUP BY url_id) AS clicked WHERE urls.id = clicked.url_id",
    );

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.values()
    }

    fn derived(&self) -> Vec<Option<String>> {
        self.0.derived()
    }
}

impl Stageable for ProductRow {
    const COLUMNS: &'static str = "id bigint, name text, category text, price_hundredths bigint, stock bigint";
    const TYPES: &'static [Type] = &[Type::INT8, Type::TEXT, Type::TEXT, Type::INT8, Type::INT8];
    const INSERT: &'static str = "INSERT INTO products (id, name, category, price_hundredths, stock)
        SELECT {id}, name, category, price_hundredths, stock FROM marked AS s WHERE $1::timestamptz IS NOT NULL";

    fn unfit(&self) -> Option<String> {
        let nul = |column: &str, text: &str| {
            text.contains('\0').then(|| format!("{column} must not hold the character U+0000"))
        };
        nul("name", &self.name).or_else(|| nul("category", &self.category))
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.id, &self.name, &self.category, &self.price, &self.stock]
    }
}
