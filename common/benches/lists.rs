//! Measures lists of links under searches, filters and orders, and what their indexes cost a write:
//! `cargo bench -p tern-common --bench lists -- 1000000`.
//!
//! A last argument, `sqlite` or `postgres`, leaves out the other store. The rows need 5 GB of the temporary directory.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tern_common::link_labels::{LinkLabels, Notes, Tag, Tags};
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, Page, PageStart, PostgresConfig, PostgresStore, SqliteStore};
use tern_common::url::{NewUrl, SearchTerm, SortKey, Title, UrlFilter, UrlSort};
use tern_common::{Id, ShortCode, TargetUrl};
use tern_testkit::postgres::{Options, Postgres};

/// The number of lists of each kind.
const LISTS: usize = 200;

/// The number of links that are written to each store.
const WRITES: usize = 2_000;

const WORDS: u64 = 2_000;

/// Returns a word that occurs in one of some hundred links.
fn word(n: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["bo", "lo", "mi", "ter", "ku", "san", "ve", "ro", "ti", "pel", "go", "na", "dri", "fu", "cho", "ze"];
    let n = n % WORDS * 37 % 4_096;
    [n / 256, n / 16 % 16, n % 16].map(|at| SYLLABLES[at as usize]).concat()
}

/// Returns statements that fill the tables, with the counts that triggers would write.
fn sql(numbers: &str, time: &str, yes: &str, tags: &str, n: u64) -> String {
    let words = (0..WORDS).map(|n| format!("({n}, '{}')", word(n))).collect::<Vec<_>>().join(", ");
    let pick = |step: u64| format!("(SELECT word FROM words WHERE at = n * {step} % {WORDS})");
    format!(
        "INSERT INTO users (id, username, email, created_at) WITH {numbers}
         SELECT n, 'user' || n, 'user' || n || '@mail.example', {time} FROM numbers WHERE n <= 1000;
         CREATE TEMPORARY TABLE words (at bigint PRIMARY KEY, word text);
         INSERT INTO words VALUES {words};
         INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at, tags, notes)
         WITH {numbers}
         SELECT n, 1 + n % 1000, 'c' || n,
             'https://' || {} || '.example/' || {} || '/' || n || '?source=' || {},
             CASE WHEN n % 10 > 0 THEN {} || ' ' || {} || ' ' || n END, {yes}, {time}, {time}, {tags},
             CASE WHEN n % 4 = 0 THEN 'printed by ' || {} || ' for ' || {} END
         FROM numbers;
         INSERT INTO url_tags (tag, url_id) WITH {numbers} SELECT 'tag' || n % 500, n FROM numbers;
         INSERT INTO link_clicks (url_id, clicks) WITH {numbers} SELECT n, n * 7919 % 1000 FROM numbers;
         INSERT INTO row_counts VALUES ('users', '', 1000), ('urls', '', {n});",
        pick(7),
        pick(11),
        pick(13),
        pick(17),
        pick(19),
        pick(23),
        pick(29)
    )
}

async fn postgres(server: &Postgres, n: u64) -> (PostgresConfig, String) {
    let config = PostgresConfig::new(server.create_database());
    migrate(&config).await.unwrap();
    let database = config.url.rsplit('/').next().unwrap().to_owned();
    let numbers = format!("numbers AS (SELECT generate_series(1::bigint, {n}) AS n)");
    let fill = sql(&numbers, "to_timestamp(1700000000 + n)", "true", "ARRAY['tag' || n % 500]", n);
    // The index is built at once, as a restore does.
    let begin = "SET session_replication_role = replica; SET maintenance_work_mem = '256MB';
        DO $$ BEGIN EXECUTE (SELECT string_agg('ALTER TABLE ' || tgrelid::regclass || ' DISABLE TRIGGER ' || tgname, ';')
            FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'urls'::regclass); END $$;
        DROP INDEX urls_search_text;";
    let end = "CREATE INDEX urls_search_text ON urls USING gin (search_text gin_trgm_ops) WITH (gin_pending_list_limit = 512);
        DO $$ BEGIN EXECUTE (SELECT string_agg('ALTER TABLE ' || tgrelid::regclass || ' ENABLE ALWAYS TRIGGER ' || tgname, ';')
            FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'urls'::regclass); END $$;
        SELECT setval('urls_id_seq', (SELECT max(id) FROM urls)), setval('users_id_seq', 1000);";
    server.psql(&database, &format!("{begin} {fill} {end}"));
    server.psql(&database, "VACUUM ANALYZE");
    (config, database)
}

async fn sqlite(path: &Path, n: u64) -> SqliteStore {
    drop(SqliteStore::open(path).await.unwrap());
    let db = Connection::open(path).unwrap();
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    let numbers = format!("RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {n})");
    let fill = sql(&numbers, "1700000000 + n", "1", "json_array('tag' || n % 500)", n);
    db.execute_batch(&format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; BEGIN; {fill}
         INSERT INTO urls_search (rowid, text) SELECT url_id, text FROM searched_texts; COMMIT;"
    ))
    .unwrap();
    SqliteStore::open(path).await.unwrap()
}

/// Returns the filter, the order and the first row of a list, which differ for each turn.
type Kind = (&'static str, Box<dyn Fn(usize) -> (UrlFilter, UrlSort)>);

fn kinds() -> Vec<Kind> {
    let search = |text: String| UrlFilter { search: Some(SearchTerm::parse(&text).unwrap()), ..UrlFilter::default() };
    let by_title = UrlSort { key: SortKey::Title, is_descending: true };
    let any = UrlSort::default();
    let mut kinds: Vec<Kind> = vec![
        ("search of a word", Box::new(move |n| (search(word(n as u64 * 7)), any))),
        ("search of a word, by title", Box::new(move |n| (search(word(n as u64 * 7)), by_title))),
        ("search of a code", Box::new(move |n| (search(format!("C{}", 1_000 + n * 37)), any))),
        ("search of a frequent text", Box::new(move |_| (search("EXAMPLE/".to_owned()), any))),
        ("search of a frequent text, by title", Box::new(move |_| (search("EXAMPLE/".to_owned()), by_title))),
        ("search of an absent text", Box::new(move |n| (search(format!("quux{n}")), any))),
        ("search of two characters", Box::new(move |n| (search(word(n as u64 * 7)[1..3].to_owned()), any))),
        ("search of two digits", Box::new(move |n| (search(format!("{}", 10 + n % 90)), any))),
        ("search of two rare characters", Box::new(move |n| (search(["qz", "xy", "jj", "wv"][n % 4].to_owned()), any))),
        (
            "tag",
            Box::new(move |n| {
                (UrlFilter { tag: vec![Tag::parse(&format!("tag{}", n % 500)).unwrap()], ..UrlFilter::default() }, any)
            }),
        ),
        (
            "tag, by title",
            Box::new(move |n| {
                (
                    UrlFilter { tag: vec![Tag::parse(&format!("tag{}", n % 500)).unwrap()], ..UrlFilter::default() },
                    by_title,
                )
            }),
        ),
        (
            "host",
            Box::new(move |n| {
                (UrlFilter { host: Some(format!("{}.example", word(n as u64))), ..UrlFilter::default() }, any)
            }),
        ),
    ];
    for key in SortKey::ALL {
        let sort = UrlSort { key, is_descending: true };
        kinds.push((key.name(), Box::new(move |_| (UrlFilter::default(), sort))));
    }
    kinds
}

/// Prints the times of the first page of each kind of list, and of the pages after it.
async fn measure(store: &dyn AdminStore) {
    for (name, kind) in kinds() {
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        for turn in 0..LISTS {
            let (filter, sort) = kind(turn);
            let started = Instant::now();
            let first = store.list_urls(filter.clone(), sort, Page::first(20)).await.unwrap();
            firsts.push(started.elapsed());
            let page = Page { start: PageStart::After(first.last), size: 20 };
            let started = Instant::now();
            store.list_urls(filter, sort, page).await.unwrap();
            others.push(started.elapsed());
        }
        let [first, other] = [firsts, others].map(|mut times| {
            times.sort_unstable();
            let ms = |at: usize| times[at].as_secs_f64() * 1e3;
            format!("{:.1} | {:.1}", ms(times.len() / 2), ms(times.len() * 99 / 100))
        });
        println!("| {name} | {first} | {other} |");
    }
}

/// Inserts a link, and returns the time that this took.
async fn write(store: &dyn AdminStore, n: usize) -> Duration {
    let at = n as u64;
    let labels = LinkLabels {
        tags: Tags::new([Tag::parse(&format!("tag{n}")).unwrap()]).unwrap(),
        notes: Some(Notes::parse(&format!("printed by {}", word(at * 31))).unwrap()),
        external_id: None,
    };
    let target = format!("https://{}.example/{}/{n}?source={}", word(at), word(at * 3), word(at * 5));
    let url = NewUrl {
        user_id: Id::new(1 + n as i64 % 1000).unwrap(),
        short_code: ShortCode::parse(&format!("new{n}")).unwrap(),
        original_url: TargetUrl::parse(&target).unwrap(),
        title: Some(Title::parse(&format!("{} {}", word(at * 17), word(at * 19))).unwrap()),
        is_active: true,
        options: Default::default(),
        labels,
    };
    let started = Instant::now();
    store.insert_url(url).await.unwrap();
    started.elapsed()
}

/// Prints what a write costs with the indexes of lists and without them, measured in turns.
async fn compare_writes(with: &dyn AdminStore, without: &dyn AdminStore) {
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..WRITES {
        for at in [n % 2, 1 - n % 2] {
            times[at].push(write([with, without][at], n).await);
        }
    }
    let [with, without] = times.map(|mut times| {
        times.sort_unstable();
        let mean = times.iter().sum::<Duration>() / times.len() as u32;
        [times[times.len() / 2], mean, times[times.len() * 99 / 100]]
    });
    println!("\n| write of a link | with the indexes of lists, us | without | ratio |\n|---|---|---|---|");
    for (at, name) in ["p50", "mean", "p99"].into_iter().enumerate() {
        let ratio = with[at].as_secs_f64() / without[at].as_secs_f64();
        println!("| {name} | {} | {} | {ratio:.2} |", with[at].as_micros(), without[at].as_micros());
    }
    println!();
}

const INDEXES: &str = "DROP INDEX urls_created_at; DROP INDEX urls_updated_at; DROP INDEX urls_title;
    DROP INDEX urls_target_host; DROP INDEX urls_starts_at; DROP INDEX urls_expires_at;
    DROP INDEX link_clicks_clicks; DROP INDEX link_clicks_last_clicked_at;";

const HEAD: &str = "| list | first page, ms: p50 | p99 | page at a cursor, ms: p50 | p99 |\n|---|---|---|---|---|";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let n = arguments.first().map_or(200_000, |n| n.parse().unwrap());
    let wants = |store: &str| arguments.get(1).is_none_or(|only| only == store);
    if wants("sqlite") {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tern.db");
        let store = sqlite(&path, n).await;
        println!("SQLite, {n} links\n\n{HEAD}");
        measure(&store).await;
        drop(store);
        let copy = directory.path().join("copy.db");
        Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        std::fs::copy(&path, &copy).unwrap();
        Connection::open(&copy).unwrap().execute_batch(&format!("{INDEXES} DROP TRIGGER urls_search_insert")).unwrap();
        compare_writes(&SqliteStore::open(&path).await.unwrap(), &SqliteStore::open(&copy).await.unwrap()).await;
    }
    if wants("postgres") {
        let server = Postgres::start_new(&Options { fsync: true, ..Options::default() });
        let (config, database) = postgres(&server, n).await;
        let copy = server.create_database();
        let copied = copy.rsplit('/').next().unwrap();
        server.psql("postgres", &format!("DROP DATABASE {copied}"));
        server.psql("postgres", &format!("CREATE DATABASE {copied} TEMPLATE {database}"));
        server.psql(copied, &format!("{INDEXES} ALTER TABLE urls DROP COLUMN search_text, DROP COLUMN target_host"));
        let store = PostgresStore::open(&config).await.unwrap();
        println!("PostgreSQL, {n} links\n\n{HEAD}");
        measure(&store).await;
        let without = PostgresStore::open(&PostgresConfig::new(copy)).await.unwrap();
        compare_writes(&store, &without).await;
    }
}
