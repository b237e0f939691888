//! What happens to clicks when processes, databases and disks fail under load. Each drill holds the events to what the
//! clients were answered, and prints its figures; how long it goes on is the caller's choice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::follower::Follower;
pub use crate::followers::Verdict;
use crate::followers::{self, Followers, History};
use crate::{Fleet, PATIENCE, eventually, percentile};

/// Clients at a time: enough for batches, and few enough for a machine of two cores.
pub(crate) const CLIENTS: usize = 8;

/// Clicks a second that any PostgreSQL of a test can store, unoptimised code beside it.
const STORABLE: u32 = 3_000;

/// A little longer than a shipper waits before it asks the store again where its journals stand.
const LOOK_AROUND: Duration = Duration::from_secs(6);

/// How often each click is in the events, by the name that it carries.
///
/// Fails if an event stands with another link than the one that was followed.
pub(crate) fn events(fleet: &Fleet) -> HashMap<u64, usize> {
    let misplaced = "SELECT count(*) FROM events JOIN urls ON urls.id = events.url_id
                     WHERE event_type = 'clicked' AND details->>'short_code' <> short_code";
    assert_eq!(fleet.psql(misplaced).trim(), "0", "clicks of another link");
    let sql = "SELECT details->>'referrer', count(*) FROM events WHERE event_type = 'clicked' GROUP BY 1";
    let rows = fleet.psql(sql);
    let count = |row: &str| row.split_once('|').map(|(name, count)| (name.parse().unwrap(), count.parse().unwrap()));
    rows.lines().filter_map(count).collect()
}

/// Waits until no redirector has anything to ship, for as long as something moves.
async fn all_shipped(fleet: &Fleet) {
    let (mut committed, mut moved) = (0.0, Instant::now());
    loop {
        let (mut pending, mut now) = (0.0, 0.0);
        for redirector in 0..fleet.redirectors.len() {
            pending += fleet.metric(redirector, "tern_clicks_pending").await;
            now += fleet.metric(redirector, "tern_clicks_committed_total").await;
        }
        if pending == 0.0 {
            return;
        }
        if now > committed {
            (committed, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < PATIENCE, "{pending} clicks wait, and none is shipped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until no redirector has anything to ship, and judges.
pub(crate) async fn verdict(fleet: &Fleet, history: &History) -> Verdict {
    all_shipped(fleet).await;
    // Those of a process that has just been killed are pending once they are taken over, and there may be many of those.
    let (mut least, mut moved) = (usize::MAX, Instant::now());
    loop {
        let lost = history.judge(&events(fleet)).lost;
        if lost == 0 {
            break;
        }
        if lost < least {
            (least, moved) = (lost, Instant::now());
        }
        assert!(moved.elapsed() < PATIENCE, "{lost} clicks are no events");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Once more after the shippers have looked around: what is shipped twice by mistake would come then.
    tokio::time::sleep(LOOK_AROUND).await;
    history.judge(&events(fleet))
}

pub(crate) fn told(what: &str, history: &History, verdict: Verdict) {
    println!(
        "{what}: {} answered, {} broken off; {} lost, {} twice, {} unknown",
        history.answered.len(),
        history.unanswered.len(),
        verdict.lost,
        verdict.twice,
        verdict.unknown
    );
}

/// Kills a redirector again and again while clients follow a link on it.
pub async fn kill_redirector(times: usize) -> Verdict {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, None);
    for _ in 0..times {
        eventually("clicks are taken", async || fleet.metric(0, "tern_clicks_accepted_total").await > 100.0).await;
        fleet.redirectors[0].signal(Signal::SIGKILL);
        fleet.restart_redirector(0);
        followers.turn_to(&fleet.redirectors[0].addresses[0]);
    }
    let history = followers.finish().await;
    let verdict = verdict(&fleet, &history).await;
    told(&format!("redirector killed {times} times"), &history, verdict);
    verdict
}

/// Kills PostgreSQL again and again while batches are under way.
pub async fn kill_database(times: usize) -> Verdict {
    let fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, Some(STORABLE));
    for _ in 0..times {
        let committed = fleet.metric(0, "tern_clicks_committed_total").await;
        eventually("clicks are stored", async || {
            fleet.metric(0, "tern_clicks_committed_total").await > committed + 1_000.0
        })
        .await;
        fleet.postgres.kill9();
        fleet.postgres.start();
    }
    let history = followers.finish().await;
    let verdict = verdict(&fleet, &history).await;
    told(&format!("PostgreSQL killed {times} times"), &history, verdict);
    assert!(history.refused.is_empty(), "redirects went on: {:?}", history.refused.first());
    verdict
}

/// Stops PostgreSQL for `time` at `rate` clicks a second: what redirects take before and meanwhile, and memory.
pub async fn database_away(time: Duration, rate: u32) -> Verdict {
    let fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let redirector = &fleet.redirectors[0];
    let measure = async |time: Duration| {
        let followers = Followers::start(CLIENTS, &redirector.addresses[0], &code, Some(rate));
        tokio::time::sleep(time).await;
        followers.finish().await
    };
    let before = measure(time.min(Duration::from_secs(30))).await;
    let memory_before = redirector.memory();
    fleet.postgres.stop();
    let away = measure(time).await;
    let memory_away = redirector.memory();
    let pending = fleet.metric(0, "tern_clicks_pending").await;
    fleet.postgres.start();
    let back = Instant::now();
    all_shipped(&fleet).await;
    let drained = back.elapsed();
    let [p99_before, p99_away] = [&before, &away].map(|part| percentile(&part.times, 0.99));
    println!(
        "PostgreSQL away for {time:?} at {rate} clicks a second: {pending} clicks waited, all shipped {drained:?} after \
         its return; redirects took p99 {p99_before:?} before, {p99_away:?} meanwhile; memory {memory_before} KiB \
         before, {memory_away} KiB at its end"
    );
    assert!(away.refused.is_empty() && away.unanswered.is_empty(), "redirects went on");
    assert!(memory_away < memory_before + 64 * 1024, "{memory_before} KiB, then {memory_away} KiB");
    let mut history = before;
    history.add(away);
    let verdict = verdict(&fleet, &history).await;
    told("with PostgreSQL away", &history, verdict);
    verdict
}

/// Fills the disk of the journals under load, and makes room again. With this limit a tail and a segment take 1 MiB each:
/// the tail and two segments fit beside the ballast, and three segments without.
pub async fn disk_full() {
    let mut fleet = Fleet::start(1, &[("CLICK_JOURNAL_LIMIT", "5MiB"), ("CLICK_DISK_FLOOR", "0")]).await;
    let code = fleet.code(1).await;
    fleet.redirectors[0] = fleet.start_redirector_on_small_disk(0, "4300k");
    fleet.all_loaded().await;
    let ballast = fleet.redirectors[0].own_file(&fleet.redirector_directory(0).join("data/ballast"));
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    fleet.postgres.stop();
    let dropped = "tern_clicks_dropped_total{reason=\"disk\"}";
    let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, None);
    eventually("the disk is full", async || fleet.metric(0, dropped).await > 1_000.0).await;
    let full = fleet.metric(0, "tern_clicks_pending").await;
    std::fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    eventually("clicks are recorded again", async || fleet.metric(0, "tern_clicks_pending").await > full + 300.0).await;
    let recovered = freed.elapsed();
    let history = followers.finish().await;
    let lost = fleet.metric(0, dropped).await;
    let pending = fleet.metric(0, "tern_clicks_pending").await;
    fleet.postgres.start();
    all_shipped(&fleet).await;
    let verdict = history.judge(&events(&fleet));
    told("disk full", &history, verdict);
    println!("{lost} counted as dropped, {pending} waited; recorded again {recovered:?} after there was room");
    assert!(history.refused.is_empty() && history.unanswered.is_empty(), "redirects went on");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let counted = lost as usize;
    assert_eq!(verdict, Verdict { lost: counted, ..Verdict::default() });
    assert!(recovered < Duration::from_secs(5), "{recovered:?}");
}

/// Fails over to a standby that lacks the last commits, while clients follow a link.
pub async fn fail_over() -> Verdict {
    let mut fleet = Fleet::start_behind_relays(1, &[]).await;
    let code = fleet.code(1).await;
    let committed = async |fleet: &Fleet| fleet.metric(0, "tern_clicks_committed_total").await;
    let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, Some(STORABLE));
    let standby = fleet.postgres.standby();
    standby.stop();
    let before = committed(&fleet).await;
    eventually("more is committed", async || committed(&fleet).await > before + 2_000.0).await;
    fleet.postgres.kill9();
    standby.start();
    standby.promote();
    fleet.fail_over_to(standby);
    let again = "tern_clicks_shipped_again_total";
    eventually("the loss is seen", async || fleet.metric(0, again).await > 0.0).await;
    let history = followers.finish().await;
    let verdict = verdict(&fleet, &history).await;
    told("failed over", &history, verdict);
    println!("{} clicks were lost with the primary's last commits, and shipped again", fleet.metric(0, again).await);
    assert!(history.refused.is_empty() && history.unanswered.is_empty(), "redirects went on");
    verdict
}

/// Fails over to a standby that lacks some links, and gives their ids to others. No click of the former may be counted
/// on the latter.
pub async fn fail_over_without_links() {
    const LINKS: usize = 100;
    let mut fleet = Fleet::start_behind_relays(1, &[]).await;
    fleet.code(1).await;
    let insert = |prefix: &str| {
        format!(
            "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
             SELECT min(id), '{prefix}' || n, 'https://example.com/' || n, true, now(), now()
             FROM users, generate_series(1, {LINKS}) AS n GROUP BY n ORDER BY n"
        )
    };
    let standby = fleet.postgres.standby();
    standby.stop();
    fleet.psql(&insert("lost"));
    let mut follower = Follower::connect(&fleet.redirectors[0].addresses[0]).await.unwrap();
    for n in 1..=LINKS {
        let code = format!("lost{n}");
        eventually("the link is served", async || follower.follow(&code, followers::name()).await.unwrap() == 302)
            .await;
    }
    let committed = "tern_clicks_committed_total";
    eventually("the clicks are stored", async || fleet.metric(0, committed).await >= LINKS as f64).await;
    let before = fleet.psql("SELECT max(id) FROM urls");
    fleet.postgres.kill9();
    standby.start();
    standby.promote();
    fleet.fail_over_to(standby);
    fleet.psql(&insert("new"));
    let again = fleet.psql("SELECT max(id) FROM urls");
    let ids = [&before, &again].map(|id| id.trim().parse::<i64>().unwrap());
    assert!(ids[1] - ids[0] < 32, "ids are given again: {ids:?}");
    let gone = "tern_clicks_dropped_total{reason=\"link_gone\"}";
    eventually("the clicks are counted as dropped", async || fleet.metric(0, gone).await >= LINKS as f64).await;
    all_shipped(&fleet).await;
    assert!(events(&fleet).is_empty());
}

/// How long single clicks take to be events, beside `rate` others a second or none: p50 and p99.
pub async fn lag(probes: usize, rate: Option<u32>) -> [Duration; 2] {
    let fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let address = &fleet.redirectors[0].addresses[0];
    let others = rate.map(|rate| Followers::start(CLIENTS, address, &code, Some(rate)));
    if others.is_some() {
        let committed = async || fleet.metric(0, "tern_clicks_committed_total").await;
        eventually("others are stored", async || committed().await > 2_000.0).await;
    }
    let mut session = fleet.session();
    let mut probe = Follower::connect(address).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..probes {
        let seen = session.ask("SELECT coalesce(max(id), 0) FROM events");
        let name = followers::name();
        assert_eq!(probe.follow(&code, name).await.unwrap(), 302);
        let clicked = Instant::now();
        let sql = format!("SELECT count(*) FROM events WHERE id > {seen} AND details->>'referrer' = '{name}'");
        eventually("the click is an event", async || session.ask(&sql) == "1").await;
        times.push(clicked.elapsed());
    }
    let answered = match others {
        Some(others) => others.finish().await.answered.len(),
        None => 0,
    };
    let [p50, p99] = [0.5, 0.99].map(|share| percentile(&times, share));
    println!("{probes} clicks beside {answered} others, {rate:?} a second: events after p50 {p50:?}, p99 {p99:?}");
    [p50, p99]
}
