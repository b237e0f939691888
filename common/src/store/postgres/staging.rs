//! The rows of a file in a temporary table, `staged`, and what the database has to say of them.
//!
//! Rows are judged as if they were inserted one after another, in the order of the file.

use tokio_postgres::types::{ToSql, Type};

use crate::ClickSource;
use crate::event::EventRow;
use crate::product::ProductRow;
use crate::url::UrlRow;
use crate::user::UserRow;

/// A row that a file can bring. All SQL reads `staged AS s`, whose column `line` comes before those of `COLUMNS`.
pub(super) trait Stageable: Send + 'static {
    const TABLE: &'static str;
    const COLUMNS: &'static str;
    const TYPES: &'static [Type];

    /// Whether the table has the row: by its id, or where the file gives none, by what it says.
    const IS_THERE: &'static str;

    /// The first lines of the file that bring the same thing as this one does, as columns `first_...`.
    const FIRSTS: &'static str;

    /// Whether an earlier line of the file brought the row already.
    const IS_REPEATED: &'static str;

    /// Why the row cannot be inserted, or NULL.
    const REFUSAL: &'static str;

    /// Inserts the rows; `$1` is the present time, and `{id}` stands for the id, given or drawn.
    const INSERT: &'static str;

    /// Why PostgreSQL could not even hold the row.
    fn unfit(&self) -> Option<String> {
        None
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)>;

    /// What is told from the values, in the columns behind theirs.
    fn derived(&self) -> Vec<Option<String>> {
        Vec::new()
    }
}

impl Stageable for UserRow {
    const TABLE: &'static str = "users";
    const COLUMNS: &'static str = "id bigint, username text, email text, created_at timestamptz";
    const TYPES: &'static [Type] = &[Type::INT8, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ];
    const IS_THERE: &'static str = "CASE WHEN s.id IS NULL
        THEN EXISTS (SELECT FROM users AS t WHERE t.username = s.username AND t.email = s.email)
        ELSE EXISTS (SELECT FROM users AS t WHERE t.id = s.id) END";
    const FIRSTS: &'static str = "min(line) OVER (PARTITION BY id) AS first_id,
        min(line) OVER (PARTITION BY username, email) AS first_alike,
        min(line) OVER (PARTITION BY username) AS first_username, min(line) OVER (PARTITION BY email) AS first_email";
    const IS_REPEATED: &'static str = "s.line > CASE WHEN s.id IS NULL THEN s.first_alike ELSE s.first_id END";
    const REFUSAL: &'static str = "CASE
        WHEN s.line > s.first_username OR EXISTS (SELECT FROM users AS t WHERE t.username = s.username)
            THEN 'Username is already taken'
        WHEN s.line > s.first_email OR EXISTS (SELECT FROM users AS t WHERE t.email = s.email)
            THEN 'Email is already taken'
        END";
    const INSERT: &'static str = "INSERT INTO users (id, username, email, created_at)
        SELECT {id}, username, email, coalesce(created_at, $1::timestamptz) FROM staged AS s";

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.id, &self.username, &self.email, &self.created_at]
    }
}

impl Stageable for UrlRow {
    const TABLE: &'static str = "urls";
    const COLUMNS: &'static str = "id bigint, user_id bigint, short_code text COLLATE \"C\", original_url text,
        title text, is_active boolean, created_at timestamptz, updated_at timestamptz";
    const TYPES: &'static [Type] =
        &[Type::INT8, Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT, Type::BOOL, Type::TIMESTAMPTZ, Type::TIMESTAMPTZ];
    const IS_THERE: &'static str = "CASE WHEN s.id IS NULL
        THEN EXISTS (SELECT FROM urls AS t WHERE t.short_code = s.short_code AND t.original_url = s.original_url)
        ELSE EXISTS (SELECT FROM urls AS t WHERE t.id = s.id) END";
    const FIRSTS: &'static str = "min(line) OVER (PARTITION BY id) AS first_id,
        min(line) OVER (PARTITION BY short_code, original_url) AS first_alike,
        min(line) OVER (PARTITION BY short_code) AS first_short_code";
    const IS_REPEATED: &'static str = "s.line > CASE WHEN s.id IS NULL THEN s.first_alike ELSE s.first_id END";
    const REFUSAL: &'static str = "CASE
        WHEN s.line > s.first_short_code OR EXISTS (SELECT FROM urls AS t WHERE t.short_code = s.short_code)
            THEN 'Short code is already taken'
        WHEN NOT EXISTS (SELECT FROM users AS t WHERE t.id = s.user_id) THEN 'User ' || s.user_id || ' not found'
        END";
    const INSERT: &'static str = "INSERT INTO urls
        (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
        SELECT {id}, user_id, short_code, original_url, title, is_active,
               coalesce(created_at, $1::timestamptz), coalesce(updated_at, created_at, $1::timestamptz)
        FROM staged AS s";

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
        ]
    }
}

impl Stageable for EventRow {
    const TABLE: &'static str = "events";
    const COLUMNS: &'static str = "id bigint, url_id bigint, user_id bigint, event_type text COLLATE \"C\",
        timestamp timestamptz, details text, browser text, referrer text";
    const TYPES: &'static [Type] =
        &[Type::INT8, Type::INT8, Type::INT8, Type::TEXT, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT, Type::TEXT];
    const IS_THERE: &'static str = "CASE WHEN s.id IS NULL
        THEN EXISTS (
            SELECT FROM events AS t
            WHERE t.url_id = s.url_id AND t.user_id = s.user_id AND t.event_type = s.event_type
                AND t.timestamp = s.timestamp AND t.details::text = s.details
        )
        ELSE EXISTS (SELECT FROM events AS t WHERE t.id = s.id) END";
    const FIRSTS: &'static str = "min(line) OVER (PARTITION BY id) AS first_id,
        min(line) OVER (PARTITION BY url_id, user_id, event_type, timestamp, details) AS first_alike";
    const IS_REPEATED: &'static str = "CASE WHEN s.id IS NOT NULL THEN s.line > s.first_id
        ELSE s.timestamp IS NOT NULL AND s.line > s.first_alike END";
    const REFUSAL: &'static str = "CASE
        WHEN NOT EXISTS (SELECT FROM urls AS t WHERE t.id = s.url_id) THEN 'URL ' || s.url_id || ' not found'
        WHEN NOT EXISTS (SELECT FROM users AS t WHERE t.id = s.user_id) THEN 'User ' || s.user_id || ' not found'
        END";
    const INSERT: &'static str =
        "INSERT INTO events (id, url_id, user_id, event_type, timestamp, details, browser, referrer)
        SELECT {id}, url_id, user_id, event_type, coalesce(timestamp, $1::timestamptz), details::json, browser, referrer
        FROM staged AS s";

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.id, &self.url_id, &self.user_id, &self.event_type, &self.timestamp, &self.details]
    }

    fn derived(&self) -> Vec<Option<String>> {
        let ClickSource { browser, referrer } = ClickSource::of_event(self.event_type.as_str(), &self.details);
        vec![browser.map(str::to_owned), referrer]
    }
}

impl Stageable for ProductRow {
    const TABLE: &'static str = "products";
    const COLUMNS: &'static str = "id bigint, name text, category text, price_hundredths bigint, stock bigint";
    const TYPES: &'static [Type] = &[Type::INT8, Type::TEXT, Type::TEXT, Type::INT8, Type::INT8];
    const IS_THERE: &'static str = "CASE WHEN s.id IS NULL
        THEN EXISTS (
            SELECT FROM products AS t
            WHERE (t.name, t.category, t.price_hundredths, t.stock)
                = (s.name, s.category, s.price_hundredths, s.stock)
        )
        ELSE EXISTS (SELECT FROM products AS t WHERE t.id = s.id) END";
    const FIRSTS: &'static str = "min(line) OVER (PARTITION BY id) AS first_id,
        min(line) OVER (PARTITION BY name, category, price_hundredths, stock) AS first_alike";
    const IS_REPEATED: &'static str = "s.line > CASE WHEN s.id IS NULL THEN s.first_alike ELSE s.first_id END";
    const REFUSAL: &'static str = "NULL::text";
    const INSERT: &'static str = "INSERT INTO products (id, name, category, price_hundredths, stock)
        SELECT {id}, name, category, price_hundredths, stock FROM staged AS s WHERE $1::timestamptz IS NOT NULL";

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
