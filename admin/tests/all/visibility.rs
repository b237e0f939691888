//! Changes are answered once the redirectors serve them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tern_admin::{AdminConfig, Visibility, Visible, VisibleWait};
use tern_common::bus::{Bus, Delivery, LocalBus, Message, ReplicaId, Topic};
use tern_common::store::{AdminStore, Cursor, Mark};
use tern_common::url::NewUrl;
use tern_common::user::{Email, NewUser, Username};
use tern_common::{ShortCode, TargetUrl};

use crate::database::Database;
use crate::support::{App, BreakingBus, HangingBus, Setup, UnavailableBus, eventually, spawn_app_with};

/// Announces each change at once, as a redirector would.
async fn run_fake_replica(bus: Arc<LocalBus>, store: Arc<dyn AdminStore>) {
    let replica = ReplicaId::random();
    let mut hints = bus.subscribe(Topic::Invalidations).await.unwrap();
    loop {
        let cursor = store.snapshot().await.unwrap().cursor;
        bus.publish(Message::Progress { replica, cursor }).await.unwrap();
        assert_eq!(hints.next().await.unwrap(), Delivery::Message(Message::Invalidation));
    }
}

async fn app_on(bus: &Arc<LocalBus>, visible_wait: Duration) -> App {
    let config = AdminConfig { visible_wait: VisibleWait::exactly(visible_wait), ..AdminConfig::default() };
    spawn_app_with(Setup { bus: Arc::clone(bus) as Arc<dyn Bus>, config, ..Setup::default() }).await
}

/// Waits until the app knows of `live` replicas.
async fn wait_for_live_replicas(app: &App, live: usize) {
    let user = app.create_user("settler").await;
    app.shorten(&user, "https://settle.example/").await;
    eventually(async || {
        let visible = app.put("/urls/1", json!({ "title": "settled" })).await;
        visible.header("tern-visible").unwrap().ends_with(&format!("/{live}")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn change_to_a_link_waits_for_all_live_replicas() {
    let bus = Arc::new(LocalBus::new());
    let app = app_on(&bus, Duration::from_secs(5)).await;
    for _ in 0..2 {
        tokio::spawn(run_fake_replica(Arc::clone(&bus), Arc::clone(&app.store)));
    }
    wait_for_live_replicas(&app, 2).await;
    let began = Instant::now();
    let url = json!({ "user_id": 1, "original_url": "https://example.com/" });
    let changes = [
        app.post("/urls", url.clone()).await,
        app.put("/urls/2", json!({ "is_active": false })).await,
        app.put("/urls/2", json!({})).await,
        app.delete("/urls/2").await,
        app.delete("/users/1?cascade=true").await,
    ];
    for answer in changes {
        assert!((200..300).contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("tern-visible"), Some("2/2"), "{answer:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "the answer waits for the time limit");
    assert_eq!(app.get("/urls").await.header("tern-visible"), None);
    let ann = app.create_user("ann").await;
    assert_eq!(app.delete(&format!("/users/{}", ann["id"])).await.header("tern-visible"), None);
}

#[tokio::test]
async fn lagging_replica_is_awaited_until_the_timeout() {
    let bus = Arc::new(LocalBus::new());
    let app = app_on(&bus, Duration::from_millis(100)).await;
    tokio::spawn(run_fake_replica(Arc::clone(&bus), Arc::clone(&app.store)));
    wait_for_live_replicas(&app, 1).await;
    let replica = ReplicaId::random();
    let cursor = app.store.snapshot().await.unwrap().cursor;
    bus.publish(Message::Progress { replica, cursor }).await.unwrap();
    let began = Instant::now();
    let answer = app.put("/urls/1", json!({ "title": "x" })).await;
    assert_eq!((answer.status, answer.header("tern-visible")), (200, Some("1/2")));
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());

    bus.publish(Message::Departure { replica }).await.unwrap();
    let answer = app.put("/urls/1", json!({ "title": "y" })).await;
    assert_eq!(answer.header("tern-visible"), Some("1/1"));
}

#[tokio::test]
async fn visible_wait_of_zero_does_not_wait() {
    let bus = Arc::new(LocalBus::new());
    let app = app_on(&bus, Duration::ZERO).await;
    let replica = ReplicaId::random();
    let cursor = app.store.snapshot().await.unwrap().cursor;
    bus.publish(Message::Progress { replica, cursor }).await.unwrap();
    wait_for_live_replicas(&app, 1).await;
    let answer = app.put("/urls/1", json!({ "title": "x" })).await;
    assert_eq!(answer.header("tern-visible"), Some("0/1"));
}

#[tokio::test]
async fn changes_without_bus_succeed_with_unknown_visibility() {
    let app = spawn_app_with(Setup { bus: Arc::new(UnavailableBus), ..Setup::default() }).await;
    app.create_user("ann").await;
    let url = json!({ "user_id": 1, "original_url": "https://example.com/" });
    for answer in [
        app.post("/urls", url.clone()).await,
        app.put("/urls/1", json!({ "title": "x" })).await,
        app.post("/urls", url).await,
    ] {
        assert!((200..300).contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("tern-visible"), Some("?"), "{answer:?}");
    }
    let answer = app.delete("/urls/1").await;
    assert_eq!((answer.status, answer.header("tern-visible")), (204, Some("?")));
}

/// Returns a change, and the cursors just before and after it.
async fn insert_one_change() -> (Cursor, Mark, Cursor) {
    let directory = tempfile::tempdir().unwrap();
    let store = Database::create(directory.path()).await.store;
    let user = NewUser { username: Username::parse("ann").unwrap(), email: Email::parse("a@b.c").unwrap() };
    let before = store.snapshot().await.unwrap().cursor;
    let url = NewUrl {
        user_id: store.insert_user(user).await.unwrap().id,
        short_code: ShortCode::generate(6),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
    };
    let mark = store.insert_url(url).await.unwrap().mark;
    let after = store.snapshot().await.unwrap().cursor;
    (before, mark, after)
}

/// Announces a replica until `visibility` knows of it.
async fn announce(bus: &dyn Bus, visibility: &Visibility, mark: &Mark, replica: ReplicaId, cursor: &Cursor) {
    let live = async || match visibility.confirm(mark, Duration::ZERO).await {
        Visible::Counted { live, .. } => live,
        Visible::Unknown => 0,
    };
    let known = live().await;
    eventually(async || {
        bus.publish(Message::Progress { replica, cursor: cursor.clone() }).await.unwrap();
        tokio::task::yield_now().await;
        (live().await > known).then_some(())
    })
    .await;
}

#[tokio::test]
async fn silent_replica_is_no_longer_awaited() {
    let (before, mark, after) = insert_one_change().await;
    tokio::time::pause();
    let bus = Arc::new(LocalBus::new());
    let visibility = Visibility::start(Arc::clone(&bus) as Arc<dyn Bus>);
    let (swift, slow) = (ReplicaId::random(), ReplicaId::random());
    announce(&*bus, &visibility, &mark, slow, &before).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    announce(&*bus, &visibility, &mark, swift, &after).await;
    assert_eq!(visibility.confirm(&mark, Duration::ZERO).await, Visible::Counted { confirmed: 1, live: 2 });
    // The slow replica sends nothing more, and a second later it counts as gone.
    let began = tokio::time::Instant::now();
    let visible = visibility.confirm(&mark, Duration::from_secs(60)).await;
    assert_eq!(visible, Visible::Counted { confirmed: 1, live: 1 });
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn wait_ends_with_the_missing_announcement() {
    let (before, mark, after) = insert_one_change().await;
    tokio::time::pause();
    let bus = Arc::new(LocalBus::new());
    let visibility = Visibility::start(Arc::clone(&bus) as Arc<dyn Bus>);
    let replica = ReplicaId::random();
    announce(&*bus, &visibility, &mark, replica, &before).await;
    let waiting = tokio::spawn({
        let visibility = visibility.clone();
        async move { visibility.confirm(&mark, Duration::from_secs(2)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!waiting.is_finished());
    let sent = tokio::time::Instant::now();
    bus.publish(Message::Progress { replica, cursor: after }).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Visible::Counted { confirmed: 1, live: 1 });
    assert_eq!(sent.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn replicas_announced_before_subscription_are_awaited() {
    let (before, mark, after) = insert_one_change().await;
    tokio::time::pause();
    let bus = Arc::new(LocalBus::new());
    let (swift, slow, gone) = (ReplicaId::random(), ReplicaId::random(), ReplicaId::random());
    bus.publish(Message::Progress { replica: swift, cursor: after }).await.unwrap();
    bus.publish(Message::Progress { replica: slow, cursor: before.clone() }).await.unwrap();
    bus.publish(Message::Progress { replica: gone, cursor: before }).await.unwrap();
    bus.publish(Message::Departure { replica: gone }).await.unwrap();
    let visibility = Visibility::start(Arc::clone(&bus) as Arc<dyn Bus>);
    visibility.first_replica().await;
    let visible = visibility.confirm(&mark, Duration::from_millis(100)).await;
    assert_eq!(visible, Visible::Counted { confirmed: 1, live: 2 });
}

#[tokio::test]
async fn broken_subscription_is_renewed() {
    let (_, mark, after) = insert_one_change().await;
    tokio::time::pause();
    let bus = Arc::new(BreakingBus::default());
    let visibility = Visibility::start(Arc::clone(&bus) as Arc<dyn Bus>);
    for live in 1..=2 {
        bus.publish(Message::Progress { replica: ReplicaId::random(), cursor: after.clone() }).await.unwrap();
        let expected = Visible::Counted { confirmed: live, live };
        eventually(async || (visibility.confirm(&mark, Duration::ZERO).await == expected).then_some(())).await;
    }
}

/// Replicas may be far away, or on a busy machine.
#[tokio::test]
async fn wait_adapts_to_slow_replicas_up_to_its_bound() {
    const BOUNDS: VisibleWait = VisibleWait { least: Duration::from_millis(100), most: Duration::from_secs(1) };
    let (before, mark, after) = insert_one_change().await;
    tokio::time::pause();
    let bus = Arc::new(LocalBus::new());
    let visibility = Visibility::start(Arc::clone(&bus) as Arc<dyn Bus>);
    let replica = ReplicaId::random();
    // Returns the visibility and the wait of a change that the replica applies after `needed`.
    let change = async |needed: Duration| {
        bus.publish(Message::Progress { replica, cursor: before.clone() }).await.unwrap();
        eventually(async || match visibility.confirm(&mark, Duration::ZERO).await {
            Visible::Counted { confirmed: 0, live: 1 } => Some(()),
            _ => None,
        })
        .await;
        let began = tokio::time::Instant::now();
        let applied = tokio::spawn({
            let (bus, cursor) = (Arc::clone(&bus), after.clone());
            async move {
                tokio::time::sleep(needed).await;
                bus.publish(Message::Progress { replica, cursor }).await.unwrap();
            }
        });
        let visible = visibility.confirm_since(began, &mark, BOUNDS).await;
        let waited = began.elapsed();
        applied.await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        (visible.to_string(), waited)
    };
    let ms = Duration::from_millis;
    let check = |answer: (String, Duration), visible: &str, at_least: Duration, below: Duration| {
        assert_eq!(answer.0, visible);
        assert!((at_least..below).contains(&answer.1), "{answer:?}");
    };
    check(change(ms(20)).await, "1/1", ms(20), ms(40));
    check(change(ms(240)).await, "0/1", ms(100), ms(120));
    // From then on the wait is adapted to the replica.
    check(change(ms(240)).await, "1/1", ms(240), ms(260));
    check(change(ms(800)).await, "1/1", ms(800), ms(820));
    // A replica that hangs delays an answer by the upper bound at most.
    check(change(ms(2500)).await, "0/1", ms(1000), ms(1020));
}

/// Messages stop arriving, and the subscriptions do not notice for a while.
#[tokio::test]
async fn replicas_behind_a_hanging_bus_are_unknown() {
    let (before, mark, _) = insert_one_change().await;
    tokio::time::pause();
    let bus = Arc::new(HangingBus::default());
    let visibility = Visibility::start(Arc::clone(&bus) as Arc<dyn Bus>);
    announce(&*bus, &visibility, &mark, ReplicaId::random(), &before).await;
    bus.hang();
    let mut seen = Vec::new();
    for _ in 0..50 {
        let visible = visibility.confirm(&mark, Duration::ZERO).await;
        if seen.last() != Some(&visible) {
            seen.push(visible);
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(seen, [Visible::Counted { confirmed: 0, live: 1 }, Visible::Unknown]);
}

#[tokio::test]
async fn visibility_after_last_replica_left_is_none_of_none() {
    let (before, mark, _) = insert_one_change().await;
    let bus = Arc::new(LocalBus::new());
    let visibility = Visibility::start(Arc::clone(&bus) as Arc<dyn Bus>);
    let replica = ReplicaId::random();
    announce(&*bus, &visibility, &mark, replica, &before).await;
    bus.publish(Message::Departure { replica }).await.unwrap();
    let none = Visible::Counted { confirmed: 0, live: 0 };
    eventually(async || (visibility.confirm(&mark, Duration::ZERO).await == none).then_some(())).await;
}
