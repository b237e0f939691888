//! Recording clicks in PostgreSQL.

use deadpool_postgres::ClientWrapper;

use super::{error, query};
use crate::event::{Details, EventType};
use crate::store::{RecordedClicks, Result};
use crate::{Click, Id, Timestamp};

/// How often the batch is tried while links and users go under it.
const TRIES: u32 = 5;

pub(super) async fn record(db: &ClientWrapper, clicks: &[Click]) -> Result<RecordedClicks> {
    // The owner is read from the url: it is the one row that must be there.
    let sql = "INSERT INTO events (url_id, user_id, event_type, timestamp, details)
               SELECT urls.id, urls.user_id, $4, clicks.at, clicks.details
               FROM unnest($1::bigint[], $2::timestamptz[], $3::json[]) WITH ORDINALITY
                   AS clicks (url_id, at, details, n)
               JOIN urls ON urls.id = clicks.url_id
               ORDER BY clicks.n";
    let url_ids: Vec<Id> = clicks.iter().map(|click| click.url_id).collect();
    let times: Vec<Timestamp> = clicks.iter().map(|click| Timestamp::from(click.at)).collect();
    let details: Vec<Details> =
        clicks.iter().map(|click| Details::of_url(click.short_code.as_str(), click.target.as_given())).collect();
    let mut tries = 0;
    loop {
        tries += 1;
        match query::execute(db, sql, &[&url_ids, &times, &details, &EventType::CLICKED]).await {
            Ok(recorded) => return Ok(RecordedClicks { recorded, orphaned: clicks.len() as u64 - recorded }),
            // A link went while the statement ran: the next try does not find it.
            Err(error) if tries < TRIES && error::violates_any(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
