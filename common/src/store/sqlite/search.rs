//! Search for a text in urls, by the FTS5 table `urls_search` or in each row.
//!
//! Changed urls are in `urls_search_pending` until `urls_search` contains their changes.

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, Error};

use crate::store::Result;
use crate::url::SearchTerm;

/// The name of the function that [`register`] adds: whether any of the arguments after the first contains the first,
/// which is in lower case.
pub(super) const CONTAINS: &str = "tern_contains";

/// Writes the pending changes of urls to `urls_search`, for a connection without triggers.
pub(super) const FLUSH: &str = "
    INSERT INTO urls_search (urls_search, rowid, text)
    SELECT 'delete', url_id, indexed_text FROM urls_search_pending WHERE indexed_text IS NOT NULL;
    INSERT INTO urls_search (rowid, text)
    SELECT url_id, text FROM urls_search_pending CROSS JOIN searched_texts USING (url_id);
    DELETE FROM urls_search_pending;";

/// Adds the function [`CONTAINS`] to a connection.
pub(super) fn register(db: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function(CONTAINS, -1, flags, |arguments| {
        let needle = arguments.get_raw(0).as_str()?;
        for n in 1..arguments.len() {
            let text = arguments.get_raw(n).as_str_or_null()?.unwrap_or_default();
            if contains(text, needle) {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

fn contains(text: &str, needle: &str) -> bool {
    if text.is_ascii() {
        let (text, needle) = (text.as_bytes(), needle.as_bytes());
        text.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
    } else {
        text.to_lowercase().contains(needle)
    }
}

/// Returns the query for rows of `urls_search` that contain a text.
///
/// The table knows sequences of three characters. A text of two is in a row if one of the sequences that begin with it is,
/// since a line break ends each row's text.
pub(super) fn query(db: &Connection, term: &SearchTerm) -> Result<String> {
    let needle = term.folded();
    if needle.chars().count() > 2 {
        return Ok(phrase(&needle));
    }
    let ascii = ('\u{1}'..='\u{7f}').filter(|next| !next.is_ascii_uppercase()).map(|next| format!("{needle}{next}"));
    let (first, last) = (format!("{needle}\u{80}"), format!("{needle}\u{10ffff}"));
    let mut others = db.prepare_cached("SELECT term FROM urls_search_terms WHERE term BETWEEN ?1 AND ?2")?;
    let others: Vec<String> = others.query_map([first, last], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(ascii.chain(others).map(|sequence| phrase(&sequence)).collect::<Vec<_>>().join(" OR "))
}

/// Returns a text as a string of the query language, which finds it as a whole.
fn phrase(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
