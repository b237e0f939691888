//! Limits of the redirectors' database role. The fleets in `tests/` run every redirector under this role, which shows
//! that its privileges suffice.

use std::io::Write;
use std::process::{Command, Stdio};

use tern_common::link_digest::Bucket;
use tern_common::missed_code::NewMisses;
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, ClickSink, LinkFeed, PostgresConfig, PostgresStore};
use tern_common::{Click, ClickBatch, ClickTake, JournalId, JournalPosition, JournalState, ShipOutcome, TakenClicks};
use tern_testkit::postgres::Postgres;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::{connect, store, url, user};

const ROLE: &str = include_str!("../../../deploy/postgres/redirector-role.sql");

#[tokio::test]
async fn redirector_role_may_only_read_links_and_write_clicks() {
    let server = Postgres::shared();
    let (store, mut config) = store(server).await;
    let ada = user(&store, "ada").await.id;
    url(&store, ada, "CODE12").await;
    let owner = connect(&config).await;
    // Twice, because an operator runs the file after each migration.
    for _ in 0..2 {
        owner.batch_execute(ROLE).await.unwrap();
    }
    config.url = config.url.replace("//tern@", "//tern_redirector@");
    let redirector = connect(&config).await;

    let link = redirector.query_one("SELECT * FROM served_links", &[]).await.unwrap();
    assert_eq!(link.get::<_, &str>("short_code"), "CODE12");
    // Audits read sums of links, and links of some ids.
    let audit = PostgresStore::open(&config).await.unwrap();
    assert!(audit.digest_key().await.unwrap().is_some());
    let at = audit.snapshot().await.unwrap().cursor;
    assert_eq!(audit.link_sums(&at).await.unwrap().len(), 1);
    assert_eq!(audit.links_in(vec![Bucket::new(0)]).await.unwrap().recv().await.unwrap().unwrap().len(), 1);
    let click =
        "INSERT INTO events (url_id, user_id, event_type, timestamp, details) VALUES (1, 1, 'clicked', now(), '{}')";
    assert_eq!(redirector.execute(click, &[]).await.unwrap(), 1);
    // The shipper inserts every column that a click has.
    let shipper = PostgresStore::open(&config).await.unwrap();
    let url_id = link.get("url_id");
    let to = JournalPosition { segment: 1, offset: 1, sequence: 1 };
    let click = Click { client: "192.0.2.0/24".parse().ok(), ..crate::clicks::click(url_id, ada) };
    // Looking up a former code and counting a click without event call functions of the owner.
    owner.batch_execute("INSERT INTO former_codes VALUES (1, 'FORMER')").await.unwrap();
    let former = Click { short_code: "FORMER".to_owned(), is_counted_only: true, ..click.clone() };
    let clicks = &[click, former];
    let batch = ClickBatch { journal: JournalId(1), from: None, to, clicks, parked: 0 };
    assert!(matches!(
        shipper.ship_clicks(batch).await.unwrap(),
        ShipOutcome::Committed(JournalState { recorded: 2, without_event: 1, .. })
    ));
    let counted =
        owner.query_one("SELECT row_total('events', 'event_type=clicked'), sum(clicks)::bigint FROM click_counts", &[]);
    let counted = counted.await.unwrap();
    assert_eq!([counted.get::<_, i64>(0), counted.get(1)], [2, 3], "the clicks are not counted in the owner's name");

    shipper.count_misses(&[NewMisses { short_code: "nope".to_owned(), count: 3 }]).await.unwrap();
    assert_eq!(store.list_misses(9).await.unwrap()[0].count, 3);

    owner.batch_execute("UPDATE urls SET max_clicks = 5").await.unwrap();
    let take = ClickTake { url_id, needed: 5, ahead: 0 };
    assert_eq!(shipper.take_clicks(&[take]).await.unwrap(), [TakenClicks::Granted(2)], "three clicks are stored");
    shipper.return_clicks(&[(url_id, 1)]).await.unwrap();
    assert_eq!(shipper.take_clicks(&[take]).await.unwrap(), [TakenClicks::Granted(1)]);

    // Other roles may not call the owner's functions.
    owner.batch_execute("CREATE ROLE tern_stranger LOGIN").await.ok();
    config.url = config.url.replace("//tern_redirector@", "//tern_stranger@");
    let stranger = connect(&config).await;
    for call in [
        "SELECT lock_links('{1}')",
        "SELECT find_former_codes('{1}', '{CODE12}')",
        "SELECT count_batch('{1}', '{7}', '{7}', '{2026-01-01}', '{1}', '{7}', '{1}', '{2026-01-01}', '{v}', '{curl}', '{7}',
                            '{2026-01-01}', '{v}', '{curl}', '{7}', '{1}', '{2026-01-01}', '{7}', '{0}')",
        "SELECT count_misses('{CODE12}', '{7}')",
        "SELECT take_clicks('{1}', '{7}', '{7}')",
        "SELECT return_clicks('{1}', '{7}')",
    ] {
        let refused = stranger.batch_execute(call).await.unwrap_err();
        assert!(refused.as_db_error().unwrap().message().contains("permission denied"), "{call}: {refused:?}");
    }

    for forbidden in [
        "SELECT * FROM tokens",
        "SELECT email FROM users",
        "SELECT title FROM urls",
        "UPDATE served_links SET original_url = 'https://example.org/'",
        "DELETE FROM served_links",
        "SELECT * FROM urls",
        "SELECT id FROM urls FOR UPDATE",
        "SELECT * FROM events",
        "SELECT * FROM click_counts",
        "SELECT * FROM click_totals",
        "SELECT * FROM click_summaries",
        "SELECT * FROM misses",
        "DELETE FROM misses",
        "SELECT * FROM link_limits",
        "UPDATE link_limits SET taken = 0",
        "SELECT * FROM former_codes",
        "INSERT INTO former_codes VALUES (1, 'MINE12')",
        "INSERT INTO click_counts VALUES (1, now(), 'v', 'curl', 1)",
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
        "UPDATE link_sums SET digest = 0",
        "DELETE FROM link_sum_changes",
        "INSERT INTO link_sum_changes (bucket, digest) VALUES (0, 1)",
        "UPDATE failover_beats SET wal = 0",
        "DELETE FROM click_journals",
        "UPDATE row_counts SET n = 0",
        "DROP TABLE click_journals",
        "CREATE TABLE mine (id bigint)",
        "ALTER FUNCTION count_inserted_events() RESET ALL",
        "SET ROLE tern",
    ] {
        let refused = redirector.batch_execute(forbidden).await.err();
        let refused = refused.as_ref().and_then(|error| error.as_db_error()).map(|error| error.message());
        let message = refused.unwrap_or_else(|| panic!("it may: {forbidden}"));
        assert!(message.contains("permission denied") || message.contains("must be owner"), "{forbidden}: {message}");
    }
}

/// Lists Tern's functions that run as their owner and that every role may execute.
async fn public_functions(owner: &Client) -> Vec<String> {
    let sql = "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace
               AND has_function_privilege('public', oid, 'EXECUTE') ORDER BY proname";
    owner.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Dumps a database and restores it without privileges; returns the new database's URL.
pub(crate) fn restore_without_privileges(server: &Postgres, url: &str) -> String {
    let restored = server.create_database();
    let dump = Command::new("pg_dump").args(["--format=custom", url]).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let mut restore = Command::new("pg_restore");
    restore.args(["--no-privileges", "--no-owner", "--exit-on-error", "--dbname", &restored]).stdin(Stdio::piped());
    let mut restore = restore.spawn().unwrap();
    restore.stdin.take().unwrap().write_all(&dump.stdout).unwrap();
    assert!(restore.wait().unwrap().success());
    restored
}

#[tokio::test]
async fn owner_functions_after_restore_without_privileges_are_revoked_again() {
    let server = Postgres::shared();
    let (store, config) = store(server).await;
    let ada = user(&store, "ada").await.id;
    url(&store, ada, "CODE12").await;
    assert_eq!(public_functions(&connect(&config).await).await, Vec::<String>::new(), "of a new database");
    for by_command in [true, false] {
        let restored = PostgresConfig::new(restore_without_privileges(server, &config.url));
        let owner = connect(&restored).await;
        let all = [
            "count_batch",
            "count_inserted_events",
            "count_misses",
            "find_former_codes",
            "lock_links",
            "return_clicks",
            "take_clicks",
        ];
        assert_eq!(public_functions(&owner).await, all, "as pg_restore leaves them");
        owner.batch_execute("CREATE ROLE tern_stranger LOGIN").await.ok();
        let mut of_stranger = restored.clone();
        of_stranger.url = of_stranger.url.replace("//tern@", "//tern_stranger@");
        let stranger = connect(&of_stranger).await;
        stranger.query("SELECT lock_links('{1}')", &[]).await.unwrap();
        if by_command {
            migrate(&restored).await.unwrap();
        } else {
            PostgresStore::open(&restored).await.unwrap().run_upkeep().await.unwrap();
        }
        assert_eq!(public_functions(&owner).await, Vec::<String>::new());
        let refused = stranger.query("SELECT lock_links('{1}')", &[]).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused}");
        owner.batch_execute(ROLE).await.unwrap();
        PostgresStore::open(&restored).await.unwrap().run_upkeep().await.unwrap();
        let granted = "SELECT has_function_privilege('tern_redirector', 'lock_links(bigint[])', 'EXECUTE')";
        assert!(owner.query_one(granted, &[]).await.unwrap().get::<_, bool>(0), "a grant was removed");
    }
}
