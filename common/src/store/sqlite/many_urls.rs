//! Many urls in SQLite, each in a statement of its own within one transaction.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::connections::in_read_time;
use super::{position, url_lists, urls};
use crate::store::{Change, Commit, Page, Result, StoreError, Total, UrlSelection};
use crate::url::{NewUrl, Url, UrlChange, UrlSort};
use crate::{Id, ShortCode};

pub(super) fn insert(db: &Transaction<'_>, new: &[NewUrl], commit: Commit) -> Result<Change<Vec<Result<Url>>>> {
    db.execute_batch("SAVEPOINT no_url")?;
    let mut outcomes = Vec::with_capacity(new.len());
    for url in new {
        // A refused statement changes nothing, and the transaction goes on.
        match urls::insert(db, url) {
            Ok(inserted) => outcomes.push(Ok(inserted.value)),
            Err(refused) if refused.is_of_one_url() => outcomes.push(Err(refused)),
            Err(error) => return Err(error),
        }
    }
    db.execute_batch(if commit.undoes(&outcomes) { "ROLLBACK TO no_url; RELEASE no_url" } else { "RELEASE no_url" })?;
    Ok(Change { value: outcomes, mark: position::mark(db)? })
}

pub(super) fn find_by_codes(db: &Connection, codes: &[ShortCode]) -> Result<Vec<Url>> {
    let sql = format!("SELECT {} FROM urls WHERE short_code = ?1", Url::COLUMNS);
    let mut find = db.prepare_cached(&sql)?;
    let found = codes.iter().map(|code| find.query_row([code.as_str()], urls::from_row).optional());
    Ok(found.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

pub(super) fn change(db: &Transaction<'_>, changes: &[(Id, UrlChange)]) -> Result<Change<Vec<Result<Url>>>> {
    let mut outcomes = Vec::with_capacity(changes.len());
    for (id, change) in changes {
        match urls::update(db, *id, change) {
            Ok(Some(changed)) => outcomes.push(Ok(changed.value)),
            Ok(None) => outcomes.push(Err(StoreError::UnknownUrl(*id))),
            Err(refused) if refused.is_of_one_change() => outcomes.push(Err(refused)),
            Err(error) => return Err(error),
        }
    }
    Ok(Change { value: outcomes, mark: position::mark(db)? })
}

pub(super) fn update(db: &Transaction<'_>, selection: &UrlSelection, change: &UrlChange) -> Result<Change<u64>> {
    let ids = select(db, selection)?;
    for id in &ids {
        urls::update(db, *id, change).map_err(|error| error.by(*id))?;
    }
    let changed = if change.is_empty() { 0 } else { ids.len() as u64 };
    Ok(Change { value: changed, mark: position::mark(db)? })
}

pub(super) fn delete(db: &Transaction<'_>, selection: &UrlSelection) -> Result<Change<u64>> {
    let ids = select(db, selection)?;
    let mut events = 0;
    for id in &ids {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM events WHERE url_id = ?1 LIMIT ?2)";
        let most = i64::from(UrlSelection::MAX_EVENTS) + 1;
        let own: i64 = db.prepare_cached(sql)?.query_row((id, most), |row| row.get(0))?;
        events += own;
        if events >= most {
            return Err(StoreError::TooManyEvents);
        }
    }
    for id in &ids {
        urls::delete(db, *id, None)?;
    }
    Ok(Change { value: ids.len() as u64, mark: position::mark(db)? })
}

/// Returns the ids of a selection, each once and in ascending order.
fn select(db: &Transaction<'_>, selection: &UrlSelection) -> Result<Vec<Id>> {
    match selection {
        UrlSelection::Ids { ids, owner } => {
            let sql = "SELECT 1 FROM urls WHERE id = ?1 AND user_id = coalesce(?2, user_id)";
            let mut find = db.prepare_cached(sql)?;
            for id in ids {
                if !find.exists((id, owner))? {
                    return Err(StoreError::UnknownUrl(*id));
                }
            }
            Ok(ids.iter().copied().collect::<BTreeSet<Id>>().into_iter().collect())
        }
        UrlSelection::Filter { filter, expect } => {
            let page = Page::first(UrlSelection::MAX as u32);
            let listing = in_read_time(db, || url_lists::list(db, filter.clone(), UrlSort::default(), &page))?;
            if listing.total != Total::Exactly(*expect) || listing.has_next {
                return Err(StoreError::OtherCount { expected: *expect, found: listing.total });
            }
            Ok(listing.rows.iter().map(|url| url.id).collect())
        }
    }
}
