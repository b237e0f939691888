//! Property tests: a follower of PostgreSQL's feed equals the table, however transactions interleave.
//!
//! Writers on connections of their own begin, change, save, roll back and commit at random, one step at a time. After
//! each step a follower asks for changes; it must then equal the committed rows. Two widespread ways to follow a table
//! run in the same way, to show that these tests detect faults: an ascending id skips rows for ever, and the oldest
//! open transaction stalls the follower.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use tern_common::served_link::LinkRow;
use tern_common::store::postgres::migrate;
use tern_common::store::{PostgresConfig, PostgresStore};
use tern_testkit::postgres::{Options, Postgres};
use tokio_postgres::{Client, NoTls};

#[path = "support/replica.rs"]
mod replica;

use replica::{Links, Replica};

const WRITERS: u64 = 5;
const STEPS: u32 = 250;

/// Number of codes, so low that several transactions change the same code at once.
const CODES: u64 = 10;

struct Random(u64);

impl Random {
    /// SplitMix64 with a fixed seed, so that a failure can be repeated.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn database(server: &Postgres) -> PostgresConfig {
    let config = PostgresConfig::new(server.create_database());
    migrate(&config).await.unwrap();
    let client = connect(&config.url).await;
    let rows = "INSERT INTO users (username, email, created_at) VALUES ('ada', 'ada@mail.example', now());
                 -- What a table with an ascending id would log.
                 CREATE TABLE numbered_changes (id bigserial PRIMARY KEY, short_code text);
                 CREATE FUNCTION number_change() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN INSERT INTO numbered_changes (short_code) VALUES (NEW.short_code); RETURN NULL; END $$;
                 CREATE TRIGGER numbered AFTER INSERT ON url_changes FOR EACH ROW EXECUTE FUNCTION number_change()";
    client.batch_execute(rows).await.unwrap();
    config
}

/// Connection that writes, perhaps within a transaction.
struct Writer {
    client: Client,
    is_open: bool,
    has_savepoint: bool,
}

impl Writer {
    async fn new(url: &str) -> Writer {
        let client = connect(url).await;
        // One task takes all steps, so a row locked by another transaction is an error instead of a wait.
        client.batch_execute("SET lock_timeout = '2ms'").await.unwrap();
        Writer { client, is_open: false, has_savepoint: false }
    }

    async fn step(&mut self, random: &mut Random) {
        let sql = match (random.below(12), self.is_open) {
            // Some transactions stay open for most of the run.
            (0 | 1, true) => "COMMIT".to_owned(),
            (2, true) if random.below(2) == 0 => "ROLLBACK".to_owned(),
            (3, true) if self.has_savepoint => "ROLLBACK TO SAVEPOINT s".to_owned(),
            (3 | 4, true) => "SAVEPOINT s".to_owned(),
            (0..=6, false) => "BEGIN".to_owned(),
            _ => change(random),
        };
        match (self.client.batch_execute(&sql).await, sql.as_str()) {
            (Ok(()), "BEGIN") => (self.is_open, self.has_savepoint) = (true, false),
            (Ok(()), "COMMIT" | "ROLLBACK") => self.is_open = false,
            (Ok(()), "SAVEPOINT s") => self.has_savepoint = true,
            (Ok(()), _) => {}
            (Err(_), _) => self.end("ROLLBACK").await,
        }
    }

    async fn end(&mut self, how: &str) {
        self.client.batch_execute(how).await.unwrap();
        self.is_open = false;
    }
}

/// Returns SQL that changes one code or many.
fn change(random: &mut Random) -> String {
    let (code, other, target) = (random.below(CODES), random.below(CODES), random.below(1_000));
    let insert = format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         VALUES (1, 'c{code}', 'https://{target}.example/', true, now(), now()) ON CONFLICT DO NOTHING"
    );
    match random.below(10) {
        0..=3 => insert,
        4 => format!("UPDATE urls SET original_url = 'https://{target}.example/' WHERE short_code = 'c{code}'"),
        5 => format!("UPDATE urls SET is_active = NOT is_active WHERE id % 3 = {}", code % 3),
        6 => format!("UPDATE urls SET short_code = 'c{other}' WHERE short_code = 'c{code}'"),
        7 => format!("DELETE FROM urls WHERE short_code = 'c{code}'; {insert}"),
        _ => format!("DELETE FROM urls WHERE short_code = 'c{code}'"),
    }
}

/// Way to follow the table.
enum Follower {
    Ours {
        store: Box<PostgresStore>,
        replica: Replica,
    },
    /// Reads one short delta at a time, each over another connection than the one before. A regular checkpoint makes
    /// each connection assume that the server has crashed.
    ByShortDeltas {
        stores: Box<[PostgresStore; 2]>,
        polls: usize,
        client: Client,
        replica: Replica,
    },
    ById {
        client: Client,
        last: i64,
        links: Links,
    },
    ByOldestOpen {
        client: Client,
        next: i64,
        links: Links,
    },
}

impl Follower {
    /// Asks for changes and returns all links of the follower, or `None` while the follower knows that there are more.
    async fn poll(&mut self) -> Option<&Links> {
        Some(match self {
            Follower::Ours { store, replica } => {
                replica.catch_up(&**store).await.unwrap();
                &replica.links
            }
            Follower::ByShortDeltas { stores, polls, client, replica } => {
                *polls += 1;
                if *polls % 40 == 0 {
                    client.batch_execute("CHECKPOINT").await.unwrap();
                }
                let is_more = replica.read_next(&stores[*polls / 3 % 2]).await.unwrap();
                replica.cursor = replica.cursor.take().map(|cursor| cursor.to_string().parse().unwrap());
                if is_more {
                    return None;
                }
                &replica.links
            }
            Follower::ById { client, last, links } => {
                let sql = "SELECT id, short_code FROM numbered_changes WHERE id > $1 ORDER BY id";
                for row in client.query(sql, &[last]).await.unwrap() {
                    *last = row.get(0);
                    refresh(client, links, row.get(1)).await;
                }
                links
            }
            Follower::ByOldestOpen { client, next, links } => {
                let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, ARRAY(
                               SELECT DISTINCT short_code FROM url_changes
                               WHERE xid >= $1::bigint::text::xid8 AND xid < pg_snapshot_xmin(pg_current_snapshot())
                           )";
                let row = client.query_one(sql, &[next]).await.unwrap();
                *next = row.get(0);
                for code in row.get::<_, Vec<String>>(1) {
                    refresh(client, links, code).await;
                }
                links
            }
        })
    }
}

async fn refresh(client: &Client, links: &mut Links, code: String) {
    match table(client).await.remove(&code) {
        Some(row) => links.insert(code, row),
        None => links.remove(&code),
    };
}

/// Returns the committed links.
async fn table(client: &Client) -> Links {
    let rows = client.query("SELECT short_code, id, user_id, original_url, is_active FROM urls", &[]).await.unwrap();
    let link = |row: tokio_postgres::Row| LinkRow {
        url_id: row.get(1),
        owner_id: row.get(2),
        is_active: row.get(4),
        ..LinkRow::plain(row.get(0), row.get(3))
    };
    rows.into_iter().map(|row| (row.get(0), link(row))).collect()
}

/// Result of a run.
struct Run {
    /// Steps after which the follower differed from the committed rows.
    late: Vec<u32>,
    /// Number of polls after which the follower knew of no further changes.
    polls: u32,
    /// Whether the follower equalled the table after every transaction had ended and every change was read.
    complete: bool,
}

async fn run(url: &str, follower: &mut Follower, seed: u64) -> Run {
    let mut random = Random(seed);
    let observer = connect(url).await;
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(Writer::new(url).await);
    }
    let (mut late, mut polls) = (Vec::new(), 0);
    for step in 0..STEPS {
        let chosen = random.below(WRITERS) as usize;
        writers[chosen].step(&mut random).await;
        // Polls follow only some steps, so that changes also pile up.
        if random.below(3) > 0
            && let Some(links) = follower.poll().await
        {
            polls += 1;
            if *links != table(&observer).await {
                late.push(step);
            }
        }
    }
    for writer in writers.iter_mut().filter(|writer| writer.is_open) {
        writer.end("COMMIT").await;
    }
    let complete = loop {
        if let Some(links) = follower.poll().await {
            break *links == table(&observer).await;
        }
    };
    Run { late, polls, complete }
}

#[tokio::test]
async fn cursor_beside_interleaved_transactions_skips_nothing() {
    let server = Postgres::start_new(&Options::default());
    let config = database(&server).await;
    let store = Box::new(PostgresStore::open(&config).await.unwrap());
    let mut follower = Follower::Ours { store, replica: Replica::default() };
    for seed in 0..20 {
        let run = run(&config.url, &mut follower, seed).await;
        assert!(run.late.is_empty(), "seed {seed}: not what is committed after steps {:?}", run.late);
        assert!(run.complete, "seed {seed}: something was skipped");
    }
    let Follower::Ours { replica, .. } = &follower else { unreachable!() };
    assert_eq!(replica.snapshots, 1, "the follower needed a snapshot");
}

/// Deltas end between transactions, within small ones, and within those that are read in parts, while other
/// transactions begin, commit and roll back.
#[tokio::test]
async fn cursor_within_a_long_log_skips_nothing() {
    let server = Postgres::start_new(&Options::default());
    for entries in [1, 2, 3, 4, 7] {
        let config = PostgresConfig { delta_entries: entries, ..database(&server).await };
        let stores = [PostgresStore::open(&config).await.unwrap(), PostgresStore::open(&config).await.unwrap()];
        let stores = Box::new(stores);
        let client = connect(&config.url).await;
        let mut follower = Follower::ByShortDeltas { stores, polls: 0, client, replica: Replica::default() };
        let mut polls = 0;
        for seed in 0..3 {
            let run = run(&config.url, &mut follower, seed).await;
            assert!(run.late.is_empty(), "{entries}, seed {seed}: not what is committed after steps {:?}", run.late);
            assert!(run.complete, "{entries}, seed {seed}: something was skipped");
            polls += run.polls;
        }
        println!("in deltas of {entries} entries the follower had caught up {polls} times");
        assert!(polls > 10, "{polls} polls: the follower never caught up before the end, so nothing is tested");
        let Follower::ByShortDeltas { replica, .. } = &follower else { unreachable!() };
        assert_eq!(replica.snapshots, 1, "the follower needed a snapshot");
    }
}

#[tokio::test]
async fn follower_by_ascending_id_skips_changes() {
    let server = Postgres::start_new(&Options::default());
    let config = database(&server).await;
    let mut follower = Follower::ById { client: connect(&config.url).await, last: 0, links: Links::new() };
    for seed in 0..20 {
        if !run(&config.url, &mut follower, seed).await.complete {
            return;
        }
    }
    panic!("the naive cursor skipped nothing in 20 runs, so nothing is tested");
}

#[tokio::test]
async fn follower_by_oldest_transaction_stalls_but_skips_nothing() {
    let server = Postgres::start_new(&Options::default());
    let config = database(&server).await;
    let mut follower = Follower::ByOldestOpen { client: connect(&config.url).await, next: 1, links: Links::new() };
    let mut stalled = 0;
    for seed in 0..3 {
        let run = run(&config.url, &mut follower, seed).await;
        assert!(run.complete, "seed {seed}");
        stalled += run.late.len();
    }
    assert!(stalled > 0, "the cursor never had to wait, so nothing is tested");
}

/// Writers and replicas run concurrently, as fast as they can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_beside_concurrent_writers_match_the_table() {
    let server = Postgres::start_new(&Options::default());
    let config = database(&server).await;
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let url = config.url.clone();
            tokio::spawn(async move {
                let (mut writer, mut random) = (Writer::new(&url).await, Random(seed ^ n));
                for _ in 0..STEPS * 2 {
                    writer.step(&mut random).await;
                }
                writer.end("COMMIT").await;
            })
        })
        .collect();
    let replicas = (0..2).map(|_| async {
        let store = PostgresStore::open(&config).await.unwrap();
        let mut replica = Replica::default();
        while writers.iter().any(|writer| !writer.is_finished()) {
            replica.catch_up(&store).await.unwrap();
        }
        replica.catch_up(&store).await.unwrap();
        replica.links
    });
    let held = futures_util::future::join_all(replicas).await;
    for writer in writers {
        writer.await.unwrap();
    }
    let table = table(&connect(&config.url).await).await;
    for links in held {
        assert_eq!(links, table, "seed {seed}");
    }
}
