//! Shipping clicks into PostgreSQL. The journal's position and the events change in one transaction.
//!
//! A batch costs two flights over the network, whatever its size. Each sends several statements before the first answer.
//! The last flight counts, which locks rows that all shippers change, and commits. A long way thus delays no other shipper.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use deadpool_postgres::ClientWrapper;
use futures_util::future::try_join_all;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, Statement};

use super::columns::Network;
use super::connections::Connections;
use super::{error, query};
use crate::event::{Details, EventType};
use crate::store::Result;
use crate::store::click_counts::{BatchCounts, CountKind, LinkClicks, LinkedClick, RecordedClicks};
use crate::store::referrer_budget::ReferrerBudget;
use crate::{Click, ClickBatch, ClickSource, Id, JournalId, JournalPosition, JournalState, ShipOutcome, Timestamp};

/// The statement that begins the transaction of a batch, whose triggers count no click: `count_batch` does.
const BEGIN: &str = "BEGIN; SET LOCAL tern.counts = 'batch'; SET LOCAL statement_timeout =";

const ADVANCE: &str = "UPDATE click_journals SET segment = $2, \"offset\" = $3, sequence = $4, shipped_at = now()
    WHERE journal = $1 AND segment = $5 AND \"offset\" = $6 AND sequence = $7";

const ADD: &str = "INSERT INTO click_journals (journal, segment, \"offset\", sequence) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING";

const LOCK: &str = "SELECT id, user_id, short_code FROM lock_links($1)";

const FORMER_CODES: &str = "SELECT url_id, short_code FROM find_former_codes($1, $2)";

const COPY: &str =
    "COPY events (url_id, user_id, event_type, timestamp, details, visitor, referrer, source, target, client)
    FROM STDIN (FORMAT BINARY)";

/// Adds a batch to every count. The first column is the time at which it begins to lock them.
const COUNT: &str = "SELECT clock_timestamp(),
    count_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

/// The types of the columns of [`COPY`].
const EVENT_TYPES: [Type; 10] = [
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::JSON,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::CIDR,
];

const FINISH: &str = "UPDATE click_journals
    SET recorded = recorded + $2, orphaned = orphaned + $3, parked = parked + $4, without_event = without_event + $5
    WHERE journal = $1
    RETURNING segment, \"offset\", sequence, recorded, orphaned, parked, journal, without_event, clock_timestamp()";

/// The outcome of a batch, and the time for which it locked counts.
pub(super) struct Shipped {
    pub(super) outcome: ShipOutcome,
    pub(super) locking: Option<Duration>,
}

pub(super) async fn ship(
    connections: &Connections,
    referrers: &ReferrerBudget,
    batch: ClickBatch<'_>,
) -> Result<Shipped> {
    connections
        .ship(async |db, statement_time| {
            let begin = format!("{BEGIN} {}", statement_time.as_millis());
            let mut asked = BTreeSet::new();
            loop {
                let started = match start(db, &begin, batch, &asked).await? {
                    Ok(started) => started,
                    Err(outcome) => return Ok(Shipped { outcome, locking: None }),
                };
                let unmatched = started.links.unmatched(batch.clicks);
                if unmatched.is_subset(&asked) {
                    return finish(db, referrers, batch, started).await;
                }
                // Rare: a url has another code than a click. Another attempt asks for former codes after it has the lock,
                // so it also sees a rename for which the lock waited.
                asked = unmatched;
                drop(started);
                db.batch_execute("ROLLBACK").await?;
            }
        })
        .await
}

/// A batch after its first flight.
struct Started {
    links: Links,
    /// The open COPY of the events. `None` if no click of the batch has one.
    copy: Option<Pin<Box<BinaryCopyInWriter>>>,
}

/// Begins the transaction, advances the journal from the begin of the batch to its end, locks the links, and opens the
/// COPY, in one flight. `asked` are pairs of a link and a code that the link may have had.
///
/// Returns the outcome instead if the journal's position is not the begin of the batch.
/// A concurrent shipper locks the row of the journal, or its key, until it commits. Then it has another position.
async fn start(
    db: &ClientWrapper,
    begin: &str,
    batch: ClickBatch<'_>,
    asked: &BTreeSet<(Id, &str)>,
) -> Result<Result<Started, ShipOutcome>> {
    let sql = if batch.from.is_some() { ADVANCE } else { ADD };
    // All statements of a batch are prepared at once, which costs a new connection one round trip.
    let all = statements(db, [sql, LOCK, FORMER_CODES, COPY, COUNT, FINISH]).await?;
    let [advance, lock, former_codes, copy, ..] = &all;
    let journal = batch.journal.to_string();
    let place = |at: JournalPosition| [at.segment, at.offset, at.sequence].map(u64::cast_signed);
    let places: Vec<i64> = [Some(batch.to), batch.from].into_iter().flatten().flat_map(place).collect();
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&journal];
    values.extend(places.iter().map(|number| -> &(dyn ToSql + Sync) { number }));
    let mut ids: Vec<Id> = batch.clicks.iter().map(|click| click.url_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let (asked_ids, asked_codes): (Vec<Id>, Vec<&str>) = asked.iter().copied().unzip();
    let have_events = batch.clicks.iter().any(|click| !click.is_counted_only);
    // Each future sends its statement when it is first polled, and `join!` polls them in this order.
    let (begun, moved, rows, former, copy) = tokio::join!(
        biased;
        db.batch_execute(begin),
        db.execute(advance, &values),
        async { db.query(lock, &[&ids]).await },
        async {
            match asked.is_empty() {
                true => Ok(Vec::new()),
                false => db.query(former_codes, &[&asked_ids, &asked_codes]).await,
            }
        },
        async {
            match have_events {
                false => Ok::<_, Error>(None),
                true => Ok(Some(Box::pin(BinaryCopyInWriter::new(db.copy_in(copy).await?, &EVENT_TYPES)))),
            }
        },
    );
    begun?;
    if moved? == 0 {
        drop(copy);
        let (ended, journals) =
            tokio::join!(biased; db.batch_execute("ROLLBACK"), find_journals(db, std::slice::from_ref(&batch.journal)));
        ended?;
        return Ok(Err(ShipOutcome::Mismatch(journals?.into_iter().flatten().next())));
    }
    let links = Links::of(&rows?, &former?)?;
    Ok(Ok(Started { links, copy: copy? }))
}

/// Stores the clicks whose links exist, as events or only in the counts, and commits, in one flight.
async fn finish(
    db: &ClientWrapper,
    referrers: &ReferrerBudget,
    batch: ClickBatch<'_>,
    Started { links, copy }: Started,
) -> Result<Shipped> {
    let linked = |click| Some(LinkedClick::new(click, links.owner_of(click)?, referrers));
    let clicks: Vec<_> = batch.clicks.iter().filter_map(linked).collect();
    let RecordedClicks { recorded, without_event } = RecordedClicks::of(&clicks);
    let orphaned = batch.clicks.len() as u64 - recorded;
    let [recorded, orphaned, parked, without_event] =
        [recorded, orphaned, batch.parked, without_event].map(u64::cast_signed);
    let journal = batch.journal.to_string();
    let values: query::Values<'_> = &[&journal, &recorded, &orphaned, &parked, &without_event];
    let [counting, finishing] = &statements(db, [COUNT, FINISH]).await?;
    let sums = BatchCounts::of(&clicks);
    // The server runs these statements in order, and none after a failed one: COMMIT then rolls back.
    let (copied, counted, finished, (committed, commit_took)) = tokio::join!(
        biased;
        async {
            match copy {
                Some(copy) => write(copy, &clicks).await,
                None => Ok(()),
            }
        },
        async {
            match clicks.is_empty() {
                true => Ok(None),
                false => count(db, counting, &sums).await.map(Some),
            }
        },
        async { (db.query_one(finishing, values).await, Instant::now()) },
        async { (db.batch_execute("COMMIT").await, Instant::now()) },
    );
    copied?;
    let began: Option<SystemTime> = counted?;
    let (row, finished_at) = finished;
    committed?;
    let row = row?;
    Ok(Shipped {
        outcome: ShipOutcome::Committed(state(&row)?),
        locking: locking(began, row.try_get(8)?).map(|time| time + commit_took.saturating_duration_since(finished_at)),
    })
}

/// Prepares statements in one round trip, the first time on each connection.
async fn statements<const N: usize>(db: &ClientWrapper, sql: [&str; N]) -> Result<[Statement; N]> {
    let prepared = try_join_all(sql.map(|sql| db.prepare_cached(sql))).await?;
    prepared.try_into().map_err(|_| error::unexpected("number of statements"))
}

/// Returns the time between two moments of the server's clock, or zero if it was set back.
fn locking(began: Option<SystemTime>, ended: SystemTime) -> Option<Duration> {
    began.map(|began| ended.duration_since(began).unwrap_or_default())
}

fn has_event(linked: &LinkedClick<'_>) -> bool {
    !linked.click.is_counted_only
}

/// Writes clicks as events of the owners of their links.
async fn write(mut writer: Pin<Box<BinaryCopyInWriter>>, clicks: &[LinkedClick<'_>]) -> Result<(), Error> {
    for LinkedClick { click, owner, source } in clicks.iter().filter(|linked| has_event(linked)) {
        let (at, details) = (Timestamp::from(click.at), Details::of_click(click));
        let ClickSource { visitor, referrer, source, target } = source;
        let (visitor, client) = (visitor.map(|visitor| visitor.to_string()), click.client.map(Network));
        let values: query::Values<'_> =
            &[&click.url_id, owner, &EventType::CLICKED, &at, &details, &visitor, referrer, source, target, &client];
        writer.as_mut().write(values).await?;
    }
    writer.as_mut().finish().await?;
    Ok(())
}

/// Adds a batch to every count, and returns when that began. The order of the arrays is that in which all shippers lock
/// counts.
async fn count(db: &ClientWrapper, statement: &Statement, sums: &BatchCounts) -> Result<SystemTime, Error> {
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
    db.query_one(statement, values).await?.try_get(0)
}

/// The existing links of a batch. They are locked, so none is deleted before its clicks are stored.
struct Links {
    /// The owner and the code of each url.
    by_id: HashMap<Id, (Id, String)>,
    /// Codes in the batch that a url had before it was renamed.
    former_codes: HashSet<(Id, String)>,
}

impl Links {
    fn of(locked: &[Row], former: &[Row]) -> Result<Links, Error> {
        let link = |row: &Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        let pair = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        Ok(Links {
            by_id: locked.iter().map(link).collect::<Result<_, Error>>()?,
            former_codes: former.iter().map(pair).collect::<Result<_, Error>>()?,
        })
    }

    /// Returns the pairs of an existing url and a code that is not its own. PostgreSQL refuses a text with U+0000.
    fn unmatched<'a>(&self, clicks: &'a [Click]) -> BTreeSet<(Id, &'a str)> {
        let is_unmatched = |click: &&Click| {
            self.by_id.contains_key(&click.url_id) && self.owner_of(click).is_none() && !click.short_code.contains('\0')
        };
        clicks.iter().filter(is_unmatched).map(|click| (click.url_id, click.short_code.as_str())).collect()
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
