//! A whole redirector: before its first load, in service, and without its store or disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tern_common::bus::{Bus, Delivery, Message, Topic};
use tern_common::store::{AdminStore, SqliteStore};
use tern_common::url::{NewUrl, UrlChange};
use tern_common::{LinkOptionsChange, ShortCode, TargetUrl, Timestamp};

use crate::fixture::{Fixture, drain, lock_out};
use crate::links::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn redirector_before_its_first_load_answers_503() {
    let mut fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    // A new store, so that no connection is open when the database is locked.
    fixture.store = Arc::new(SqliteStore::open(&fixture.database()).await.unwrap());
    let lock = lock_out(&fixture.database());
    let redirector = fixture.start().await;
    let (fast, ops) = (redirector.local_addr(), redirector.ops_addr());
    for path in ["/CODE12", "/nope", "/no/such/form"] {
        assert_eq!(fixture.status(fast, path).await, (503, Some("1".to_owned())), "{path}");
    }
    let page = fixture.client.get(format!("http://{fast}/CODE12")).header("accept", "text/html").send().await.unwrap();
    assert_eq!((page.status().as_u16(), &page.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(page.text().await.unwrap().contains("<h1>One moment, please</h1><p>The links are not loaded yet.</p>"));
    assert_eq!(fixture.status(ops, "/ready").await.0, 503);
    assert_eq!(fixture.status(ops, "/live").await.0, 200);

    drop(lock);
    redirector.loaded().await;
    assert_eq!(fixture.status(ops, "/ready").await.0, 200);
    assert_eq!(fixture.status(fast, "/CODE12").await.0, 302);
    assert_eq!(fixture.status(fast, "/nope").await.0, 404);
    assert_eq!(drain(redirector).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirector_without_messages_finds_changes_by_polling() {
    let fixture = Fixture::create().await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let fast = redirector.local_addr();
    assert_eq!(fixture.status(fast, "/CODE12").await.0, 404);
    let id = fixture.insert("CODE12").await;
    eventually("the link is served", async || fixture.status(fast, "/CODE12").await.0 == 302).await;
    let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
    fixture.store.update_url(id, off).await.unwrap();
    eventually("the link is inactive", async || fixture.status(fast, "/CODE12").await.0 == 410).await;
    fixture.store.delete_url(id, None).await.unwrap();
    eventually("the link is deleted", async || fixture.status(fast, "/CODE12").await.0 == 404).await;
    let propagation =
        async |what| fixture.metric(&redirector, &format!("tern_replica_propagation_seconds_{what}")).await;
    assert_eq!(propagation("count").await, 3.0);
    // A poll follows after 600 ms at most; the rest is for a busy machine.
    assert!(propagation("sum").await < 3.0, "{}", propagation("sum").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn link_expires_by_the_clock_of_the_redirector() {
    let fixture = Fixture::create().await;
    let id = fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let fast = redirector.local_addr();
    let status = async || fixture.status(fast, "/CODE12").await.0;
    let set_end = async |end| {
        let change = UrlChange {
            options: LinkOptionsChange { expires_at: Some(end), ..Default::default() },
            ..UrlChange::default()
        };
        fixture.store.update_url(id, change).await.unwrap();
    };
    set_end(Some(Timestamp::from_unix_seconds(Timestamp::now().unix_seconds() + 4))).await;
    assert_eq!(status().await, 302);
    eventually("the link is expired", async || status().await == 410).await;
    set_end(None).await;
    eventually("the link is served again", async || status().await == 302).await;
    set_end(Some(Timestamp::from_unix_seconds(0))).await;
    eventually("the link is expired at once", async || status().await == 410).await;
    assert!(fixture.metric(&redirector, "tern_redirects_total{outcome=\"expired\"}").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_announces_its_cursor_and_its_end() {
    let fixture = Fixture::create().await;
    let mut progress = fixture.bus.subscribe(Topic::Progress).await.unwrap();
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let url = NewUrl {
        user_id: fixture.owner,
        short_code: ShortCode::parse("CODE12").unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
    };
    let mark = fixture.store.insert_url(url).await.unwrap().mark;
    fixture.bus.publish(Message::Invalidation).await.unwrap();
    let announced = loop {
        if let Delivery::Message(Message::Progress { replica, cursor }) = progress.next().await.unwrap()
            && cursor.covers(&mark)
        {
            break replica;
        }
    };
    assert_eq!(fixture.status(redirector.local_addr(), "/CODE12").await.0, 302, "the announced change is not served");
    drain(redirector).await;
    loop {
        if let Delivery::Message(Message::Departure { replica }) = progress.next().await.unwrap() {
            assert_eq!(replica, announced);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_invalidations_costs_few_deltas() {
    let fixture = Fixture::create().await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let before = fixture.metric(&redirector, "tern_replica_deltas_total").await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        for _ in 0..100 {
            fixture.bus.publish(Message::Invalidation).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let deltas = fixture.metric(&redirector, "tern_replica_deltas_total").await - before;
    println!("{:.0} deltas a second under a flood of hints", deltas / seconds);
    assert!(deltas <= 55.0 * seconds + 2.0, "{deltas} in {seconds} s");
    let id = fixture.insert("CODE12").await;
    eventually("a change among them is served", async || {
        fixture.status(redirector.local_addr(), "/CODE12").await.0 == 302
    })
    .await;
    assert!(id.get() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirector_without_its_store_keeps_serving() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let writer = rusqlite::Connection::open(fixture.database()).unwrap();
    writer.execute_batch("ALTER TABLE replica_meta RENAME TO hidden").unwrap();
    eventually("the replica fails", async || {
        fixture.metric(&redirector, "tern_replica_store_failures_total").await >= 2.0
    })
    .await;
    assert_eq!(fixture.status(redirector.local_addr(), "/CODE12").await.0, 302);
    assert_eq!(fixture.status(redirector.ops_addr(), "/ready").await.0, 200);
    writer.execute_batch("ALTER TABLE hidden RENAME TO replica_meta").unwrap();
    fixture.insert("CODE34").await;
    eventually("the replica has caught up", async || fixture.status(redirector.local_addr(), "/CODE34").await.0 == 302)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_without_a_link_are_stored_with_their_counts() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    for path in ["/once", "/often", "/CODE12", "/often", "/no/such/form", "/often+", "/"] {
        fixture.status(redirector.local_addr(), path).await;
    }
    let stored = async || {
        let misses = fixture.store.list_misses(9).await.unwrap();
        misses.into_iter().map(|missed| (missed.short_code, missed.count)).collect::<Vec<_>>()
    };
    let expected = |often| [("often", often), ("once", 1)].map(|(code, count): (&str, u64)| (code.to_owned(), count));
    eventually("the codes are stored", async || stored().await == expected(3)).await;
    fixture.status(redirector.local_addr(), "/often").await;
    assert_eq!(drain(redirector).await, 0);
    assert_eq!(stored().await, expected(4), "a redirector that ends stores what it counted last");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirector_without_room_for_clicks_is_ready_and_degraded() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let redirector = fixture.start_with(&[("CLICK_DISK_FLOOR", "1PiB")]).await;
    redirector.loaded().await;
    let ready = fixture.json(redirector.ops_addr(), "/ready").await;
    let message = ready["message"].as_str().unwrap().to_owned();
    let disk = format!("the disk of {} has ", fixture.directory.path().join("clicks").display());
    assert!(message.starts_with("no room to record clicks, so they are dropped and redirects go on: "), "{message}");
    assert!(message.contains(&disk) && message.contains("CLICK_DISK_FLOOR reserves 1.0 PiB"), "{message}");
    assert_eq!(ready["status"], "degraded");
    assert_eq!(redirector.warning(), Some(message.clone()));
    assert_eq!(fixture.status(redirector.local_addr(), "/CODE12").await.0, 302);
    let dropped = fixture.json(redirector.ops_addr(), "/dropped").await;
    assert_eq!((&dropped["obstacle"], &dropped["urls"][0]["clicks"]), (&message.into(), &1.into()));
    assert_eq!(drain(redirector).await, 0);

    let redirector = fixture.start_with(&[("CLICK_DISK_FLOOR", "1PiB"), ("TRACKING", "off")]).await;
    redirector.loaded().await;
    assert_eq!(fixture.json(redirector.ops_addr(), "/ready").await, serde_json::json!({"status": "ready"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirector_with_unwritable_journals_is_degraded_until_repaired() {
    let fixture = Fixture::create().await;
    fixture.insert("CODE12").await;
    let in_the_way = fixture.directory.path().join("clicks");
    std::fs::write(&in_the_way, "no directory").unwrap();
    let redirector = fixture.start_with(&[("CLICK_DISK_FLOOR", "0")]).await;
    redirector.loaded().await;
    let ready = fixture.json(redirector.ops_addr(), "/ready").await;
    assert_eq!(ready["status"], "degraded");
    let refused = format!("{} cannot be written: ", in_the_way.display());
    assert!(ready["message"].as_str().unwrap().contains(&refused), "{ready}");

    std::fs::remove_file(&in_the_way).unwrap();
    let is_ready = async || fixture.json(redirector.ops_addr(), "/ready").await["status"] == "ready";
    eventually("the journals are there", is_ready).await;
    assert_eq!(fixture.json(redirector.ops_addr(), "/dropped").await["obstacle"], serde_json::Value::Null);
    assert_eq!(fixture.status(redirector.local_addr(), "/CODE12").await.0, 302);
    assert_eq!(fixture.metric(&redirector, "tern_clicks_dropped_total{reason=\"disk\"}").await, 0.0);
}
