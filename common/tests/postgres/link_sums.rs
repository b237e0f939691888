//! The sums of links, which triggers change and the upkeep folds and verifies.

use std::sync::Arc;
use std::time::Duration;

use tern_common::Id;
use tern_common::link_digest::{Bucket, LinkDigester, LinkSums};
use tern_common::served_link::LinkRow;
use tern_common::store::{AdminStore, Cursor, LinkFeed, LinkRows, PostgresConfig, PostgresStore};
use tern_testkit::postgres::Postgres;
use tern_testkit::relay::Relay;
use tokio_postgres::Client;

use crate::{connect, store, url, user};

const RULES: &str = r#"[{"target":"https://a.example/","if":[{"type":"country","value":"AT"}]}]"#;
const SPLIT: &str = r#"[{"target":"https://a.example/","weight":1},{"target":"https://münchen.example/ü","weight":2}]"#;

async fn collect(mut rows: LinkRows) -> Vec<LinkRow> {
    let mut all = Vec::new();
    while let Some(batch) = rows.recv().await {
        all.extend(batch.unwrap());
    }
    all
}

/// Returns the sums of all links as a redirector computes them, and the position at which they were read.
async fn sums_of_links(store: &PostgresStore) -> (LinkSums, Cursor) {
    let mut digester = LinkDigester::new(store.digest_key().await.unwrap().unwrap());
    let snapshot = store.snapshot().await.unwrap();
    let mut sums = LinkSums::new();
    for row in collect(snapshot.rows).await {
        *sums.entry(Bucket::of(Id::new(row.url_id).unwrap())).or_default() ^= digester.digest_row(&row);
    }
    (sums, snapshot.cursor)
}

async fn check(store: &PostgresStore, after: &str) -> (LinkSums, Cursor) {
    let (expected, at) = sums_of_links(store).await;
    assert_eq!(store.link_sums(&at).await.unwrap(), expected, "after {after}");
    (expected, at)
}

fn insert(ids: &str, options: &str, values: &str) -> String {
    format!(
        "INSERT INTO urls (id, user_id, short_code, original_url, is_active, created_at, updated_at{options})
         SELECT id, 1, 'code' || id, 'https://example.com/' || id, true, now(), now(){values} FROM {ids} AS id"
    )
}

#[tokio::test]
async fn sums_after_each_kind_of_change_are_those_of_the_links_at_each_position() {
    let (store, config) = store(Postgres::shared()).await;
    let other = connect(&config).await;
    let ada = user(&store, "ada").await.id;
    user(&store, "bob").await;
    for n in 0..5 {
        url(&store, ada, &format!("first{n}")).await;
    }
    let mut before = vec![check(&store, "single links").await];
    let options = ", expires_at, starts_at, expired_url, redirect_status, forward_query, max_clicks, rules, split";
    let rich = format!(
        ", now() + interval '0.7 s', '1969-12-31 23:59:58.5Z', 'https://ü.example/', 307, false, 9, '{RULES}', '{SPLIT}'"
    );
    let changes = [
        insert("generate_series(10, 9000, 11)", "", ""),
        insert("generate_series(10000, 10020)", options, &rich),
        insert("generate_series(9223372036854775797, 9223372036854775807)", "", ""),
        "UPDATE urls SET title = 'x', notes = 'y', updated_at = now()".to_owned(),
        "UPDATE urls SET original_url = 'https://münchen.example/{1}' WHERE id % 10 = 1".to_owned(),
        "UPDATE urls SET is_active = false WHERE id % 10 = 2".to_owned(),
        "UPDATE urls SET user_id = 2 WHERE id % 10 = 3".to_owned(),
        "UPDATE urls SET short_code = 'renamed' || id WHERE id % 10 = 4".to_owned(),
        "UPDATE urls SET forward_query = true, redirect_status = 308 WHERE id BETWEEN 50 AND 60".to_owned(),
        "UPDATE urls SET expires_at = now(), redirect_status = 302 WHERE id BETWEEN 50 AND 60".to_owned(),
        "UPDATE urls SET expires_at = NULL, starts_at = now(), expired_url = 'https://b.example/' WHERE id BETWEEN 50 AND 55".to_owned(),
        format!("UPDATE urls SET rules = '{RULES}', redirect_status = 302 WHERE id < 12"),
        format!("UPDATE urls SET split = '{SPLIT}', rules = NULL WHERE id = 11"),
        "UPDATE urls SET max_clicks = 3, redirect_status = 302 WHERE id < 13".to_owned(),
        "SELECT take_clicks('{1,2,3,10}', '{3,3,1,3}', '{0,0,0,0}')".to_owned(),
        "SELECT return_clicks('{1}', '{1}')".to_owned(),
        "UPDATE urls SET max_clicks = NULL WHERE id = 2".to_owned(),
        "UPDATE urls SET max_clicks = 1 WHERE id IN (2, 3)".to_owned(),
        "DELETE FROM urls WHERE id IN (2, 11)".to_owned(),
        "BEGIN; INSERT INTO urls (id, user_id, short_code, original_url, is_active, created_at, updated_at)
         VALUES (2, 1, 'again', 'https://a.example/', true, now(), now());
         UPDATE urls SET is_active = false WHERE id = 2; SAVEPOINT s; DELETE FROM urls WHERE id = 2; ROLLBACK TO s;
         UPDATE urls SET short_code = 'other' WHERE id = 2; COMMIT".to_owned(),
        "BEGIN; DELETE FROM urls; ROLLBACK".to_owned(),
        "SET session_replication_role = replica; UPDATE urls SET is_active = NOT is_active; SET session_replication_role = origin".to_owned(),
        "DELETE FROM urls WHERE id > 20000".to_owned(),
        "DELETE FROM urls WHERE user_id = 2; DELETE FROM users WHERE id = 2".to_owned(),
    ];
    for change in &changes {
        other.batch_execute(change).await.unwrap();
        before.push(check(&store, change).await);
        store.run_upkeep().await.unwrap();
        before.push(check(&store, &format!("the fold after {change}")).await);
        // Every earlier position has its sums, whatever was folded since.
        for (expected, at) in &before {
            assert_eq!(&store.link_sums(at).await.unwrap(), expected, "at {at} after {change}");
        }
    }
    store.delete_user(ada, true).await.unwrap();
    check(&store, "a cascading deletion").await;
    assert_eq!(sums_of_links(&store).await.0, LinkSums::new());
    url(&store, user(&store, "eve").await.id, "last").await;
    other.batch_execute("TRUNCATE urls CASCADE").await.unwrap();
    check(&store, "TRUNCATE").await;
    url(&store, user(&store, "joe").await.id, "last").await;
    check(&store, "a link after TRUNCATE").await;
}

/// Writers of the same and of other buckets, and folds, while one statement compares links and sums.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_beside_concurrent_writers_and_folds_stay_exact() {
    let (store, config) = store(Postgres::shared()).await;
    let store = Arc::new(store);
    let owner = user(&*store, "ada").await.id;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let (store, other) = (Arc::clone(&store), connect(&config).await);
        writers.push(tokio::spawn(async move {
            for n in 0..40 {
                url(&*store, owner, &format!("w{writer}-{n}")).await;
                let sql = format!(
                    "UPDATE urls SET is_active = NOT is_active WHERE short_code = 'w{writer}-{}';
                     DELETE FROM urls WHERE short_code = 'w{writer}-{}'",
                    n / 2,
                    n / 3
                );
                other.batch_execute(&sql).await.unwrap();
            }
        }));
    }
    let mut checks = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        check(&store, "concurrent changes").await;
        store.run_upkeep().await.unwrap();
        checks += 1;
    }
    println!("{checks} checks beside the writers");
    assert!(checks > 2, "nothing was tested");
    for writer in writers {
        writer.await.unwrap();
    }
    check(&store, "all changes").await;
    assert_eq!(wrong_sums(&connect(&config).await).await, 0, "the upkeep found a wrong sum");
}

/// Verifies all sums. Returns the number of buckets whose sums were wrong, and are right now.
async fn wrong_sums(other: &Client) -> usize {
    let mut wrong = 0;
    loop {
        wrong += other.query("SELECT verify_link_sums(0)", &[]).await.unwrap().len();
        if other.query_one("SELECT verified_below FROM replica_meta", &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return wrong;
        }
    }
}

#[tokio::test]
async fn sums_of_links_that_changed_without_triggers_are_corrected() {
    let (store, config) = store(Postgres::shared()).await;
    let other = connect(&config).await;
    user(&store, "ada").await;
    other.batch_execute(&insert("generate_series(1, 20000, 4)", "", "")).await.unwrap();
    other.batch_execute("UPDATE urls SET max_clicks = 1, redirect_status = 302 WHERE id = 9001").await.unwrap();
    assert_eq!(wrong_sums(&other).await, 0);
    let without_triggers = format!(
        "ALTER TABLE urls DISABLE TRIGGER USER; ALTER TABLE link_limits DISABLE TRIGGER USER;
         UPDATE urls SET is_active = false WHERE id = 5; DELETE FROM urls WHERE id = 5001;
         UPDATE link_limits SET taken = 1; {};
         ALTER TABLE urls ENABLE TRIGGER USER; ALTER TABLE link_limits ENABLE TRIGGER USER",
        insert("unnest('{30000,30001}'::bigint[])", "", "")
    );
    other.batch_execute(&without_triggers).await.unwrap();
    let (expected, at) = sums_of_links(&store).await;
    assert_ne!(store.link_sums(&at).await.unwrap(), expected);
    assert_eq!(wrong_sums(&other).await, 4);
    check(&store, "the verification").await;
    assert_eq!(wrong_sums(&other).await, 0);

    // The upkeep verifies them, too.
    let one = "ALTER TABLE urls DISABLE TRIGGER USER; UPDATE urls SET is_active = false WHERE id = 9;
               ALTER TABLE urls ENABLE TRIGGER USER";
    other.batch_execute(one).await.unwrap();
    store.run_upkeep().await.unwrap();
    check(&store, "the upkeep").await;
}

#[tokio::test]
async fn sums_of_a_restored_database_are_those_of_its_links() {
    let server = Postgres::shared();
    let (store, config) = store(server).await;
    let other = connect(&config).await;
    user(&store, "ada").await;
    other.batch_execute(&insert("generate_series(1, 5000, 3)", "", "")).await.unwrap();
    store.run_upkeep().await.unwrap();
    other.batch_execute("DELETE FROM urls WHERE id % 7 = 0").await.unwrap();
    let restored = PostgresConfig::new(crate::roles::restore_without_privileges(server, &config.url));
    // On another server, the changes may have ids of future transactions.
    let future = "UPDATE link_sum_changes SET xid = (xid::text::numeric + 1000000000)::text::xid8";
    connect(&restored).await.batch_execute(future).await.unwrap();
    let copy = PostgresStore::open(&restored).await.unwrap();
    check(&copy, "the restore").await;
    connect(&restored).await.batch_execute("UPDATE urls SET is_active = false WHERE id % 5 = 0").await.unwrap();
    check(&copy, "a change after the restore").await;
    copy.run_upkeep().await.unwrap();
    check(&copy, "a fold after the restore").await;
}

#[tokio::test]
async fn links_in_buckets_are_those_of_their_ids() {
    let (store, config) = store(Postgres::shared()).await;
    user(&store, "ada").await;
    connect(&config).await.batch_execute(&insert("generate_series(1, 20000, 5)", "", "")).await.unwrap();
    let buckets = [0, 4, 2, 3].map(Bucket::new).to_vec();
    let mut ids: Vec<i64> =
        collect(store.links_in(buckets).await.unwrap()).await.into_iter().map(|row| row.url_id).collect();
    ids.sort_unstable();
    let expected: Vec<i64> = (1..20_001).step_by(5).filter(|id| !(4096..8192).contains(id)).collect();
    assert_eq!(ids, expected);
    assert!(collect(store.links_in(Vec::new()).await.unwrap()).await.is_empty());
}

/// An audit that finds nothing reads the sums, and no link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_take_few_bytes_for_each_bucket() {
    /// Each bucket of ten million links has four links here.
    const IDS: usize = 10_000_000;
    let server = Postgres::shared();
    let (store, config) = store(server).await;
    user(&store, "ada").await;
    // Audit entries would take most of the time.
    let unaudited = "ALTER TABLE urls DISABLE TRIGGER urls_audited";
    let other = connect(&config).await;
    other.batch_execute(unaudited).await.unwrap();
    other.batch_execute(&insert(&format!("generate_series(1, {IDS}, 1000)"), "", "")).await.unwrap();
    let relay = Relay::to(server.port());
    let through = config.url.replace(&format!(":{}/", server.port()), &format!(":{}/", relay.port()));
    assert_ne!(through, config.url);
    let far = PostgresStore::open(&PostgresConfig { url: through, ..config }).await.unwrap();
    let (_, at) = sums_of_links(&store).await;
    // The connections are made.
    far.link_sums(&at).await.unwrap();
    far.digest_key().await.unwrap();
    let before = relay.carried();
    far.digest_key().await.unwrap();
    let sums = far.link_sums(&at).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let read = relay.carried() - before;
    println!("{} sums of {IDS} ids took {read} bytes in both directions", sums.len());
    assert_eq!(sums.len(), IDS / 4096 + 1);
    assert!(read < 100_000, "{read}");
}
