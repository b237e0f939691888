//! Checks of a file's rows before any of them is inserted, in SQL that both databases understand.
//!
//! A store copies the rows into a temporary table `staged`, whose first columns are `line` and `id`.
//! The statements here derive two more tables from it.
//! `marked` adds which lines of the file repeat each other.
//! `twins` lists the rows without an id that the store already has.
//! Rows are judged in the order of the file, as if they were inserted one after another.
//! No statement here locks a row or a table that other writers need.

use super::{ImportedClick, LoadError};
use crate::Id;
use crate::event::EventRow;
use crate::product::ProductRow;
use crate::url::UrlRow;
use crate::user::UserRow;

/// A kind of row that a file can bring.
/// In its SQL, `s` is a row of the file (a row of `marked`), and `t` is a row of the table.
pub(super) trait FileRow: Send + 'static {
    const TABLE: &'static str;

    /// The columns in which two rows must agree to be alike.
    const ALIKE: &'static str;

    /// Columns `first_...`: for each unique value, the first line of the file with the same value.
    const FIRSTS: &'static [&'static str] = &[];

    /// The condition under which a row without an id that repeats an earlier line is refused.
    const REPEATS: &'static str = "true";

    /// The condition under which the row `t` with the id of `s` is another row.
    const IS_OTHER: &'static str;

    /// The reason to refuse a row whose id belongs to another row.
    const OTHER: &'static str;

    /// The query for the lines of rows without an id that the table already has.
    /// Among alike rows it may find only the first one without an id, `first_without_id`.
    const TWINS: &'static str;

    /// The reason to refuse a row because an earlier line of the file has the same unique value, or NULL.
    const CLASH: &'static str = "CAST(NULL AS text)";

    /// The earlier line that `CLASH` names, or NULL.
    const CLASH_LINE: &'static str = "CAST(NULL AS bigint)";

    /// The reason to refuse a new row because of rows in the store, or NULL.
    const REFUSAL: &'static str;
}

impl FileRow for UserRow {
    const TABLE: &'static str = "users";
    const ALIKE: &'static str = "username, email";
    const FIRSTS: &'static [&'static str] = &[
        "min(line) OVER (PARTITION BY username) AS first_username",
        "min(line) OVER (PARTITION BY email) AS first_email",
    ];
    const IS_OTHER: &'static str = "t.username <> s.username";
    const OTHER: &'static str = "'id ' || s.id || ' belongs to another user: ' || t.username";
    const TWINS: &'static str = "SELECT s.line FROM marked AS s CROSS JOIN users AS t
        WHERE s.id IS NULL AND t.username = s.username AND t.email = s.email";
    const CLASH: &'static str = "CASE
        WHEN s.line > s.first_username THEN 'Username is already taken by line ' || s.first_username || ' of this file'
        WHEN s.line > s.first_email THEN 'Email is already taken by line ' || s.first_email || ' of this file'
        END";
    const CLASH_LINE: &'static str = "CASE
        WHEN s.line > s.first_username THEN s.first_username
        WHEN s.line > s.first_email THEN s.first_email
        END";
    const REFUSAL: &'static str = "CASE
        WHEN EXISTS (SELECT 1 FROM users AS t WHERE t.username = s.username) THEN 'Username is already taken'
        WHEN EXISTS (SELECT 1 FROM users AS t WHERE t.email = s.email) THEN 'Email is already taken'
        END";
}

impl FileRow for UrlRow {
    const TABLE: &'static str = "urls";
    const ALIKE: &'static str = "short_code, original_url";
    const FIRSTS: &'static [&'static str] = &[
        "min(line) OVER (PARTITION BY short_code) AS first_short_code",
        "CASE WHEN external_id IS NULL THEN line ELSE min(line) OVER (PARTITION BY user_id, external_id) END
            AS first_external_id",
    ];
    const IS_OTHER: &'static str = "t.short_code <> s.short_code";
    const OTHER: &'static str = "'id ' || s.id || ' belongs to another link: ' || t.short_code";
    const TWINS: &'static str = "SELECT s.line FROM marked AS s CROSS JOIN urls AS t
        WHERE s.id IS NULL AND t.short_code = s.short_code AND t.original_url = s.original_url";
    const CLASH: &'static str = "CASE
        WHEN s.line > s.first_short_code
            THEN 'Short code is already taken by line ' || s.first_short_code || ' of this file'
        WHEN s.line > s.first_external_id
            THEN 'External id is already taken by line ' || s.first_external_id || ' of this file'
        END";
    const CLASH_LINE: &'static str = "CASE
        WHEN s.line > s.first_short_code THEN s.first_short_code
        WHEN s.line > s.first_external_id THEN s.first_external_id
        END";
    const REFUSAL: &'static str = "CASE
        WHEN EXISTS (SELECT 1 FROM urls AS t WHERE t.short_code = s.short_code) THEN 'Short code is already taken'
        WHEN NOT EXISTS (SELECT 1 FROM users AS t WHERE t.id = s.user_id) THEN 'User ' || s.user_id || ' not found'
        WHEN EXISTS (SELECT 1 FROM urls AS t WHERE t.user_id = s.user_id AND t.external_id = s.external_id)
            THEN 'External id is already taken by another link of this user'
        END";
}

impl FileRow for EventRow {
    const TABLE: &'static str = "events";
    const ALIKE: &'static str = "url_id, user_id, event_type, timestamp, details, id IS NULL OR timestamp IS NOT NULL";
    /// Each row without a time is a separate event that happens now.
    const REPEATS: &'static str = "s.timestamp IS NOT NULL";
    const IS_OTHER: &'static str = "t.url_id <> s.url_id OR t.user_id <> s.user_id OR t.event_type <> s.event_type
        OR t.timestamp <> s.timestamp OR CAST(t.details AS text) <> s.details";
    const OTHER: &'static str =
        "'id ' || s.id || ' belongs to another event: ' || t.event_type || ' of link ' || t.url_id";
    /// Reads the events of each link once, and looks each of them up among the rows of the file.
    /// A row without a time is compared by everything else.
    const TWINS: &'static str = "SELECT s.line
        FROM (SELECT DISTINCT url_id FROM marked WHERE id IS NULL) AS link CROSS JOIN events AS t CROSS JOIN marked AS s
        WHERE t.url_id = link.url_id AND s.id IS NULL AND s.line = s.first_without_id AND s.url_id = t.url_id
            AND s.timestamp = t.timestamp AND s.user_id = t.user_id AND s.event_type = t.event_type
            AND s.details = CAST(t.details AS text)
        UNION
        SELECT s.line
        FROM (SELECT DISTINCT url_id FROM marked WHERE id IS NULL AND timestamp IS NULL) AS link
        CROSS JOIN events AS t CROSS JOIN marked AS s
        WHERE t.url_id = link.url_id AND s.id IS NULL AND s.line = s.first_without_id AND s.url_id = t.url_id
            AND s.timestamp IS NULL AND s.user_id = t.user_id AND s.event_type = t.event_type
            AND s.details = CAST(t.details AS text)";
    const REFUSAL: &'static str = "CASE
        WHEN NOT EXISTS (SELECT 1 FROM urls AS t WHERE t.id = s.url_id) THEN 'URL ' || s.url_id || ' not found'
        WHEN NOT EXISTS (SELECT 1 FROM users AS t WHERE t.id = s.user_id) THEN 'User ' || s.user_id || ' not found'
        END";
}

impl FileRow for ImportedClick {
    const TABLE: &'static str = EventRow::TABLE;
    const ALIKE: &'static str = EventRow::ALIKE;
    const REPEATS: &'static str = EventRow::REPEATS;
    const IS_OTHER: &'static str = EventRow::IS_OTHER;
    const OTHER: &'static str = EventRow::OTHER;
    const TWINS: &'static str = EventRow::TWINS;
    const REFUSAL: &'static str = EventRow::REFUSAL;
}

impl FileRow for ProductRow {
    const TABLE: &'static str = "products";
    const ALIKE: &'static str = "name, category, price_hundredths, stock";
    const IS_OTHER: &'static str = "t.name <> s.name";
    const OTHER: &'static str = "'id ' || s.id || ' belongs to another product: ' || t.name";
    const TWINS: &'static str = "SELECT s.line FROM products AS t CROSS JOIN marked AS s
        WHERE s.id IS NULL AND s.line = s.first_without_id AND s.name = t.name AND s.category = t.category
            AND s.price_hundredths = t.price_hundredths AND s.stock = t.stock";
    const REFUSAL: &'static str = "CAST(NULL AS text)";
}

/// Returns the statements that create `marked` from `staged`, rows with an id first, and an empty `twins`.
pub(super) fn mark<T: FileRow>() -> String {
    let alike = T::ALIKE;
    let firsts: String = T::FIRSTS.iter().flat_map(|first| [", ", first]).collect();
    format!(
        "CREATE TEMPORARY TABLE marked AS
         SELECT staged.*, min(line) OVER (PARTITION BY id) AS first_id,
                min(line) OVER (PARTITION BY {alike}) AS first_alike,
                min(line) FILTER (WHERE id IS NULL) OVER (PARTITION BY {alike}) AS first_without_id{firsts}
         FROM staged
         ORDER BY id IS NULL, id, line;
         CREATE TEMPORARY TABLE twins (line bigint PRIMARY KEY)"
    )
}

/// Drops `staged`, which is not needed after [`mark`].
pub(super) const FORGET_STAGED: &str = "DROP TABLE staged";

/// Drops the tables that [`mark`] creates.
pub(super) const UNMARK: &str = "DROP TABLE marked; DROP TABLE twins";

/// Empties `twins`, for [`find_twins`].
pub(super) const FORGET_TWINS: &str = "DELETE FROM twins";

/// Returns the statement that fills `twins`.
pub(super) fn find_twins<T: FileRow>() -> String {
    format!("INSERT INTO twins SELECT DISTINCT line FROM ({}) AS found", T::TWINS)
}

/// Returns the query for the five values that [`Judgement::new`] takes.
/// `last_id` is the largest id that the table ever had.
pub(super) fn judge<T: FileRow>(last_id: i64) -> String {
    let (repeats, clash, from) = (repeats::<T>(), T::CLASH, judged_from::<T>());
    let refusal = refusal::<T>(last_id, &format!("coalesce({clash}, {})", T::REFUSAL));
    format!(
        "WITH judged AS MATERIALIZED (
             SELECT s.line, t.id IS NOT NULL OR twins.line IS NOT NULL AS is_there, CASE {repeats} {refusal} END AS refusal
             FROM {from}
         ), first AS (
             SELECT count(*) FILTER (WHERE is_there) AS there,
                    min(line) FILTER (WHERE is_there) AS first_there,
                    min(line) FILTER (WHERE NOT is_there) AS first_new,
                    min(line) FILTER (WHERE refusal IS NOT NULL) AS first_refused
             FROM judged
         )
         SELECT there, first_there, first_new, first_refused,
                (SELECT refusal FROM judged WHERE line = first_refused) AS refusal
         FROM first"
    )
}

/// Returns the branches of a CASE that refuse a row that repeats an earlier line of the file.
fn repeats<T: FileRow>() -> String {
    let repeats = T::REPEATS;
    format!(
        "WHEN s.id IS NOT NULL AND s.line > s.first_id
             THEN 'id ' || s.id || ' is given by line ' || s.first_id || ' of this file, too'
         WHEN s.id IS NULL AND s.line > s.first_alike AND {repeats}
             THEN 'this row repeats line ' || s.first_alike || ' of this file'"
    )
}

/// Returns the branches of a CASE that refuse a row because of rows in the store, with `otherwise` for a new row.
fn refusal<T: FileRow>(last_id: i64, otherwise: &str) -> String {
    let (is_other, other, ahead) = (T::IS_OTHER, T::OTHER, Id::MAX_AHEAD);
    let farthest = Id::farthest_given(last_id).get();
    format!(
        "WHEN t.id IS NOT NULL AND ({is_other}) THEN {other}
         WHEN t.id IS NOT NULL OR twins.line IS NOT NULL THEN NULL
         WHEN s.id > {farthest} THEN 'id ' || s.id || ' is more than {ahead} beyond the largest id so far, {last_id}'
         ELSE {otherwise}"
    )
}

/// Returns the FROM clause that joins each row of the file with the stored row of its id and with its twin.
fn judged_from<T: FileRow>() -> String {
    let table = T::TABLE;
    format!(
        "marked AS s LEFT JOIN {table} AS t ON t.id = s.id
         LEFT JOIN twins ON twins.line = s.first_without_id AND s.id IS NULL"
    )
}

/// Returns the statement that creates `sifted` from the rows that the store refuses or already has.
/// The reason is NULL for a row that the store already has. Rows of the file are not compared with each other.
pub(super) fn sift_by_store<T: FileRow>(last_id: i64) -> String {
    let (refusal, from) = (refusal::<T>(last_id, T::REFUSAL), judged_from::<T>());
    format!(
        "CREATE TEMPORARY TABLE sifted AS
         SELECT line, id, reason FROM (
             SELECT s.line, s.id, t.id IS NOT NULL OR twins.line IS NOT NULL AS is_there, CASE {refusal} END AS reason
             FROM {from}
         ) AS judged WHERE is_there OR reason IS NOT NULL"
    )
}

/// Returns the statement that creates `sifted` from the rows that an earlier line of the file excludes.
/// An earlier line excludes a later one by the same id, the same content or a value that must be unique.
/// A row remains for now if its earlier line is itself excluded, since that line may be removed first.
/// Chains of rows that exclude each other need several rounds. With `ends_chains` no excluded row remains.
/// A row that repeats both the id and the content of an earlier line has NULL for its id.
pub(super) fn sift_by_file<T: FileRow>(ends_chains: bool) -> String {
    let (repeats, alike, clash, clash_line) = (repeats::<T>(), T::REPEATS, T::CLASH, T::CLASH_LINE);
    format!(
        "CREATE TEMPORARY TABLE sifted AS
         WITH judged AS MATERIALIZED (
             SELECT s.line, CASE WHEN s.line = s.first_id OR s.first_alike <> s.first_id THEN s.id END AS id,
                 CASE {repeats} ELSE {clash} END AS reason,
                 CASE WHEN s.id IS NOT NULL AND s.line > s.first_id THEN s.first_id
                      WHEN s.id IS NULL AND s.line > s.first_alike AND {alike} THEN s.first_alike
                      ELSE {clash_line} END AS earlier
             FROM marked AS s
         )
         SELECT judged.line, judged.id, judged.reason FROM judged JOIN judged AS first ON first.line = judged.earlier
         WHERE {ends_chains} OR first.reason IS NULL"
    )
}

/// Lists the refused rows of `sifted`: line, id and reason.
pub(super) const LIST_SIFTED: &str = "SELECT line, id, reason FROM sifted WHERE reason IS NOT NULL ORDER BY line";

/// Counts the rows of `sifted`, and those among them that the store already has.
pub(super) const COUNT_SIFTED: &str = "SELECT count(*), count(*) FILTER (WHERE reason IS NULL) FROM sifted";

/// Removes the rows of `sifted` from `staged`.
pub(super) const DROP_SIFTED: &str = "DELETE FROM staged WHERE line IN (SELECT line FROM sifted); DROP TABLE sifted";

/// The number of rounds after which all remaining rows of a chain are refused.
pub(super) const MAX_ROUNDS: usize = 50;

/// The result of the query [`judge`].
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) there: u64,
    first_there: Option<u64>,
    first_new: Option<u64>,
    first_refused: Option<(u64, String)>,
}

impl Judgement {
    pub(super) fn new(
        there: i64,
        [first_there, first_new, refused]: [Option<i64>; 3],
        refusal: Option<String>,
    ) -> Self {
        let line = |line: Option<i64>| line.map(i64::unsigned_abs);
        Judgement {
            there: there.unsigned_abs(),
            first_there: line(first_there),
            first_new: line(first_new),
            first_refused: line(refused).zip(refusal),
        }
    }

    /// Returns the first error that an insert of one row after another would meet.
    pub(super) fn verdict(&self) -> Result<(), LoadError> {
        // The first line at which the file is known to mix existing and new rows.
        let mixed = self.first_there.zip(self.first_new).map(|(there, new)| there.max(new));
        match (&self.first_refused, mixed, self.first_there) {
            (Some((line, reason)), mixed, _) if mixed.is_none_or(|mixed| *line <= mixed) => {
                Err(LoadError::Row { line: *line, reason: reason.clone() })
            }
            (_, Some(_), Some(line)) => {
                let reason = "this row is there already, while others of the file are not".to_owned();
                Err(LoadError::Row { line, reason })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether no row is left to insert.
    pub(super) fn is_nothing_new(&self) -> bool {
        self.there > 0 && self.first_new.is_none()
    }
}
