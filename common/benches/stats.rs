//! Measures statistics of a popular link and of all links: `cargo bench -p tern-common --bench stats -- 2000000`.
//!
//! The argument is the number of clicks, on 30 days. A last argument, `sqlite` or `postgres`, leaves out the other store.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::time::Instant;

use rusqlite::Connection;
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, PostgresConfig, PostgresStore, SqliteStore, StoreError};
use tern_common::{ClickFilter, Id, StatsQuery, StatsScope, Timestamp};
use tern_testkit::postgres::{Options, Postgres};

/// The number of requests of each kind with summaries.
const REQUESTS: usize = 200;

/// The number of requests of each kind without summaries, which are slow.
const SLOW_REQUESTS: usize = 20;

const LINKS: u64 = 20_000;

const DAYS: u64 = 30;

const HOUR: i64 = 3600;

/// Returns statements that count the clicks of one day: a fifth of them on link 1, a tenth of them by bots.
///
/// A visitor is drawn from 13 clients and 60 places, of which the first are the most frequent. Half of the clicks have one
/// of a hundred referrers. `hour` is the expression of an hour from the number `h` of hours since the first.
fn sql(numbers: &str, hour: &str, modulo: impl Fn(&str, u64) -> String) -> String {
    let (link, client, place) = (modulo("n * 7919", LINKS), modulo("n * 104729", 997), modulo("n * 1299709", 9_973));
    let clients = "CASE WHEN c < 250 THEN 'Chrome|Windows|desktop' WHEN c < 500 THEN 'Chrome|Android|mobile'
        WHEN c < 700 THEN 'Safari|iOS|mobile' WHEN c < 760 THEN 'Edge|Windows|desktop'
        WHEN c < 820 THEN 'Safari|macOS|desktop' WHEN c < 870 THEN 'Chrome|macOS|desktop'
        WHEN c < 897 THEN 'Firefox|Linux|desktop' ELSE 'Bot|Bot|Bot' END";
    let is_bot = "c >= 897";
    format!(
        "CREATE TEMPORARY TABLE drawn AS WITH {numbers}, clicks AS (
             SELECT n, CASE WHEN {fifth} = 0 THEN 1 ELSE 1 + {link} END AS url_id, {h} AS h, {client} AS c, {place} AS p
             FROM numbers
         )
         SELECT url_id, {hour} AS hour, {is_bot} AS is_bot, {clients} || '|en|P' || (p * p / 1700000)
             || CASE WHEN {is_bot} THEN '|Googlebot' ELSE '|' END AS visitor,
             CASE WHEN {half} = 0 THEN 'site' || {site} || '.example' END AS referrer
         FROM clicks;
         INSERT INTO click_counts (url_id, hour, kind, value, clicks)
         SELECT url_id, hour, 'v', visitor, count(*) FROM drawn GROUP BY url_id, hour, visitor
         UNION ALL
         SELECT url_id, hour, CASE WHEN is_bot THEN 'q' ELSE 'r' END, referrer, count(*) FROM drawn
         WHERE referrer IS NOT NULL GROUP BY url_id, hour, is_bot, referrer;
         DROP TABLE drawn;",
        fifth = modulo("n", 5),
        h = modulo("n * 31", 24),
        half = modulo("n / 7", 2),
        site = modulo("n / 14", 100),
    )
}

/// Returns the statements before the clicks: a user and the links.
fn links(numbers: &str, now: &str, yes: &str) -> String {
    format!(
        "INSERT INTO users (id, username, email, created_at) VALUES (1, 'ada', 'ada@mail.example', {now});
         INSERT INTO urls (id, user_id, short_code, original_url, is_active, created_at, updated_at)
         WITH {numbers} SELECT n, 1, 'c' || n, 'https://example.com/' || n, {yes}, {now}, {now} FROM numbers;"
    )
}

fn first_hour() -> i64 {
    let now = Timestamp::now().unix_seconds();
    now - now.rem_euclid(HOUR) - (DAYS * 24 - 1).cast_signed() * HOUR
}

async fn postgres(server: &Postgres, clicks: u64) -> PostgresStore {
    let config = PostgresConfig::new(server.create_database());
    migrate(&config).await.unwrap();
    let database = config.url.rsplit('/').next().unwrap().to_owned();
    let numbers = |first: u64, last: u64| format!("numbers AS (SELECT generate_series({first}, {last}) AS n)");
    server.psql(&database, &links(&numbers(1, LINKS), "now()", "true"));
    for day in 0..DAYS {
        let from = day * clicks / DAYS;
        let numbers = numbers(from, (day + 1) * clicks / DAYS - 1);
        let start = first_hour() + day.cast_signed() * 24 * HOUR;
        let hour = format!("to_timestamp({start} + h * 3600)");
        server.psql(&database, &sql(&numbers, &hour, |value, by| format!("({value}::bigint % {by})")));
    }
    server.psql(&database, "VACUUM ANALYZE");
    PostgresStore::open(&config).await.unwrap()
}

async fn sqlite(path: &std::path::Path, clicks: u64) -> SqliteStore {
    let store = SqliteStore::open(path).await.unwrap();
    let db = Connection::open(path).unwrap();
    let numbers = |first: u64, last: u64| {
        format!("RECURSIVE numbers (n) AS (VALUES ({first}) UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})")
    };
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -100000; PRAGMA temp_store = MEMORY;").unwrap();
    db.execute_batch(&format!("BEGIN; {} COMMIT", links(&numbers(1, LINKS), "unixepoch()", "1"))).unwrap();
    for day in 0..DAYS {
        let numbers = numbers(day * clicks / DAYS, (day + 1) * clicks / DAYS - 1);
        let start = first_hour() + day.cast_signed() * 24 * HOUR;
        let fill = sql(&numbers, &format!("({start} + h * 3600)"), |value, by| format!("({value} % {by})"));
        db.execute_batch(&format!("BEGIN; {fill} COMMIT")).unwrap();
    }
    store
}

/// Prints the times of statistics of 30 days, whose ends differ for each request.
async fn measure(store: &dyn AdminStore, summaries: &str, requests: usize) {
    let scopes = [
        ("the popular link", StatsScope::Link(Id::new(1).unwrap())),
        ("another link", StatsScope::Link(Id::new(4_712).unwrap())),
        ("all links", StatsScope::All { tag: None, owner: None }),
    ];
    'scopes: for (name, scope) in scopes {
        let mut times = Vec::new();
        let mut clicks = 0;
        for turn in 0..requests {
            // As in the time zones of the world.
            let later = (turn as i64 % 24) * HOUR;
            let from = Timestamp::from_unix_seconds(first_hour() + later);
            let to = Timestamp::from_unix_seconds(first_hour() + DAYS.cast_signed() * 24 * HOUR + later);
            let started = Instant::now();
            let query = StatsQuery { scope: scope.clone(), from, to, bots: false, filter: ClickFilter::All };
            let stats = match store.statistics(query).await {
                Err(StoreError::TookTooLong(_)) => {
                    println!("| {name}, {summaries} | | more than a request may take | |");
                    continue 'scopes;
                }
                stats => stats.unwrap(),
            };
            times.push(started.elapsed());
            clicks = clicks.max(stats.unwrap().total());
        }
        times.sort_unstable();
        let ms = |at: usize| times[at].as_secs_f64() * 1e3;
        let (half, most) = (ms(times.len() / 2), ms(times.len() * 99 / 100));
        println!("| {name}, {summaries} | {clicks} | {half:.1} | {most:.1} |");
    }
}

async fn run(store: &dyn AdminStore, name: &str) {
    println!("{name}\n\n| statistics of 30 days | clicks | ms: p50 | p99 |\n|---|---|---|---|");
    measure(store, "without summaries", SLOW_REQUESTS).await;
    let started = Instant::now();
    // Each run of the upkeep takes 20 seconds at most.
    loop {
        let began = Instant::now();
        store.run_upkeep().await.unwrap();
        if began.elapsed().as_secs() < 20 {
            break;
        }
    }
    let took = started.elapsed();
    measure(store, "with summaries", REQUESTS).await;
    println!("\nThe upkeep took {took:.1?} for the summaries of {DAYS} days.\n");
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let clicks = arguments.first().map_or(200_000, |clicks| clicks.parse().unwrap());
    let wants = |store: &str| arguments.get(1).is_none_or(|only| only == store);
    if wants("sqlite") {
        let directory = tempfile::tempdir().unwrap();
        run(&sqlite(&directory.path().join("tern.db"), clicks).await, "SQLite").await;
    }
    if wants("postgres") {
        // Without autovacuum, each read would pass the late hours that the upkeep deleted.
        let options = Options { fsync: true, ..Options::default() }.set("autovacuum", "on");
        let server = Postgres::start_new(&options.set("shared_buffers", "256MB").set("max_wal_size", "4GB"));
        run(&postgres(&server, clicks).await, "PostgreSQL").await;
    }
}
