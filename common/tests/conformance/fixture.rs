//! Fresh instances of every implementation, and rows to fill them with.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tern_common::bus::{LocalBus, RedisBus};
use tern_common::cache::{LocalCache, RedisCache};
use tern_common::config::Setting;
use tern_common::redis::{Prefix, RedisAddress, RedisConfig};
use tern_common::seal::{Seal, SealKey};
use tern_common::served_link::LinkRow;
use tern_common::store::postgres::migrate;
use tern_common::store::{
    AdminStore, Cursor, Delta, LinkChange, Page, PageStart, PostgresConfig, PostgresStore, SqliteStore,
};
use tern_common::url::{NewUrl, Url};
use tern_common::user::{Email, NewUser, User, Username};
use tern_common::{Id, ShortCode, TargetUrl};
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::redis::Redis;

pub async fn sqlite() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("tern.db")).await.unwrap();
    (store, directory)
}

/// Opens a new database on the PostgreSQL server that all tests share.
pub async fn postgres() -> (PostgresStore, ()) {
    (open_postgres(Postgres::shared()).await, ())
}

/// Opens a database on a PostgreSQL server of its own, for tests that other databases of a server would disturb.
pub async fn postgres_alone() -> (PostgresStore, Postgres) {
    let server = Postgres::start_new(&Options::default());
    (open_postgres(&server).await, server)
}

async fn open_postgres(server: &Postgres) -> PostgresStore {
    let config = PostgresConfig::new(server.create_database());
    migrate(&config).await.unwrap();
    PostgresStore::open(&config).await.unwrap()
}

pub async fn local_bus() -> (LocalBus, ()) {
    (LocalBus::new(), ())
}

pub async fn local_cache() -> (LocalCache, ()) {
    (LocalCache::new(), ())
}

/// Returns a configuration with a prefix of its own on the Redis server that all tests of this process share.
fn redis() -> RedisConfig {
    static SERVER: LazyLock<Redis> = LazyLock::new(Redis::start_new);
    static TESTS: AtomicUsize = AtomicUsize::new(0);
    let address = RedisAddress::parse(&SERVER.url()).unwrap();
    let prefix = Prefix::parse(&format!("test-{}:", TESTS.fetch_add(1, Ordering::Relaxed))).unwrap();
    RedisConfig { prefix, ..RedisConfig::new(address) }
}

pub async fn redis_bus() -> (RedisBus, ()) {
    (RedisBus::new(&redis(), Seal::with_key(SealKey::random())), ())
}

pub async fn redis_cache() -> (RedisCache, ()) {
    (RedisCache::new(&redis(), Seal::with_key(SealKey::random())), ())
}

pub fn id(value: i64) -> Id {
    Id::new(value).unwrap()
}

pub fn page<C>(number: u64, size: u32) -> Page<C> {
    Page { start: PageStart::Number(number), size }
}

pub fn new_user(name: &str) -> NewUser {
    NewUser { username: Username::parse(name).unwrap(), email: Email::parse(&format!("{name}@mail.example")).unwrap() }
}

pub fn new_url(owner: Id, code: &str, target: &str) -> NewUrl {
    NewUrl {
        user_id: owner,
        short_code: ShortCode::parse(code).unwrap(),
        original_url: TargetUrl::parse(target).unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
    }
}

pub async fn user(store: &dyn AdminStore, name: &str) -> User {
    store.insert_user(new_user(name)).await.unwrap()
}

pub async fn url(store: &dyn AdminStore, owner: Id, code: &str) -> Url {
    store.insert_url(new_url(owner, code, &format!("https://{code}.example/"))).await.unwrap().value
}

/// Links by short code, as a replica's map has them.
pub type Links = BTreeMap<String, LinkRow>;

pub async fn snapshot(store: &dyn AdminStore) -> (Links, Cursor) {
    let mut snapshot = store.snapshot().await.unwrap();
    let mut links = Links::new();
    while let Some(batch) = snapshot.rows.recv().await {
        links.extend(batch.unwrap().into_iter().map(|row| (row.short_code.clone(), row)));
    }
    (links, snapshot.cursor)
}

/// Returns every change since `cursor` and the cursor after them.
pub async fn changes_since(store: &dyn AdminStore, cursor: &Cursor) -> (Vec<LinkChange>, Cursor) {
    let mut cursor = cursor.clone();
    let mut all = Vec::new();
    loop {
        match store.delta(&cursor).await.unwrap() {
            Delta::Changes { changes, cursor: next, more } => {
                all.extend(changes.into_iter().map(|aged| aged.change));
                cursor = next;
                if !more {
                    return (all, cursor);
                }
            }
            Delta::TooOld => panic!("{cursor} is too old"),
        }
    }
}

pub fn apply(links: &mut Links, changes: Vec<LinkChange>) {
    for change in changes {
        match change {
            LinkChange::Put(row) => drop(links.insert(row.short_code.clone(), row)),
            LinkChange::Removed { short_code } => drop(links.remove(&short_code)),
        }
    }
}
