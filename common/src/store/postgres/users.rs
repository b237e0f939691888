//! Users in PostgreSQL.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Error, Row};

use super::listing::{List, SummedListing};
use super::query::MARK;
use super::{audit, error, query};
use crate::store::{Change, ImportOutcome, Page, Result, StoreError};
use crate::user::{NewUser, User, UserChange, UserRow};
use crate::{Id, Timestamp};

const COLUMNS: &str = "id, username, email, created_at";

pub(super) async fn insert(db: &ClientWrapper, user: &NewUser) -> Result<User> {
    let sql = "INSERT INTO users (username, email, created_at) VALUES ($1, $2, $3)
               RETURNING id, username, email, created_at";
    let inserted = query::row(db, sql, &[&user.username.as_str(), &user.email.as_str(), &Timestamp::now()]).await?;
    Ok(from_row(&inserted.ok_or_else(|| error::unexpected("empty result"))?)?)
}

pub(super) async fn find(db: &ClientWrapper, id: Id) -> Result<Option<User>> {
    let sql = "SELECT id, username, email, created_at FROM users WHERE id = $1";
    Ok(query::row(db, sql, &[&id]).await?.as_ref().map(from_row).transpose()?)
}

pub(super) async fn list(db: &ClientWrapper, page: Page) -> Result<SummedListing<User>> {
    List { table: "users", columns: COLUMNS, filters: Vec::new() }.page(db, page, from_row).await
}

pub(super) async fn update(db: &ClientWrapper, id: Id, change: &UserChange) -> Result<Option<User>> {
    let sql = "UPDATE users SET username = coalesce($2, username), email = coalesce($3, email) WHERE id = $1
               RETURNING id, username, email, created_at";
    let username = change.username.as_ref().map(|username| username.as_str());
    let email = change.email.as_ref().map(|email| email.as_str());
    Ok(query::row(db, sql, &[&id, &username, &email]).await?.as_ref().map(from_row).transpose()?)
}

pub(super) async fn delete(db: &mut ClientWrapper, id: Id, cascade: bool) -> Result<Option<Change<()>>> {
    match delete_within(db, id, cascade).await {
        Ok(row) if row.try_get::<_, i64>("gone")? > 0 => Ok(Some(Change { value: (), mark: query::mark(&row)? })),
        Ok(_) if cascade => Ok(None),
        Ok(_) => refuse(db, id).await,
        // A url was inserted while the statement ran.
        Err(error) if error::violates(&error, "urls_user_id_fkey") => refuse(db, id).await,
        Err(error) => Err(error.into()),
    }
}

/// The number of a user's links that one transaction deletes, in an eighth of a second.
const LINKS_AT_ONCE: i64 = 5_000;

/// The number of events on a user's links that one transaction deletes.
const EVENTS_AT_ONCE: i64 = 25_000;

/// Returns whether a user has more links, or events on them, than one request can delete at once.
pub(super) async fn is_large(db: &ClientWrapper, id: Id) -> Result<bool> {
    let sql = "SELECT row_total('urls', 'user_id=' || $1::bigint) > $2 OR $3 = (
                   SELECT count(*) FROM (
                       SELECT FROM urls JOIN events ON events.url_id = urls.id WHERE urls.user_id = $1 LIMIT $3
                   ) AS counted
               )";
    let row = query::row(db, sql, &[&id, &LINKS_AT_ONCE, &EVENTS_AT_ONCE]).await?;
    Ok(row.ok_or_else(|| error::unexpected("empty result"))?.try_get(0)?)
}

/// Deletes the first links of a user, or if those have many events, the first of these. Returns false without links.
pub(super) async fn delete_part(db: &mut ClientWrapper, id: Id) -> Result<bool> {
    let transaction = db.transaction().await?;
    audit::omit(&transaction).await?;
    let lock = "SELECT id FROM urls WHERE user_id = $1 ORDER BY id LIMIT $2 FOR UPDATE";
    let links = transaction.query(&transaction.prepare_cached(lock).await?, &[&id, &LINKS_AT_ONCE]).await?;
    let links: Vec<Id> = links.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let events = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE url_id = ANY ($1) LIMIT $2)";
    let events = transaction.prepare_cached(events).await?;
    let gone = transaction.execute(&events, &[&links, &EVENTS_AT_ONCE]).await?;
    if gone < EVENTS_AT_ONCE.unsigned_abs() {
        let links_go = transaction.prepare_cached("DELETE FROM urls WHERE id = ANY ($1)").await?;
        transaction.execute(&links_go, &[&links]).await?;
    }
    transaction.commit().await?;
    Ok(!links.is_empty())
}

async fn delete_within(db: &mut ClientWrapper, id: Id, cascade: bool) -> Result<Row, Error> {
    let transaction = db.transaction().await?;
    if cascade {
        audit::omit(&transaction).await?;
        // Two users may have events on each other's links, so all urls are locked at once in the order of ids.
        let lock = "SELECT FROM urls WHERE id IN (
                        SELECT id FROM urls WHERE user_id = $1 UNION SELECT url_id FROM events WHERE user_id = $1
                    ) ORDER BY id FOR UPDATE";
        transaction.execute(&transaction.prepare_cached(lock).await?, &[&id]).await?;
    }
    // Foreign keys are checked at the end of the whole statement.
    let sql = format!(
        "WITH urls_gone AS (DELETE FROM urls WHERE user_id = $1 AND $2 RETURNING id),
         gone AS (
             DELETE FROM users
             WHERE id = $1 AND ($2 OR NOT EXISTS (SELECT FROM urls WHERE user_id = $1)) RETURNING id
         )
         SELECT (SELECT count(*) FROM gone) AS gone, {MARK}
         FROM (SELECT count(*) FROM urls_gone) AS urls_gone"
    );
    let row = transaction.query_one(&transaction.prepare_cached(&sql).await?, &[&id, &cascade]).await?;
    if cascade && row.try_get::<_, i64>("gone")? > 0 {
        // Those of the links that are deleted with the user, too.
        let sql = "DELETE FROM audit_entries WHERE user_id = $1";
        transaction.execute(&transaction.prepare_cached(sql).await?, &[&id]).await?;
    }
    transaction.commit().await?;
    Ok(row)
}

/// Returns why a user was not deleted: it owns urls, or does not exist.
async fn refuse(db: &ClientWrapper, id: Id) -> Result<Option<Change<()>>> {
    let sql = "SELECT row_total('urls', 'user_id=' || id) FROM users WHERE id = $1";
    match query::row(db, sql, &[&id]).await? {
        Some(row) => {
            let urls: i64 = row.try_get(0)?;
            Err(StoreError::UserOwnsUrls { user: id, urls: urls.unsigned_abs() })
        }
        None => Ok(None),
    }
}

/// Imports rows in their order. Of rows that exclude each other, the first is inserted.
pub(super) async fn import(db: &mut ClientWrapper, rows: &[UserRow]) -> Result<Vec<ImportOutcome>> {
    let transaction = db.transaction().await?;
    let last_id = transaction.prepare_cached(&query::last_id("users")).await?;
    let last_id: i64 = transaction.query_one(&last_id, &[]).await?.try_get(0)?;
    let farthest = Id::farthest_given(last_id);
    let near: Vec<&UserRow> = rows.iter().filter(|row| row.id.is_none_or(|id| id <= farthest)).collect();
    let now = Timestamp::now();
    let ids: Vec<Option<Id>> = near.iter().map(|row| row.id).collect();
    let usernames: Vec<&str> = near.iter().map(|row| row.username.as_str()).collect();
    let emails: Vec<&str> = near.iter().map(|row| row.email.as_str()).collect();
    let times: Vec<Timestamp> = near.iter().map(|row| row.created_at.unwrap_or(now)).collect();

    // The sequence moves past the new ids before they are inserted, so that it generates none of them meanwhile.
    let sql = "SELECT move_past('users_id_seq', max(id)) FROM (
                   SELECT id, n, username, email,
                          min(n) OVER (PARTITION BY id) AS first_id, min(n) OVER (PARTITION BY username) AS first_username,
                          min(n) OVER (PARTITION BY email) AS first_email
                   FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS given (id, username, email, n)
               ) AS given
               WHERE n = first_id AND n = first_username AND n = first_email AND NOT EXISTS (
                   SELECT FROM users AS t WHERE t.id = given.id
                   UNION ALL SELECT FROM users AS t WHERE t.username = given.username
                   UNION ALL SELECT FROM users AS t WHERE t.email = given.email
               ) HAVING max(id) IS NOT NULL";
    if ids.iter().any(Option::is_some) {
        let statement = transaction.prepare_cached(sql).await?;
        transaction.execute(&statement, &[&ids, &usernames, &emails]).await?;
    }
    let sql = "INSERT INTO users (id, username, email, created_at)
               SELECT coalesce(id, nextval('users_id_seq')), username, email, created_at
               FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY
                   AS given (id, username, email, created_at, n)
               ORDER BY n
               ON CONFLICT DO NOTHING
               RETURNING id, username, email, created_at";
    let statement = transaction.prepare_cached(sql).await?;
    let inserted = transaction.query(&statement, &[&ids, &usernames, &emails, &times]).await?;
    let inserted = inserted.iter().map(from_row).collect::<Result<Vec<User>, _>>()?;
    // A row that other rows seemed to exclude may be inserted too.
    if let Some(last) = inserted.iter().map(|user| user.id).filter(|id| ids.contains(&Some(*id))).max() {
        let statement = transaction.prepare_cached("SELECT move_past('users_id_seq', $1)").await?;
        transaction.execute(&statement, &[&last]).await?;
    }
    let holders = transaction.prepare_cached("SELECT id, username FROM users WHERE id = ANY ($1)").await?;
    let holders = transaction.query(&holders, &[&ids]).await?;
    transaction.commit().await?;

    let mut inserted: HashMap<&str, &User> = inserted.iter().map(|user| (user.username.as_str(), user)).collect();
    let holders: HashMap<Id, &str> =
        holders.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?;
    let mut answer_one = |row: &UserRow| match row.id {
        Some(id) if id > farthest => ImportOutcome::IdTooFar(id, last_id),
        _ => answer(row, &mut inserted, &holders),
    };
    Ok(rows.iter().map(&mut answer_one).collect())
}

/// Returns the outcome for `row`, given the inserted users by name and the users of the ids in the file.
fn answer(row: &UserRow, inserted: &mut HashMap<&str, &User>, holders: &HashMap<Id, &str>) -> ImportOutcome {
    let is_this = |user: &&User| user.email == row.email.as_str() && row.id.is_none_or(|id| id == user.id);
    if inserted.get(row.username.as_str()).is_some_and(is_this) {
        inserted.remove(row.username.as_str());
        return ImportOutcome::Inserted;
    }
    match row.id {
        Some(id) if holders.get(&id).is_some_and(|holder| *holder != row.username.as_str()) => {
            ImportOutcome::IdTaken(id)
        }
        _ => ImportOutcome::Duplicate,
    }
}

fn from_row(row: &Row) -> Result<User, Error> {
    Ok(User { id: row.try_get(0)?, username: row.try_get(1)?, email: row.try_get(2)?, created_at: row.try_get(3)? })
}
