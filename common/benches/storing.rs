//! Measures what it costs to store clicks: `cargo bench -p tern-common --bench storing -- 10000 30`.
//!
//! The arguments are the clicks of a batch and the number of batches. A last argument, `sqlite` or `postgres`, leaves out
//! the other store. Each line has the processor time of a batch in the database and in this process, without the first
//! batches. Two builds are compared by running them in turns.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, PostgresConfig, PostgresStore, SqliteStore};
use tern_common::url::{NewUrl, Url};
use tern_common::user::{Email, NewUser, Username};
use tern_common::visitor::{country_of, language_of};
use tern_common::{Click, ClickBatch, JournalId, JournalPosition, ShipOutcome, ShortCode, TargetUrl, Visitor};
use tern_testkit::postgres::{Options, Postgres};

const LINKS: u32 = 2_000;

/// Batches that fill caches and plans before the measurement.
const WARM_UP: u64 = 6;

/// Clients of clicks. Every tenth click is by a bot.
const AGENTS: [&str; 13] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0",
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 SamsungBrowser/25.0 Chrome/121.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 OPR/111.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
];

const PLACES: [(&str, &str); 7] =
    [("en", "US"), ("en", "GB"), ("de", "DE"), ("fr", "FR"), ("es", "ES"), ("pl", "PL"), ("nl", "NL")];

/// Numbers that look random, and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

async fn links(store: &dyn AdminStore) -> Vec<Url> {
    let email = Email::parse("ada@mail.example").unwrap();
    let owner = store.insert_user(NewUser { username: Username::parse("ada").unwrap(), email }).await.unwrap().id;
    let mut links = Vec::new();
    for n in 0..LINKS {
        let url = NewUrl {
            user_id: owner,
            short_code: ShortCode::parse(&format!("code{n}")).unwrap(),
            original_url: TargetUrl::parse(&format!("https://example.com/some/path/{n}?with=a&few=parameters"))
                .unwrap(),
            title: None,
            is_active: true,
            options: Default::default(),
            labels: Default::default(),
        };
        links.push(store.insert_url(url).await.unwrap().value);
    }
    links
}

/// Returns a batch of clicks of the present, most of them on few links.
fn batch(random: &mut Random, links: &[Url], clicks: u64) -> Vec<Click> {
    let begin = SystemTime::now();
    let click = |n: u64| {
        let drawn = random.below(1_000_000) as f64 / 1e6;
        let link = &links[(drawn * drawn * (links.len() - 1) as f64) as usize];
        let is_bot = random.below(10) == 0;
        let agent = if is_bot { AGENTS[12] } else { AGENTS[random.below(12) as usize] };
        let (language, country) = PLACES[(random.below(7) * random.below(7) / 7) as usize];
        Click {
            url_id: link.id,
            owner_id: link.user_id,
            short_code: link.short_code.clone(),
            original_url: link.original_url.clone(),
            at: begin + Duration::from_micros(n),
            client: None,
            referrer: n.is_multiple_of(2).then(|| format!("https://site{}.example/some/page", random.below(100))),
            visitor: Visitor {
                language: language_of(language.as_bytes()),
                country: country_of(country.as_bytes()),
                ..Visitor::of_user_agent(agent.as_bytes())
            },
            user_agent: Some(agent.to_owned()),
            source: None,
            choice: None,
            is_minimal: false,
            is_counted_only: false,
        }
    };
    (0..clicks).map(click).collect()
}

fn own_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time =
        |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec() as u32 * 1000);
    time(usage.user_time()) + time(usage.system_time())
}

/// Returns the processor time of a server and of its children that run.
fn server_time(server: &Postgres) -> Duration {
    let pids = server.psql(
        "postgres",
        "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1) UNION ALL SELECT pid::text FROM pg_stat_activity
         WHERE pid <> pg_backend_pid()",
    );
    let of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        ticks(11) + ticks(12)
    };
    Duration::from_millis(pids.lines().map(of).sum::<u64>() * 10)
}

async fn measure(name: &str, store: &dyn AdminStore, clicks: u64, batches: u64, database: impl Fn() -> Duration) {
    store.run_upkeep().await.unwrap();
    let links = links(store).await;
    let mut random = Random(20_261_129);
    let mut from = None;
    let (mut began, mut before) = (Instant::now(), (own_time(), database()));
    for turn in 0..WARM_UP + batches {
        // The batch is made outside of what is measured.
        let made_at = (Instant::now(), own_time());
        let batch = batch(&mut random, &links, clicks);
        if turn == WARM_UP {
            (began, before) = (Instant::now(), (own_time(), database()));
        } else {
            began += made_at.0.elapsed();
            before.0 += own_time() - made_at.1;
        }
        let to = JournalPosition { segment: 0, offset: turn + 1, sequence: turn + 1 };
        let shipped =
            store.ship_clicks(ClickBatch { journal: JournalId(1), from, to, clicks: &batch, parked: 0 }).await;
        assert!(matches!(shipped, Ok(ShipOutcome::Committed(_))), "{shipped:?}");
        from = Some(to);
    }
    let each = |time: Duration| time.as_secs_f64() * 1e3 / batches as f64;
    let (wall, own, server) = (began.elapsed(), own_time() - before.0, database() - before.1);
    println!("| {name} | {clicks} | {batches} | {:.1} | {:.1} | {:.1} |", each(server), each(own), each(wall));
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |at: usize, otherwise| arguments.get(at).map_or(otherwise, |number| number.parse().unwrap());
    let (clicks, batches) = (number(0, 10_000), number(1, 10));
    let wants = |store: &str| arguments.get(2).is_none_or(|only| only == store);
    println!("| store | clicks of a batch | batches | ms: database | this process | wall |\n|---|---|---|---|---|---|");
    if wants("sqlite") {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("tern.db")).await.unwrap();
        measure("SQLite", &store, clicks, batches, Duration::default).await;
    }
    if wants("postgres") {
        let options = Options { fsync: true, ..Options::default() };
        let server = Postgres::start_new(&options.set("shared_buffers", "256MB").set("max_wal_size", "4GB"));
        let config = PostgresConfig::new(server.create_database());
        migrate(&config).await.unwrap();
        let store = PostgresStore::open(&config).await.unwrap();
        measure("PostgreSQL", &store, clicks, batches, || server_time(&server)).await;
    }
}
