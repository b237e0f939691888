//! Loading a file into PostgreSQL: one transaction, all of it or nothing.
//!
//! The rows go by COPY into a temporary table, and from there in one statement to where they belong.
//! Which line was at fault is asked only once something was.

use anyhow::anyhow;
use deadpool_postgres::ClientWrapper;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::connections::Connections;
use super::error;
use super::staging::Stageable;
use crate::Timestamp;
use crate::store::{Batches, Load, LoadError, Loaded, Result, StoreError};

pub(super) async fn load(connections: &Connections, load: Load) -> Result<Loaded, LoadError> {
    match load {
        Load::Users(batches) => load_rows(connections, batches).await,
        Load::Urls(batches) => load_rows(connections, batches).await,
        Load::Events(batches) => load_rows(connections, batches).await,
        Load::Products(batches) => load_rows(connections, batches).await,
    }
}

async fn load_rows<T: Stageable>(connections: &Connections, mut batches: Batches<T>) -> Result<Loaded, LoadError> {
    let mut lease = connections.begin_long().await?;
    let db = &*lease.client()?;
    let loaded = match stage(connections, db, &mut batches).await {
        Ok(()) => connections.patiently(insert::<T>(db)).await?,
        // A row before the end that was read is told first, as if rows were inserted one after another.
        Err(error @ (LoadError::Row { .. } | LoadError::File(_))) => {
            connections.patiently(judge::<T>(db)).await?.verdict()?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    connections.patiently::<_, StoreError>(lease.commit()).await?;
    Ok(loaded)
}

/// Copies the rows into `staged`, as they come. What was staged before an error stays.
async fn stage<T: Stageable>(
    connections: &Connections,
    db: &ClientWrapper,
    batches: &mut Batches<T>,
) -> Result<(), LoadError> {
    let create = format!("CREATE TEMPORARY TABLE staged (line bigint, {}) ON COMMIT DROP", T::COLUMNS);
    let begin = async {
        db.batch_execute(&create).await?;
        Ok::<_, StoreError>(db.copy_in("COPY staged FROM STDIN (FORMAT BINARY)").await?)
    };
    let copy = connections.patiently(begin).await?;
    let types: Vec<Type> = [Type::INT8].iter().chain(T::TYPES).cloned().collect();
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(copy, &types));
    let end = loop {
        let cut_short = || Err(LoadError::File("was not read to its end".to_owned()));
        let batch = match batches.recv().await.unwrap_or_else(cut_short) {
            Ok(batch) if batch.is_empty() => break Ok(()),
            Ok(batch) => batch,
            Err(error) => break Err(error),
        };
        let unfit = batch.iter().find_map(|numbered| numbered.row.unfit().map(|reason| (numbered.line, reason)));
        let fit = unfit.as_ref().map_or(u64::MAX, |(line, _)| *line);
        connections
            .patiently::<_, StoreError>(async {
                for numbered in batch.iter().filter(|numbered| numbered.line < fit) {
                    let line = numbered.line.cast_signed();
                    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&line];
                    values.extend(numbered.row.values());
                    let derived = numbered.row.derived();
                    values.extend(derived.iter().map(|value| value as &(dyn ToSql + Sync)));
                    writer.as_mut().write(&values).await?;
                }
                Ok(())
            })
            .await?;
        if let Some((line, reason)) = unfit {
            break Err(LoadError::Row { line, reason });
        }
    };
    let finish = async {
        writer.as_mut().finish().await?;
        db.batch_execute("ANALYZE staged").await
    };
    connections.patiently(async { finish.await.map_err(StoreError::from) }).await?;
    end
}

/// Inserts what is staged.
async fn insert<T: Stageable>(db: &ClientWrapper) -> Result<Loaded, LoadError> {
    let there = T::IS_THERE;
    let sql = format!("SELECT count(*), count(s.id), max(s.id), count(*) FILTER (WHERE {there}) FROM staged AS s");
    let row = db.query_one(&sql, &[]).await.map_err(StoreError::from)?;
    let count = |column| row.try_get::<_, i64>(column).map(i64::unsigned_abs).map_err(StoreError::from);
    let (staged, with_id, there) = (count(0)?, count(1)?, count(3)?);
    let last_id: Option<i64> = row.try_get(2).map_err(StoreError::from)?;
    if staged > 0 && there == staged {
        return Ok(Loaded::AlreadyThere(there));
    }
    let draws_ids = with_id < staged;
    // An id that was drawn is not drawn again: before that all has to be right.
    if there > 0 || draws_ids {
        let judged = judge::<T>(db).await?;
        judged.verdict()?;
        if judged.there > 0 {
            return Ok(Loaded::AlreadyThere(judged.there));
        }
        move_past::<T>(db, last_id).await?;
    }
    // To be taken back alone, so that the staged rows are there to be judged.
    db.batch_execute("SAVEPOINT staged").await.map_err(StoreError::from)?;
    match db.execute(&insertion::<T>(draws_ids), &[&Timestamp::now()]).await {
        Ok(inserted) => {
            move_past::<T>(db, last_id).await?;
            Ok(Loaded::Inserted(inserted))
        }
        Err(refused) if error::violates_any(&refused) => {
            db.batch_execute("ROLLBACK TO SAVEPOINT staged").await.map_err(StoreError::from)?;
            judge::<T>(db).await?.verdict()?;
            Err(StoreError::Unavailable(anyhow!(refused).context("other rows came while the file was loaded")).into())
        }
        Err(error) => Err(StoreError::from(error).into()),
    }
}

fn insertion<T: Stageable>(draws_ids: bool) -> String {
    if draws_ids {
        let id = format!("coalesce(s.id, nextval('{}_id_seq'))", T::TABLE);
        T::INSERT.replace("{id}", &id) + " ORDER BY s.line"
    } else {
        T::INSERT.replace("{id}", "s.id")
    }
}

async fn move_past<T: Stageable>(db: &ClientWrapper, last_id: Option<i64>) -> Result<(), LoadError> {
    let Some(last_id) = last_id else { return Ok(()) };
    let sql = format!("SELECT move_past('{}_id_seq', $1)", T::TABLE);
    db.execute(&sql, &[&last_id]).await.map_err(StoreError::from)?;
    Ok(())
}

/// What the rows are, each judged as if those before it had been inserted.
struct Judged {
    there: u64,
    first_there: Option<u64>,
    first_new: Option<u64>,
    first_refused: Option<(u64, String)>,
}

impl Judged {
    /// The error that whoever inserts row after row comes upon first.
    fn verdict(&self) -> Result<(), LoadError> {
        // Where the first of either kind was seen after the other.
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
}

async fn judge<T: Stageable>(db: &ClientWrapper) -> Result<Judged, LoadError> {
    let (firsts, there, repeated, refusal) = (T::FIRSTS, T::IS_THERE, T::IS_REPEATED, T::REFUSAL);
    let sql = format!(
        "WITH judged AS MATERIALIZED (
             SELECT s.line, coalesce({repeated}, false) OR {there} AS is_there, {refusal} AS refusal
             FROM (SELECT *, {firsts} FROM staged) AS s
         ), first AS (
             SELECT count(*) FILTER (WHERE is_there) AS there,
                    min(line) FILTER (WHERE is_there) AS first_there,
                    min(line) FILTER (WHERE NOT is_there) AS first_new,
                    min(line) FILTER (WHERE NOT is_there AND refusal IS NOT NULL) AS first_refused
             FROM judged
         )
         SELECT there, first_there, first_new, first_refused,
                (SELECT refusal FROM judged WHERE line = first_refused) AS refusal
         FROM first"
    );
    let row = db.query_one(&sql, &[]).await.map_err(StoreError::from)?;
    let line = |column| row.try_get::<_, Option<i64>>(column).map(|line| line.map(i64::unsigned_abs));
    let judged = || {
        let refusal: Option<String> = row.try_get(4)?;
        Ok::<_, tokio_postgres::Error>(Judged {
            there: line(0)?.unwrap_or(0),
            first_there: line(1)?,
            first_new: line(2)?,
            first_refused: line(3)?.zip(refusal),
        })
    };
    Ok(judged().map_err(StoreError::from)?)
}
