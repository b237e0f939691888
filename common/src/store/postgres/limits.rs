//! Clicks of limited links in PostgreSQL. Functions of the schema lock each limit, so that none is exceeded.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Error;

use super::query;
use crate::store::Result;
use crate::{ClickTake, Id, TakenClicks};

pub(super) async fn take(db: &ClientWrapper, takes: &[ClickTake]) -> Result<Vec<TakenClicks>> {
    let ids: Vec<Id> = takes.iter().map(|take| take.url_id).collect();
    let needed: Vec<i64> = takes.iter().map(|take| take.needed).collect();
    let ahead: Vec<i64> = takes.iter().map(|take| take.ahead).collect();
    let sql = "SELECT url_id, granted FROM take_clicks($1, $2, $3)";
    let rows = query::rows(db, sql, &[&ids, &needed, &ahead]).await?;
    let granted = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let granted: HashMap<Id, Option<i64>> = granted.collect::<Result<_, Error>>()?;
    let outcome = |id: &Id| match granted.get(id) {
        Some(Some(granted)) => TakenClicks::Granted(*granted),
        Some(None) => TakenClicks::Unlimited,
        None => TakenClicks::Unknown,
    };
    Ok(ids.iter().map(outcome).collect())
}

pub(super) async fn give_back(db: &ClientWrapper, unused: &[(Id, i64)]) -> Result<()> {
    let (ids, numbers): (Vec<Id>, Vec<i64>) = unused.iter().copied().unzip();
    query::row(db, "SELECT return_clicks($1, $2)", &[&ids, &numbers]).await?;
    Ok(())
}
