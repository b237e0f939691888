//! Measures pages of long lists beside pages of short ones: `cargo bench -p tern-common --bench pages -- 10000000`.
//!
//! Ten million rows take ten minutes to make, and 12 GB of the temporary directory. A last argument, `sqlite` or
//! `postgres`, leaves out the other store.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tern_common::Id;
use tern_common::event::EventFilter;
use tern_common::store::postgres::migrate;
use tern_common::store::{Page, PostgresConfig, PostgresStore, SqliteStore, Store, Total};
use tern_common::url::UrlFilter;
use tern_testkit::postgres::{Options, Postgres};

/// What the long lists stand beside.
const FEW: u64 = 2_000;

const STORES: [&str; 2] = ["sqlite", "postgres"];

/// One page of either list: what else the machine does then falls on both.
const TURNS: usize = 400;

/// Every second event is of the first link.
const ROWS: [(&str, &str); 3] = [
    ("users (id, username, email, created_at)", "n, 'user' || n, 'user' || n || '@mail.example', {now}"),
    (
        "urls (id, user_id, short_code, original_url, is_active, created_at, updated_at)",
        "n, 1 + n % 1000, 'c' || n, 'https://example.com/some/path/' || n, {yes}, {now}, {now}",
    ),
    (
        "events (id, url_id, user_id, event_type, timestamp, details)",
        "n, 1 + n % 2 * (n % 1999), 1, 'clicked', {now}, '{}'",
    ),
];

/// What triggers would have counted.
const COUNTS: &str = "INSERT INTO row_counts VALUES ('users', '', {n}), ('urls', '', {n}), ('events', '', {n});
    INSERT INTO row_counts SELECT 'events', 'url_id=1', count(*) FROM events WHERE url_id = 1;
    INSERT INTO id_blocks SELECT 'users', 8, id >> 8, count(*) FROM users GROUP BY id >> 8;
    INSERT INTO id_blocks SELECT 'urls', 8, id >> 8, count(*) FROM urls GROUP BY id >> 8;
    INSERT INTO id_blocks SELECT 'events', 8, id >> 8, count(*) FROM events GROUP BY id >> 8;";

/// Statements that fill the tables and count what is in them, in all and by blocks of 2^8 and of 2^`bits` ids.
fn sql(numbers: &str, now: &str, yes: &str, n: u64, bits: &[u32]) -> String {
    let insert = |(into, values): (&str, &str)| {
        let values = values.replace("{now}", now).replace("{yes}", yes);
        format!("INSERT INTO {into} WITH {numbers} SELECT {values} FROM numbers;\n")
    };
    let blocks = bits.iter().map(|bits| {
        let block = format!("block >> ({bits} - 8)");
        format!("INSERT INTO id_blocks SELECT list, {bits}, {block}, sum(n) FROM id_blocks WHERE bits = 8 GROUP BY list, {block};\n")
    });
    ROWS.map(insert).concat() + &COUNTS.replace("{n}", &n.to_string()) + &blocks.collect::<String>()
}

async fn postgres(server: &Postgres, n: u64) -> PostgresStore {
    let config = PostgresConfig::new(server.create_database());
    migrate(&config).await.unwrap();
    let database = config.url.rsplit('/').next().unwrap();
    // Indexes that no page here is read from would only take time.
    let begin = "SET session_replication_role = replica; SET maintenance_work_mem = '256MB';
        ALTER TABLE users DROP CONSTRAINT users_username_key, DROP CONSTRAINT users_email_key;
        ALTER TABLE urls DROP CONSTRAINT urls_short_code_key;
        DROP INDEX urls_user_id, urls_is_active, events_url_id, events_user_id, events_event_type, events_timestamp;";
    let numbers = format!("numbers AS (SELECT generate_series(1, {n}) AS n)");
    let fill = sql(&numbers, "now()", "true", n, &[12, 16, 20, 24]);
    server.psql(database, &format!("{begin} {fill} CREATE INDEX events_url_id ON events (url_id, id)"));
    server.psql(database, "VACUUM ANALYZE");
    PostgresStore::open(&config).await.unwrap()
}

async fn sqlite(path: &Path, n: u64) -> SqliteStore {
    drop(SqliteStore::open(path).await.unwrap());
    let db = Connection::open(path).unwrap();
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    let begin = "PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;
        DROP INDEX users_username_key; DROP INDEX users_email_key;
        DROP INDEX urls_short_code_key; DROP INDEX urls_user_id; DROP INDEX urls_is_active;
        DROP INDEX events_url_id; DROP INDEX events_user_id; DROP INDEX events_event_type;";
    let numbers = format!("RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {n})");
    let fill = sql(&numbers, "1700000000", "1", n, &[16, 24]);
    db.execute_batch(&format!("{begin} {fill} CREATE INDEX events_url_id ON events (url_id); ANALYZE")).unwrap();
    SqliteStore::open(path).await.unwrap()
}

/// Shows a page of a list, of an exact number of rows.
async fn show(store: &dyn Store, list: &str, page: Page) -> usize {
    match list {
        "users" => store.list_users(page).await.unwrap().rows.len(),
        "urls" => store.list_urls(UrlFilter::default(), page).await.unwrap().rows.len(),
        _ => store.list_events(EventFilter::default(), page).await.unwrap().rows.len(),
    }
}

async fn time(store: &dyn Store, list: &str, number: u64) -> Duration {
    let page = Page { number, size: Page::MAX_SIZE };
    let started = Instant::now();
    assert_eq!(show(store, list, page).await, Page::MAX_SIZE as usize);
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn compare(name: &str, few: &dyn Store, many: &dyn Store, n: u64) {
    assert_eq!(many.list_users(Page { number: 1, size: 1 }).await.unwrap().total, Total::Exactly(n));
    let pages = |n: u64| [1, n / u64::from(Page::MAX_SIZE) / 2, n / u64::from(Page::MAX_SIZE)];
    for list in ["users", "urls", "events"] {
        for (where_, (of_few, of_many)) in ["first", "middle", "last"].iter().zip(pages(FEW).into_iter().zip(pages(n)))
        {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                short.push(time(few, list, of_few).await);
                long.push(time(many, list, of_many).await);
            }
            let (short, long) = (median(short), median(long));
            let ratio = long.as_secs_f64() / short.as_secs_f64();
            println!("{name:10} {list:6} {where_:6} page {short:>10.1?} {long:>10.1?}  ratio {ratio:.2}");
        }
    }
    for (where_, number) in ["first", "middle", "last"].iter().zip(pages(n / 2)) {
        let page = Page { number, size: Page::MAX_SIZE };
        let filter = EventFilter { url_id: Id::new(1), ..EventFilter::default() };
        let started = Instant::now();
        let answer = many.list_events(filter, page).await.map_or("unavailable", |_| "shown");
        let took = started.elapsed();
        println!("{name:10} of the link with every second event, {where_} page {answer} after {took:.1?}");
    }
}

#[tokio::main]
async fn main() {
    let n = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_000_000_u64);
    println!("a page of 100, of {FEW} rows and of {n}: medians of {TURNS} turns");
    let wanted = |store: &str| std::env::args().all(|argument| argument == store || !STORES.contains(&&*argument));
    if wanted("sqlite") {
        let directory = tempfile::tempdir().unwrap();
        let few = sqlite(&directory.path().join("few.db"), FEW).await;
        let many = sqlite(&directory.path().join("many.db"), n).await;
        compare("sqlite", &few, &many, n).await;
    }
    if wanted("postgres") {
        let options = Options::default().set("shared_buffers", "256MB").set("max_wal_size", "4GB");
        let server = Postgres::start_new(&options);
        let (few, many) = (postgres(&server, FEW).await, postgres(&server, n).await);
        compare("postgres", &few, &many, n).await;
    }
}
