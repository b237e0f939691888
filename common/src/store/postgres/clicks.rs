//! Shipping clicks into PostgreSQL. The journal's position and the events change in one transaction.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::columns::Network;
use super::connections::Connections;
use super::{error, query};
use crate::event::{Details, EventType};
use crate::store::Result;
use crate::store::click_counts::{BatchCounts, CountKind, LinkClicks, LinkedClick, RecordedClicks};
use crate::store::referrer_budget::ReferrerBudget;
use crate::{Click, ClickBatch, ClickSource, Id, JournalId, JournalPosition, JournalState, ShipOutcome, Timestamp};

pub(super) async fn ship(
    connections: &Connections,
    referrers: &ReferrerBudget,
    batch: ClickBatch<'_>,
) -> Result<ShipOutcome> {
    connections
        .ship(async |db| {
            if !advance_journal(db, batch).await? {
                return Ok(ShipOutcome::Mismatch(
                    find_journals(db, &[batch.journal]).await?.into_iter().flatten().next(),
                ));
            }
            let RecordedClicks { recorded, without_event } =
                if batch.clicks.is_empty() { RecordedClicks::default() } else { record(db, referrers, batch).await? };
            let orphaned = batch.clicks.len() as u64 - recorded;
            let sql = "UPDATE click_journals
                       SET recorded = recorded + $2, orphaned = orphaned + $3, parked = parked + $4,
                           without_event = without_event + $5 WHERE journal = $1
                       RETURNING segment, \"offset\", sequence, recorded, orphaned, parked, journal, without_event";
            let [recorded, orphaned, parked, without_event] =
                [recorded, orphaned, batch.parked, without_event].map(u64::cast_signed);
            let values: query::Values<'_> =
                &[&batch.journal.to_string(), &recorded, &orphaned, &parked, &without_event];
            let row = query::row(db, sql, values).await?;
            Ok(ShipOutcome::Committed(state(&row.ok_or_else(|| error::unexpected("empty result"))?)?))
        })
        .await
}

/// Advances the journal from the begin of the batch to its end, and returns false if its position is not that begin.
///
/// A concurrent shipper locks the row, or its key, until it commits. Then this statement finds another position.
async fn advance_journal(db: &ClientWrapper, batch: ClickBatch<'_>) -> Result<bool> {
    let journal = batch.journal.to_string();
    let place = |at: JournalPosition| [at.segment, at.offset, at.sequence].map(u64::cast_signed);
    let [segment, offset, sequence] = place(batch.to);
    let moved = match batch.from.map(place) {
        None => {
            let sql = "INSERT INTO click_journals (journal, segment, \"offset\", sequence) VALUES ($1, $2, $3, $4)
                       ON CONFLICT DO NOTHING";
            query::execute(db, sql, &[&journal, &segment, &offset, &sequence]).await?
        }
        Some([from_segment, from_offset, from_sequence]) => {
            let sql = "UPDATE click_journals SET segment = $2, \"offset\" = $3, sequence = $4, shipped_at = now()
                       WHERE journal = $1 AND segment = $5 AND \"offset\" = $6 AND sequence = $7";
            let values: query::Values<'_> =
                &[&journal, &segment, &offset, &sequence, &from_segment, &from_offset, &from_sequence];
            query::execute(db, sql, values).await?
        }
    };
    Ok(moved == 1)
}

/// Stores the clicks whose links exist, as events or only in the counts.
async fn record(db: &ClientWrapper, referrers: &ReferrerBudget, batch: ClickBatch<'_>) -> Result<RecordedClicks> {
    let links = Links::lock(db, batch.clicks).await?;
    let linked = |click| Some(LinkedClick::new(click, links.owner_of(click)?, referrers));
    let clicks: Vec<_> = batch.clicks.iter().filter_map(linked).collect();
    if !clicks.is_empty() {
        // From here on, the triggers of this transaction count no click again.
        count(db, &BatchCounts::of(&clicks)).await?;
    }
    if clicks.iter().any(has_event) {
        insert(db, &clicks).await?;
    }
    Ok(RecordedClicks::of(&clicks))
}

fn has_event(linked: &LinkedClick<'_>) -> bool {
    !linked.click.is_counted_only
}

/// Inserts clicks as events of the owners of their links.
async fn insert(db: &ClientWrapper, clicks: &[LinkedClick<'_>]) -> Result<()> {
    let sql = "COPY events (url_id, user_id, event_type, timestamp, details, visitor, referrer, source, client)
               FROM STDIN (FORMAT BINARY)";
    let types = [
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::JSON,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::CIDR,
    ];
    let copy = db.copy_in(&db.prepare_cached(sql).await?).await?;
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(copy, &types));
    for LinkedClick { click, owner, source } in clicks.iter().filter(|linked| has_event(linked)) {
        let (at, details) = (Timestamp::from(click.at), Details::of_click(click));
        let ClickSource { visitor, referrer, source } = source;
        let (visitor, client) = (visitor.map(|visitor| visitor.to_string()), click.client.map(Network));
        let values: query::Values<'_> =
            &[&click.url_id, owner, &EventType::CLICKED, &at, &details, &visitor, referrer, source, &client];
        writer.as_mut().write(values).await?;
    }
    writer.finish().await?;
    Ok(())
}

/// Adds a batch to every count. The order of the arrays is that in which all shippers lock counts.
async fn count(db: &ClientWrapper, sums: &BatchCounts) -> Result<()> {
    let BatchCounts { links, owners, hours, counts, totals } = sums;
    let kind_of = |kind: CountKind| kind as i8;
    let (urls, of_urls): (Vec<Id>, Vec<LinkClicks>) = links.iter().unzip();
    let events: Vec<i64> = of_urls.iter().map(|link| link.events).collect();
    let people: Vec<i64> = of_urls.iter().map(|link| link.people).collect();
    let last: Vec<Option<Timestamp>> = of_urls.iter().map(|link| link.last).collect();
    let (users, of_users): (Vec<Id>, Vec<i64>) = owners.iter().unzip();
    let (count_urls, count_hours): (Vec<Id>, Vec<Timestamp>) = counts.keys().map(|key| (key.0, key.1)).unzip();
    let (count_kinds, count_values): (Vec<i8>, Vec<&str>) =
        counts.keys().map(|key| (kind_of(key.2), key.3.as_str())).unzip();
    let count_clicks: Vec<i64> = counts.values().copied().collect();
    let total_hours: Vec<Timestamp> = totals.keys().map(|key| key.0).collect();
    let (total_kinds, total_values): (Vec<i8>, Vec<&str>) =
        totals.keys().map(|key| (kind_of(key.1), key.2.as_str())).unzip();
    let total_clicks: Vec<i64> = totals.values().copied().collect();
    let (hour_urls, hour_starts): (Vec<Id>, Vec<Timestamp>) = hours.keys().copied().unzip();
    let (humans, bots): (Vec<i64>, Vec<i64>) = hours.values().map(|clicks| (clicks[0], clicks[1])).unzip();
    let sql =
        "SELECT count_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
    let values: query::Values<'_> = &[
        &urls,
        &events,
        &people,
        &last,
        &users,
        &of_users,
        &count_urls,
        &count_hours,
        &count_kinds,
        &count_values,
        &count_clicks,
        &total_hours,
        &total_kinds,
        &total_values,
        &total_clicks,
        &hour_urls,
        &hour_starts,
        &humans,
        &bots,
    ];
    query::row(db, sql, values).await?;
    Ok(())
}

/// The existing links of a batch. They are locked, so none is deleted before its clicks are stored.
struct Links {
    /// The owner and the code of each url.
    by_id: HashMap<Id, (Id, String)>,
    /// Codes in the batch that a url had before it was renamed.
    former_codes: HashSet<(Id, String)>,
}

impl Links {
    async fn lock(db: &ClientWrapper, clicks: &[Click]) -> Result<Links> {
        let mut ids: Vec<Id> = clicks.iter().map(|click| click.url_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = query::rows(db, "SELECT id, user_id, short_code FROM lock_links($1)", &[&ids]).await?;
        let link = |row: &Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        let by_id = rows.iter().map(link).collect::<Result<_, Error>>()?;
        let mut links = Links { by_id, former_codes: HashSet::new() };
        // PostgreSQL refuses a text with U+0000.
        let is_unmatched = |click: &&Click| {
            links.by_id.contains_key(&click.url_id)
                && links.owner_of(click).is_none()
                && !click.short_code.contains('\0')
        };
        let (ids, codes): (Vec<Id>, Vec<&str>) =
            clicks.iter().filter(is_unmatched).map(|click| (click.url_id, click.short_code.as_str())).unzip();
        if !ids.is_empty() {
            // A separate statement after the lock sees a rename for which the lock waited.
            let sql = "SELECT url_id, short_code FROM find_former_codes($1, $2)";
            let rows = query::rows(db, sql, &[&ids, &codes]).await?;
            let pair = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
            links.former_codes = rows.iter().map(pair).collect::<Result<_, Error>>()?;
        }
        Ok(links)
    }

    /// Returns the owner of the link of a click. `None` if the link does not exist.
    ///
    /// The id alone does not identify a link: a standby without the last commits gives the same id to another link.
    fn owner_of(&self, click: &Click) -> Option<Id> {
        let (owner, code) = self.by_id.get(&click.url_id)?;
        let is_link = *code == click.short_code
            || (!self.former_codes.is_empty() && self.former_codes.contains(&(click.url_id, click.short_code.clone())));
        is_link.then_some(*owner)
    }
}

pub(super) async fn find_journals(db: &ClientWrapper, ids: &[JournalId]) -> Result<Vec<Option<JournalState>>> {
    let sql = "SELECT segment, \"offset\", sequence, recorded, orphaned, parked, journal, without_event
               FROM click_journals WHERE journal = ANY ($1)";
    let names: Vec<String> = ids.iter().map(JournalId::to_string).collect();
    let rows = query::rows(db, sql, &[&names]).await?;
    let states: HashMap<&str, JournalState> =
        rows.iter().map(|row| Ok((row.try_get(6)?, state(row)?))).collect::<Result<_, Error>>()?;
    Ok(names.iter().map(|name| states.get(name.as_str()).copied()).collect())
}

pub(super) async fn delete_old_journals(db: &ClientWrapper, keep: Duration) -> Result<u64> {
    let sql = "WITH horizon AS MATERIALIZED (SELECT now() - make_interval(secs => $1) AS at)
               DELETE FROM click_journals WHERE shipped_at < (SELECT at FROM horizon)
                   AND EXISTS (SELECT FROM click_journals WHERE shipped_at >= (SELECT at FROM horizon))";
    Ok(query::execute(db, sql, &[&keep.as_secs_f64()]).await?)
}

fn state(row: &Row) -> Result<JournalState, Error> {
    let number = |column: usize| row.try_get(column).map(i64::cast_unsigned);
    Ok(JournalState {
        position: JournalPosition { segment: number(0)?, offset: number(1)?, sequence: number(2)? },
        recorded: number(3)?,
        orphaned: number(4)?,
        parked: number(5)?,
        without_event: number(7)?,
    })
}
