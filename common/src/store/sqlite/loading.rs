//! Loading a file into SQLite: one transaction, all of it or nothing.

use rusqlite::{Connection, Error, Transaction, TransactionBehavior};

use super::{error, events};
use crate::event::EventRow;
use crate::product::ProductRow;
use crate::store::{Batches, Load, LoadError, Loaded, Result, StoreError};
use crate::url::{Title, UrlRow};
use crate::user::UserRow;
use crate::{ClickSource, Timestamp};

pub(super) fn load(connection: &mut Connection, load: Load) -> Result<Loaded, LoadError> {
    match load {
        Load::Users(batches) => load_rows(connection, batches),
        Load::Urls(batches) => load_rows(connection, batches),
        Load::Events(batches) => load_rows(connection, batches),
        Load::Products(batches) => load_rows(connection, batches),
    }
}

/// A row that a file can bring.
trait Loadable {
    /// Whether the table has this row: by its id, or where the file gives none, by what it says.
    fn is_there(&self, db: &Transaction<'_>) -> Result<bool, Error>;

    fn insert(&self, db: &Transaction<'_>) -> Result<()>;
}

fn load_rows<T: Loadable>(connection: &mut Connection, mut batches: Batches<T>) -> Result<Loaded, LoadError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
    let mut inserted = 0;
    let mut already_there = 0;
    let mut first_there = None;
    loop {
        let cut_short = || Err(LoadError::File("was not read to its end".to_owned()));
        let batch = batches.blocking_recv().unwrap_or_else(cut_short)?;
        if batch.is_empty() {
            break;
        }
        for numbered in batch {
            if numbered.row.is_there(&transaction).map_err(StoreError::from)? {
                already_there += 1;
                first_there.get_or_insert(numbered.line);
            } else {
                inserted += 1;
                numbered.row.insert(&transaction).map_err(|error| match error {
                    StoreError::Unavailable(_) | StoreError::Unfit(_) | StoreError::Internal(_) => {
                        LoadError::Store(error)
                    }
                    refused => LoadError::Row { line: numbered.line, reason: refused.to_string() },
                })?;
            }
            if let Some(line) = first_there
                && inserted > 0
            {
                let reason = "this row is there already, while others of the file are not".to_owned();
                return Err(LoadError::Row { line, reason });
            }
        }
    }
    transaction.commit().map_err(StoreError::from)?;
    Ok(if already_there > 0 { Loaded::AlreadyThere(already_there) } else { Loaded::Inserted(inserted) })
}

impl Loadable for UserRow {
    fn is_there(&self, db: &Transaction<'_>) -> Result<bool, Error> {
        match self.id {
            Some(id) => db.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?.exists([id]),
            None => db
                .prepare_cached("SELECT 1 FROM users WHERE username = ?1 AND email = ?2")?
                .exists((self.username.as_str(), self.email.as_str())),
        }
    }

    fn insert(&self, db: &Transaction<'_>) -> Result<()> {
        let sql = "INSERT INTO users (id, username, email, created_at) VALUES (?1, ?2, ?3, ?4)";
        let created_at = self.created_at.unwrap_or_else(Timestamp::now);
        db.prepare_cached(sql)?.execute((self.id, self.username.as_str(), self.email.as_str(), created_at))?;
        Ok(())
    }
}

impl Loadable for UrlRow {
    fn is_there(&self, db: &Transaction<'_>) -> Result<bool, Error> {
        match self.id {
            Some(id) => db.prepare_cached("SELECT 1 FROM urls WHERE id = ?1")?.exists([id]),
            None => db
                .prepare_cached("SELECT 1 FROM urls WHERE short_code = ?1 AND original_url = ?2")?
                .exists((self.short_code.as_str(), self.original_url.as_given())),
        }
    }

    fn insert(&self, db: &Transaction<'_>) -> Result<()> {
        let sql = "INSERT INTO urls
                   (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let created_at = self.created_at.unwrap_or_else(Timestamp::now);
        let values = (
            self.id,
            self.user_id,
            self.short_code.as_str(),
            self.original_url.as_given(),
            self.title.as_ref().map(Title::as_str),
            self.is_active,
            created_at,
            self.updated_at.unwrap_or(created_at),
        );
        db.prepare_cached(sql)?.execute(values).map_err(|error| {
            if error::is_foreign_key(&error) { StoreError::UnknownUser(self.user_id) } else { error.into() }
        })?;
        Ok(())
    }
}

impl Loadable for EventRow {
    fn is_there(&self, db: &Transaction<'_>) -> Result<bool, Error> {
        match (self.id, self.timestamp) {
            (Some(id), _) => db.prepare_cached("SELECT 1 FROM events WHERE id = ?1")?.exists([id]),
            (None, Some(timestamp)) => db
                .prepare_cached(
                    "SELECT 1 FROM events
                     WHERE url_id = ?1 AND user_id = ?2 AND event_type = ?3 AND timestamp = ?4 AND details = ?5",
                )?
                .exists((self.url_id, self.user_id, self.event_type.as_str(), timestamp, self.details.as_str())),
            (None, None) => Ok(false),
        }
    }

    fn insert(&self, db: &Transaction<'_>) -> Result<()> {
        let sql = "INSERT INTO events (id, url_id, user_id, event_type, timestamp, details, browser, referrer)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let timestamp = self.timestamp.unwrap_or_else(Timestamp::now);
        let event_type = self.event_type.as_str();
        let ClickSource { browser, referrer } = ClickSource::of_event(event_type, &self.details);
        let details = self.details.as_str();
        let values = (self.id, self.url_id, self.user_id, event_type, timestamp, details, browser, referrer);
        match db.prepare_cached(sql)?.execute(values) {
            Ok(_) => Ok(()),
            Err(error) if error::is_foreign_key(&error) => {
                Err(events::unknown_reference(db, self.url_id, self.user_id)?)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Loadable for ProductRow {
    fn is_there(&self, db: &Transaction<'_>) -> Result<bool, Error> {
        match self.id {
            Some(id) => db.prepare_cached("SELECT 1 FROM products WHERE id = ?1")?.exists([id]),
            None => db
                .prepare_cached(
                    "SELECT 1 FROM products
                     WHERE name = ?1 AND category = ?2 AND price_hundredths = ?3 AND stock = ?4",
                )?
                .exists((&self.name, &self.category, self.price.hundredths(), self.stock)),
        }
    }

    fn insert(&self, db: &Transaction<'_>) -> Result<()> {
        let sql = "INSERT INTO products (id, name, category, price_hundredths, stock) VALUES (?1, ?2, ?3, ?4, ?5)";
        db.prepare_cached(sql)?.execute((self.id, &self.name, &self.category, self.price.hundredths(), self.stock))?;
        Ok(())
    }
}
