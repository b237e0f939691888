//! What the role of redirectors may not. That it may do all that a redirector does is seen in `tests/`, where every
//! redirector runs under it.

use tern_common::store::{PostgresStore, Store};
use tern_common::{Click, ClickBatch, JournalId, JournalPosition, JournalState, Shipped};
use tern_testkit::postgres::Postgres;

use crate::{connect, store, url, user};

const ROLE: &str = include_str!("../../../deploy/postgres/redirector-role.sql");

#[tokio::test]
async fn a_redirector_reads_links_and_writes_clicks_and_does_nothing_else() {
    let server = Postgres::shared();
    let (store, mut config) = store(server).await;
    let ada = user(&store, "ada").await.id;
    url(&store, ada, "CODE12").await;
    let owner = connect(&config).await;
    // Twice: it is run after each migration.
    for _ in 0..2 {
        owner.batch_execute(ROLE).await.unwrap();
    }
    config.url = config.url.replace("//tern@", "//tern_redirector@");
    let redirector = connect(&config).await;

    let link = redirector.query_one("SELECT id, user_id, short_code, original_url, is_active FROM urls", &[]).await;
    let link = link.unwrap();
    assert_eq!(link.get::<_, &str>("short_code"), "CODE12");
    let click =
        "INSERT INTO events (url_id, user_id, event_type, timestamp, details) VALUES (1, 1, 'clicked', now(), '{}')";
    assert_eq!(redirector.execute(click, &[]).await.unwrap(), 1);
    // As a redirector does it: with every column that a click has.
    let shipper = PostgresStore::open(&config).await.unwrap();
    let url_id = link.get("id");
    let to = JournalPosition { segment: 1, offset: 1, sequence: 1 };
    let click = Click { client: "192.0.2.0/24".parse().ok(), ..crate::clicks::click(url_id, ada) };
    // A code that the link had before is looked up, and a click beyond its network's budget is counted.
    owner.batch_execute("INSERT INTO former_codes VALUES (1, 'FORMER')").await.unwrap();
    let former = Click { short_code: "FORMER".to_owned(), is_counted_only: true, ..click.clone() };
    let clicks = &[click, former];
    let batch = ClickBatch { journal: JournalId(1), from: None, to, clicks, parked: 0 };
    assert!(matches!(
        shipper.ship_clicks(batch).await.unwrap(),
        Shipped::Taken(JournalState { recorded: 2, without_event: 1, .. })
    ));
    let counted =
        owner.query_one("SELECT row_total('events', 'event_type=clicked'), sum(clicks)::bigint FROM click_counts", &[]);
    let counted = counted.await.unwrap();
    assert_eq!([counted.get::<_, i64>(0), counted.get(1)], [2, 3], "they are counted, in the owner's name");

    // Nor may anybody else lock links.
    owner.batch_execute("CREATE ROLE tern_stranger LOGIN").await.ok();
    config.url = config.url.replace("//tern_redirector@", "//tern_stranger@");
    let stranger = connect(&config).await;
    for call in [
        "SELECT lock_urls('{1}')",
        "SELECT lock_links('{1}')",
        "SELECT find_former_codes('{1}', '{CODE12}')",
        "SELECT count_clicks('{1}', '{2026-01-01}', '{curl}', '{news.example}', '{7}')",
    ] {
        let refused = stranger.batch_execute(call).await.unwrap_err();
        assert!(refused.as_db_error().unwrap().message().contains("permission denied"), "{call}: {refused:?}");
    }

    for forbidden in [
        "SELECT * FROM tokens",
        "SELECT email FROM users",
        "SELECT title FROM urls",
        "SELECT * FROM urls",
        "SELECT id FROM urls FOR UPDATE",
        "SELECT * FROM events",
        "SELECT * FROM click_counts",
        "SELECT * FROM former_codes",
        "INSERT INTO former_codes VALUES (1, 'MINE12')",
        "INSERT INTO click_counts VALUES (1, 'b', now(), 'curl', 1)",
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         VALUES (1, 'MINE12', 'https://example.com/', true, now(), now())",
        "UPDATE urls SET original_url = 'https://example.org/'",
        "DELETE FROM urls",
        "TRUNCATE urls",
        "DELETE FROM users",
        "UPDATE events SET details = '{}'",
        "DELETE FROM events",
        "INSERT INTO events_0 (id, url_id, user_id, event_type, timestamp, details) VALUES (9, 1, 1, 'clicked', now(), '{}')",
        "INSERT INTO url_changes (short_code) VALUES ('CODE12')",
        "DELETE FROM url_changes",
        "UPDATE replica_meta SET salt = gen_random_uuid()",
        "DELETE FROM click_journals",
        "UPDATE row_counts SET n = 0",
        "DROP TABLE click_journals",
        "CREATE TABLE mine (id bigint)",
        "ALTER FUNCTION events_came() RESET ALL",
        "SET ROLE tern",
    ] {
        let refused = redirector.batch_execute(forbidden).await.err();
        let refused = refused.as_ref().and_then(|error| error.as_db_error()).map(|error| error.message());
        let message = refused.unwrap_or_else(|| panic!("it may: {forbidden}"));
        assert!(message.contains("permission denied") || message.contains("must be owner"), "{forbidden}: {message}");
    }
}
