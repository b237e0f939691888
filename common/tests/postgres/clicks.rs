//! Clicks that are shipped while their links, users and server are deleted or killed.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tern_common::store::{AdminStore, ClickSink, LinkFeed, PostgresConfig, PostgresStore};
use tern_common::url::{Url, UrlFilter};
use tern_common::{Click, ClickBatch, Id, JournalId, JournalPosition, ShipOutcome, Visitor};
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::relay::Relay;

use crate::{connect, eventually, store, url, user};

pub fn click(url_id: Id, owner_id: Id) -> Click {
    Click {
        url_id,
        owner_id,
        short_code: "CODE12".to_owned(),
        original_url: "https://example.com/".to_owned(),
        at: SystemTime::now(),
        client: None,
        user_agent: None,
        referrer: None,
        visitor: Visitor::UNKNOWN,
        source: None,
        choice: None,
        is_minimal: false,
        is_counted_only: false,
    }
}

async fn urls(store: &dyn AdminStore) -> Vec<Url> {
    let page = tern_common::store::Page::first(100);
    store.list_urls(UrlFilter::default(), Default::default(), page).await.unwrap().rows
}

/// Ships the same clicks `batches` times and returns how many became events and how many were orphans.
async fn ship_all(store: &PostgresStore, journal: JournalId, clicks: &[Click], batches: u64) -> (u64, u64) {
    let mut from = None;
    let mut state = None;
    for batch in 1..=batches {
        let to = JournalPosition { segment: 0, offset: batch, sequence: batch };
        match store.ship_clicks(ClickBatch { journal, from, to, clicks, parked: 0 }).await.unwrap() {
            ShipOutcome::Committed(taken) => state = Some(taken),
            elsewhere @ ShipOutcome::Mismatch(_) => panic!("{elsewhere:?}"),
        }
        from = Some(to);
    }
    state.map_or((0, 0), |state| (state.recorded, state.orphaned))
}

#[tokio::test]
async fn network_of_client_is_stored_with_its_click() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "CODE12").await;
    let from = |client: &str| Click { client: client.parse().ok(), ..click(Id::new(1).unwrap(), owner) };
    let clicks = [from("192.0.2.0/24"), from("2001:db8:7::/48"), from("192.0.2.77/24"), from("")];
    assert_eq!(ship_all(&store, JournalId(1), &clicks, 1).await, (4, 0));
    let sql = "SELECT coalesce(client::text, '') FROM events WHERE event_type = 'clicked' ORDER BY id";
    let rows = connect(&config).await.query(sql, &[]).await.unwrap();
    let kept: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(kept, ["192.0.2.0/24", "2001:db8:7::/48", "192.0.2.0/24", ""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_over_a_long_way_takes_two_round_trips_and_locks_counts_for_none() {
    const ROUND_TRIP: Duration = Duration::from_millis(200);
    let server = Postgres::shared();
    let (store, config) = store(server).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "CODE12").await;
    let way = Relay::delayed(server.port(), ROUND_TRIP / 2);
    let far = PostgresConfig::new(config.url.replace(&format!(":{}/", server.port()), &format!(":{}/", way.port())));
    let far = PostgresStore::new(&far).unwrap();
    let clicks = [click(Id::new(1).unwrap(), owner)];
    // A new connection prepares its statements.
    while far.find_journals(&[JournalId(1)]).await.is_err() {}
    assert_eq!(ship_all(&far, JournalId(1), &clicks, 1).await, (1, 0));
    let began = Instant::now();
    assert_eq!(ship_all(&far, JournalId(2), &clicks, 3).await, (3, 0));
    let (took, least) = (began.elapsed(), ROUND_TRIP * 2 * 3);
    assert!(took >= least && took < least + ROUND_TRIP * 3, "{took:?}");
    let locking = far.locking_time().unwrap();
    assert!(locking < ROUND_TRIP, "{locking:?}");
}

/// Renames a link while a batch waits for the lock that the rename has.
#[tokio::test]
async fn click_on_former_code_of_link_is_recorded() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "CODE12").await;
    let renamed = urls(&store).await[0].id;
    let clicks = [click(renamed, owner), Click { short_code: "NEW123".to_owned(), ..click(renamed, owner) }];
    let db = connect(&config).await;
    db.batch_execute("BEGIN; UPDATE urls SET short_code = 'NEW123'").await.unwrap();
    let (shipped, ()) = tokio::join!(ship_all(&store, JournalId(1), &clicks, 1), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        db.batch_execute("COMMIT").await.unwrap();
    });
    assert_eq!(shipped, (2, 0));
    // A later link with the same id has never had either code.
    db.batch_execute(
        "DELETE FROM urls; INSERT INTO urls (id, user_id, short_code, original_url, is_active, created_at, updated_at)
         VALUES (1, 1, 'OTHER1', 'https://example.com/', true, now(), now())",
    )
    .await
    .unwrap();
    assert_eq!(ship_all(&store, JournalId(2), &clicks, 1).await, (0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_beside_deleted_links_and_users_leave_no_dangling_events() {
    let (store, config) = store(Postgres::shared()).await;
    let store = Arc::new(store);
    let other = connect(&config).await;
    let (ada, bob) = (user(&*store, "ada").await.id, user(&*store, "bob").await.id);
    for n in 0..20 {
        url(&*store, ada, &format!("ada-{n}")).await;
        url(&*store, bob, &format!("bob-{n}")).await;
    }
    let urls = urls(&*store).await;
    // The two shippers lock links in opposite orders, which deadlocks unless locks are sorted.
    let clicks: Vec<Click> =
        urls.iter().map(|url| Click { short_code: url.short_code.clone(), ..click(url.id, ada) }).collect();
    let shippers: Vec<_> = [clicks.clone(), clicks.into_iter().rev().collect()]
        .into_iter()
        .zip(0..)
        .map(|(clicks, journal)| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { ship_all(&store, JournalId(journal), &clicks, 50).await })
        })
        .collect();
    for url in urls.iter().step_by(4) {
        store.delete_url(url.id, None).await.unwrap();
    }
    // On a busy machine, a statement may wait for the batches too long. A repeated call goes on where it ended.
    eventually(async || store.delete_user(bob, true).await).await;
    for shipper in shippers {
        let (recorded, orphaned) = shipper.await.unwrap();
        assert_eq!(recorded + orphaned, 50 * 40);
        assert!(recorded >= 50 * 10);
    }
    let sql = "SELECT count(*), row_total('events', ''),
                      count(*) FILTER (WHERE url_id NOT IN (SELECT id FROM urls)
                                          OR user_id NOT IN (SELECT id FROM users))
               FROM events";
    let row = other.query_one(sql, &[]).await.unwrap();
    let (counted, total, orphans): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((counted, orphans), (total, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_killed_in_mid_batch_commits_all_or_nothing() {
    let server = Postgres::start_new(&Options::default());
    let (store, _) = store(&server).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "CODE12").await;
    let clicks = vec![click(urls(&store).await[0].id, owner); 500];
    let journal = JournalId(1);
    let mut from = None;
    let mut shipped = 0;
    for kill in 0..5 {
        // The batch after this one is in progress when the server is killed.
        let target = shipped + 3;
        let mut killed = false;
        while shipped < target {
            let to = JournalPosition { segment: kill, offset: shipped + 1, sequence: shipped + 1 };
            let batch = ClickBatch { journal, from, to, clicks: &clicks, parked: 0 };
            let result = if shipped + 1 == target && !killed {
                killed = true;
                let (result, ()) = tokio::join!(store.ship_clicks(batch), async {
                    for _ in 0..kill * 3 {
                        tokio::task::yield_now().await;
                    }
                    tokio::task::block_in_place(|| server.kill9());
                });
                server.start();
                result
            } else {
                store.ship_clicks(batch).await
            };
            match result {
                Ok(ShipOutcome::Committed(_)) => {}
                // An earlier attempt was committed and its answer was lost.
                Ok(ShipOutcome::Mismatch(Some(state))) => assert_eq!(state.position, to),
                Ok(ShipOutcome::Mismatch(None)) => panic!("the journal was forgotten"),
                Err(_) => {
                    eventually(async || store.ping().await).await;
                    continue;
                }
            }
            shipped += 1;
            from = Some(to);
        }
    }
    let filter = tern_common::event::EventFilter { event_type: Some("clicked".to_owned()), ..Default::default() };
    let page = tern_common::store::Page::first(1);
    let total = eventually(async || store.list_events(filter.clone(), page).await).await.total;
    assert_eq!(total, tern_common::store::Total::Exactly(shipped * 500));
    let state = store.find_journals(&[journal]).await.unwrap()[0].unwrap();
    assert_eq!((state.recorded, state.orphaned), (shipped * 500, 0));
}
