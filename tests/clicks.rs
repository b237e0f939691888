//! Drills for clicks while processes, databases and disks fail under load. Each compares the events with the clients'
//! answers and prints its figures; the caller chooses its length.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::follower::Follower;
pub use crate::followers::Verdict;
use crate::followers::{self, FollowedLink, Followers, History};
use crate::{Fleet, WAIT_LIMIT, eventually, percentile};

/// Number of concurrent clients: enough for batches, and few enough for two cores.
pub(crate) const CLIENTS: usize = 8;

/// Clicks a second that any test's PostgreSQL can store beside debug builds.
const STORABLE: u32 = 3_000;

/// Slightly longer than the interval at which a shipper checks its journals' positions in the store.
const LOOK_AROUND: Duration = Duration::from_secs(6);

/// Links with each option: the code, a query, the columns that differ from a plain link, the status, and whether each
/// answer is a click.
const KINDS: [(&str, &str, &str, u16, bool); 13] = [
    ("plain", "", "title = NULL", 302, true),
    ("opened", "", "starts_at = now() - interval '1 day', expires_at = now() + interval '1 day'", 302, true),
    ("later", "", "starts_at = now() + interval '1 day'", 404, false),
    ("ended", "", "expires_at = now() - interval '1 day'", 410, false),
    ("moved", "", "expires_at = now() - interval '1 day', expired_url = 'https://over.example/'", 302, false),
    ("off", "", "is_active = false", 410, false),
    ("stored", "", "redirect_status = 301", 301, true),
    ("repeats", "", "redirect_status = 307", 307, true),
    ("kept", "", "redirect_status = 308", 308, true),
    ("forwards", "?from=poster", "forward_query = true", 302, true),
    (
        "ruled",
        "?from=poster",
        r#"rules = '[{"target": "https://rule.example/", "if": [{"type": "query_any", "key": "from"}]}]'"#,
        302,
        true,
    ),
    (
        "divided",
        "",
        r#"split = '[{"target": "https://a.example/", "weight": 50}, {"target": "https://b.example/", "weight": 50}]'"#,
        302,
        true,
    ),
    ("labelled", "", "tags = '{summer}', notes = 'printed', external_id = 'x1'", 302, true),
];

/// Starts a fleet with a link of each kind, and waits until each redirector serves them.
async fn fleet_with_all_kinds(is_relayed: bool) -> (Fleet, Vec<FollowedLink>) {
    let fleet = if is_relayed { Fleet::start_behind_relays(1, &[]).await } else { Fleet::start(1, &[]).await };
    let mut links = Vec::new();
    for (code, query, columns, status, is_click) in KINDS {
        fleet.psql(&format!(
            "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
             SELECT min(id), '{code}', 'https://{code}.example/', true, now(), now() FROM users;
             UPDATE urls SET {columns} WHERE short_code = '{code}'"
        ));
        for redirector in 0..fleet.redirectors.len() {
            eventually("the link is served", async || fleet.look_up(redirector, code).await.0 == status).await;
        }
        links.push(FollowedLink { code: format!("{code}{query}"), status, is_click });
    }
    (fleet, links)
}

/// Checks that each kind whose answers are clicks has events, and no other kind.
fn check_kinds(fleet: &Fleet) {
    let followed = fleet.psql("SELECT DISTINCT details->>'short_code' FROM events WHERE event_type = 'clicked'");
    let mut followed: Vec<&str> = followed.lines().collect();
    let mut expected: Vec<&str> = KINDS.iter().filter(|kind| kind.4).map(|kind| kind.0).collect();
    followed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(followed, expected);
}

/// Returns the number of events for each click, by the click's name.
///
/// Panics if an event belongs to another link than the one that was followed.
pub(crate) fn events(fleet: &Fleet) -> HashMap<u64, usize> {
    let misplaced = "SELECT count(*) FROM events JOIN urls ON urls.id = events.url_id
                     WHERE event_type = 'clicked' AND details->>'short_code' <> short_code";
    assert_eq!(fleet.psql(misplaced).trim(), "0", "the clicks belong to another link");
    let sql = "SELECT details->>'referrer', count(*) FROM events WHERE event_type = 'clicked' GROUP BY 1";
    let rows = fleet.psql(sql);
    let count = |row: &str| row.split_once('|').map(|(name, count)| (name.parse().unwrap(), count.parse().unwrap()));
    rows.lines().filter_map(count).collect()
}

/// Waits until no redirector has clicks to ship, as long as there is progress.
pub(crate) async fn wait_until_shipped(fleet: &Fleet) {
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
        assert!(moved.elapsed() < WAIT_LIMIT, "{pending} clicks are pending, and none is shipped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until no redirector has clicks to ship, and returns the verdict.
pub(crate) async fn verdict(fleet: &Fleet, history: &History) -> Verdict {
    wait_until_shipped(fleet).await;
    // Clicks of a process that was just killed are pending only after their adoption, which may take a while.
    let (mut least, mut moved) = (usize::MAX, Instant::now());
    loop {
        let lost = history.judge(&events(fleet)).lost;
        if lost == 0 {
            break;
        }
        if lost < least {
            (least, moved) = (lost, Instant::now());
        }
        assert!(moved.elapsed() < WAIT_LIMIT, "{lost} clicks have no event");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Waits once more for the shippers' check of their positions, since clicks shipped twice would appear then.
    tokio::time::sleep(LOOK_AROUND).await;
    history.judge(&events(fleet))
}

pub(crate) fn print_verdict(what: &str, history: &History, verdict: Verdict) {
    println!(
        "{what}: {} clicks, {} other answers, {} broken off; {} lost, {} twice, {} unknown",
        history.answered.len(),
        history.uncounted.len(),
        history.unanswered.len(),
        verdict.lost,
        verdict.twice,
        verdict.unknown
    );
}

/// Kills a redirector repeatedly while clients follow a link on it.
pub async fn kill_redirector(times: usize) -> Verdict {
    let (mut fleet, links) = fleet_with_all_kinds(false).await;
    let followers = Followers::start_in_turns(CLIENTS, &fleet.redirectors[0].addresses[0], &links, None);
    for _ in 0..times {
        eventually("clicks are taken", async || fleet.metric(0, "tern_clicks_accepted_total").await > 100.0).await;
        fleet.redirectors[0].signal(Signal::SIGKILL);
        fleet.restart_redirector(0);
        followers.switch_to(&fleet.redirectors[0].addresses[0]);
    }
    let history = followers.finish().await;
    let verdict = verdict(&fleet, &history).await;
    print_verdict(&format!("redirector killed {times} times"), &history, verdict);
    check_kinds(&fleet);
    // A restarted process answers 503 before it has loaded its links.
    assert!(history.refused.iter().all(|status| *status == 503), "another answer: {:?}", history.refused);
    verdict
}

/// Kills PostgreSQL repeatedly while batches are in progress.
pub async fn kill_database(times: usize) -> Verdict {
    let (fleet, links) = fleet_with_all_kinds(false).await;
    let followers = Followers::start_in_turns(CLIENTS, &fleet.redirectors[0].addresses[0], &links, Some(STORABLE));
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
    print_verdict(&format!("PostgreSQL killed {times} times"), &history, verdict);
    check_kinds(&fleet);
    assert!(history.refused.is_empty(), "a redirect failed: {:?}", history.refused.first());
    verdict
}

/// Stops PostgreSQL for `time` at `rate` clicks a second; prints redirect times and memory, before and meanwhile.
pub async fn database_unavailable(time: Duration, rate: u32) -> Verdict {
    let (fleet, links) = fleet_with_all_kinds(false).await;
    let redirector = &fleet.redirectors[0];
    let measure = async |time: Duration| {
        let followers = Followers::start_in_turns(CLIENTS, &redirector.addresses[0], &links, Some(rate));
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
    wait_until_shipped(&fleet).await;
    let drained = back.elapsed();
    let [p99_before, p99_away] = [&before, &away].map(|part| percentile(&part.times, 0.99));
    println!(
        "PostgreSQL away for {time:?} at {rate} clicks a second: {pending} clicks waited, all shipped {drained:?} after \
         its return; redirects took p99 {p99_before:?} before, {p99_away:?} meanwhile; memory {memory_before} KiB \
         before, {memory_away} KiB at its end"
    );
    assert!(away.refused.is_empty() && away.unanswered.is_empty(), "a redirect failed");
    assert!(memory_away < memory_before + 64 * 1024, "{memory_before} KiB, then {memory_away} KiB");
    let mut history = before;
    history.add(away);
    let verdict = verdict(&fleet, &history).await;
    print_verdict("with PostgreSQL away", &history, verdict);
    check_kinds(&fleet);
    verdict
}

/// Fills the disk of the journals under load, and makes room again. With this limit a tail and a segment take 1 MiB
/// each: a tail and two segments fit beside the ballast, and three segments without it.
pub async fn disk_full() {
    let mut fleet = Fleet::start(1, &[("CLICK_JOURNAL_LIMIT", "5MiB"), ("CLICK_DISK_FLOOR", "0")]).await;
    let code = fleet.code(1).await;
    fleet.redirectors[0] = fleet.start_redirector_on_small_disk(0, "4300k");
    fleet.wait_until_ready().await;
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
    wait_until_shipped(&fleet).await;
    let verdict = history.judge(&events(&fleet));
    print_verdict("disk full", &history, verdict);
    println!("{lost} counted as dropped, {pending} waited; recorded again {recovered:?} after there was room");
    assert!(history.refused.is_empty() && history.unanswered.is_empty(), "a redirect failed");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let counted = lost as usize;
    assert_eq!(verdict, Verdict { lost: counted, ..Verdict::default() });
    assert!(recovered < Duration::from_secs(5), "{recovered:?}");
}

/// Fails over to a standby that lacks the last commits, while clients follow a link.
pub async fn fail_over() -> Verdict {
    let (mut fleet, links) = fleet_with_all_kinds(true).await;
    let committed = async |fleet: &Fleet| fleet.metric(0, "tern_clicks_committed_total").await;
    let followers = Followers::start_in_turns(CLIENTS, &fleet.redirectors[0].addresses[0], &links, Some(STORABLE));
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
    print_verdict("failed over", &history, verdict);
    check_kinds(&fleet);
    println!("{} clicks were lost with the primary's last commits, and shipped again", fleet.metric(0, again).await);
    assert!(history.refused.is_empty() && history.unanswered.is_empty(), "a redirect failed");
    verdict
}

/// Fails over to a standby that lacks some links and reuses their ids. Checks that no click on a lost link is counted
/// on a new one.
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
    assert!(ids[1] - ids[0] < 32, "ids were given twice: {ids:?}");
    let gone = "tern_clicks_dropped_total{reason=\"link_gone\"}";
    eventually("the clicks are counted as dropped", async || fleet.metric(0, gone).await >= LINKS as f64).await;
    wait_until_shipped(&fleet).await;
    assert!(events(&fleet).is_empty());
}

/// Returns p50 and p99 of the time until a click is an event, beside `rate` other clicks a second.
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
