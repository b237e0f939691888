//! Measures walks through long lists beside walks through short ones: `cargo bench -p tern-common --bench pages -- 10000000`.
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
use tern_common::store::{
    AdminStore, ListCursor, Listing, Page, PageCursor as _, PageStart, PostgresConfig, PostgresStore, SqliteStore,
    Total,
};
use tern_common::url::{UrlFilter, UrlSort};
use tern_testkit::postgres::{Options, Postgres};

/// Rows of the short lists, with which the long ones are compared.
const FEW: u64 = 2_000;

const STORES: [&str; 2] = ["sqlite", "postgres"];

/// Pages of each walk. The walks take turns, so that other load of the machine affects both lists alike.
const TURNS: usize = 400;

/// Columns and values of each table. Every second event belongs to the first link.
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

/// Statements that set the counts as the triggers would.
const COUNTS: &str = "INSERT INTO row_counts VALUES ('users', '', {n}), ('urls', '', {n}), ('events', '', {n});
    INSERT INTO row_counts SELECT 'events', 'url_id=1', count(*) FROM events WHERE url_id = 1;";

/// Returns statements that fill the tables and count what is in them.
fn sql(numbers: &str, now: &str, yes: &str, n: u64) -> String {
    let insert = |(into, values): (&str, &str)| {
        let values = values.replace("{now}", now).replace("{yes}", yes);
        format!("INSERT INTO {into} WITH {numbers} SELECT {values} FROM numbers;\n")
    };
    ROWS.map(insert).concat() + &COUNTS.replace("{n}", &n.to_string())
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
    let fill = sql(&numbers, "now()", "true", n);
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
    let fill = sql(&numbers, "1700000000", "1", n);
    db.execute_batch(&format!("{begin} {fill} CREATE INDEX events_url_id ON events (url_id); ANALYZE")).unwrap();
    SqliteStore::open(path).await.unwrap()
}

/// Walks through a list by the cursors of its pages.
struct Walk<'a> {
    store: &'a dyn AdminStore,
    list: &'static str,
    from: ListCursor,
    next: ListCursor,
}

impl Walk<'_> {
    /// Takes the next page, or begins anew at the end, and returns the time that it took.
    async fn step(&mut self) -> Duration {
        let page = Page { start: PageStart::After(self.next), size: Page::MAX_SIZE };
        let of_first = EventFilter { url_id: Id::new(1), ..EventFilter::default() };
        let cursor = self.next.to_string().parse().unwrap();
        let of_urls = Page { start: PageStart::After(cursor), size: Page::MAX_SIZE };
        let started = Instant::now();
        let (last, has_next) = match self.list {
            "users" => end(self.store.list_users(page).await.unwrap(), |user| user.id),
            "urls" => {
                end(self.store.list_urls(UrlFilter::default(), UrlSort::default(), of_urls).await.unwrap(), |url| {
                    url.id
                })
            }
            "events" => end(self.store.list_events(EventFilter::default(), page).await.unwrap(), |event| event.id),
            _ => end(self.store.list_events(of_first, page).await.unwrap(), |event| event.id),
        };
        let took = started.elapsed();
        self.next = if has_next { ListCursor::at(last) } else { self.from };
        took
    }
}

/// Returns the id of the last row, and whether a page follows.
fn end<T, C>(listing: Listing<T, C>, id: impl Fn(&T) -> Id) -> (Id, bool) {
    (id(listing.rows.last().unwrap()), listing.has_next)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn compare(name: &str, few: &dyn AdminStore, many: &dyn AdminStore, n: u64) {
    assert_eq!(many.list_users(Page::first(1)).await.unwrap().total, Total::Exactly(n));
    let at = |row: u64| Id::new(row.max(1).cast_signed()).map(ListCursor::at).unwrap();
    for list in ["users", "urls", "events", "events of the link with every second one"] {
        for (place, of_few, of_many) in [
            ("start", ListCursor::START, ListCursor::START),
            ("middle", at(FEW / 2), at(n / 2)),
            ("end", at(FEW - 210), at(n - 210)),
        ] {
            let walk = |store, from| Walk { store, list, from, next: from };
            let (mut short_walk, mut long_walk) = (walk(few, of_few), walk(many, of_many));
            let (mut short, mut long) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                short.push(short_walk.step().await);
                long.push(long_walk.step().await);
            }
            let (short, long) = (median(short), median(long));
            let ratio = long.as_secs_f64() / short.as_secs_f64();
            println!("{name:10} from the {place:6} {short:>10.1?} {long:>10.1?}  ratio {ratio:.2}  {list}");
        }
    }
}

#[tokio::main]
async fn main() {
    let n = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10_000_000_u64);
    println!("a page of 100 of a walk, through {FEW} rows and through {n}: medians of {TURNS} turns");
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
