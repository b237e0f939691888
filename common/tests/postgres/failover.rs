//! The feed through failovers that lose commits: deltas continue, and replicas equal the new primary.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tern_common::Id;
use tern_common::store::{AdminStore, LinkFeed, PostgresConfig, PostgresStore};
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::relay::Relay;
use tokio_postgres::Client;

use crate::feed::{check_catches_up, use_up_transaction_ids};
use crate::replica::Replica;
use crate::{check_unavailable, config, connect, eventually, url, user};

/// A primary, perhaps with a standby, and an address that follows the primary.
struct Cluster {
    primary: Postgres,
    standby: Option<Postgres>,
    /// Whether the standby is stopped.
    is_behind: bool,
    address: Relay,
    /// The name of the database.
    name: String,
    /// The configuration with the address.
    config: PostgresConfig,
    store: PostgresStore,
}

impl Cluster {
    async fn start() -> Cluster {
        let primary = Postgres::start_new(&Options::default());
        let direct = config(&primary).await;
        let address = Relay::to(primary.port());
        let url = direct.url.replace(&format!(":{}/", primary.port()), &format!(":{}/", address.port()));
        let config = PostgresConfig::new(url);
        let store = PostgresStore::open(&config).await.unwrap();
        user(&store, "ada").await;
        let name = direct.url.rsplit('/').next().unwrap().to_owned();
        let standby = Some(primary.standby());
        Cluster { primary, standby, is_behind: false, address, name, config, store }
    }

    fn standby(&self) -> &Postgres {
        self.standby.as_ref().unwrap()
    }

    /// Opens a connection to the primary for direct SQL.
    async fn connect(&self) -> Client {
        connect(&PostgresConfig::new(self.primary.url(&self.name))).await
    }

    /// Writes a beat and waits until the standby has it.
    async fn beat(&self) {
        eventually(async || self.store.write_beat().await).await;
        let last = "SELECT coalesce(max(xid::text::bigint), 0) FROM failover_beats";
        let written = self.primary.psql(&self.name, last);
        eventually(async || match self.standby().psql(&self.name, last) == written {
            true => Ok(()),
            false => Err("the standby has no beat"),
        })
        .await;
    }

    /// Stops the standby, which lacks all later commits at the failover.
    fn leave_standby_behind(&mut self) {
        self.standby().stop();
        self.is_behind = true;
    }

    /// Kills the primary and promotes the standby.
    fn fail_over(&mut self) {
        let standby = self.standby.take().unwrap();
        self.primary.kill9();
        if std::mem::take(&mut self.is_behind) {
            standby.start();
        }
        standby.promote();
        self.address.forward_to(standby.port());
        self.primary = standby;
    }

    /// Checks that `replica` follows to the links of the primary.
    async fn check(&self, replica: &mut Replica, store: &PostgresStore) {
        check_catches_up(replica, store, &self.connect().await).await;
    }
}

fn insert(code: &str) -> String {
    format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         VALUES (1, '{code}', 'https://example.com/', true, now(), now())"
    )
}

#[tokio::test]
async fn failover_that_loses_commits_needs_no_snapshot() {
    let mut cluster = Cluster::start().await;
    let other = cluster.connect().await;
    for code in ["changed", "removed", "renamed", "same"] {
        other.batch_execute(&insert(code)).await.unwrap();
    }
    let mut replica = Replica::default();
    replica.catch_up(&cluster.store).await.unwrap();
    let long = cluster.connect().await;
    long.batch_execute(&format!("BEGIN; {}", insert("long"))).await.unwrap();
    cluster.beat().await;
    cluster.leave_standby_behind();
    other
        .batch_execute(&format!(
            "UPDATE urls SET original_url = 'https://lost.example/' WHERE short_code = 'changed';
             DELETE FROM urls WHERE short_code = 'removed';
             UPDATE urls SET short_code = 'lost' WHERE short_code = 'renamed';
             {}",
            insert("created")
        ))
        .await
        .unwrap();
    replica.catch_up(&cluster.store).await.unwrap();
    long.batch_execute("COMMIT").await.unwrap();
    cluster.check(&mut replica, &cluster.store).await;
    assert_eq!(replica.links.keys().collect::<Vec<_>>(), ["changed", "created", "long", "lost", "same"]);

    cluster.fail_over();
    cluster.check(&mut replica, &cluster.store).await;
    assert_eq!(replica.links.keys().collect::<Vec<_>>(), ["changed", "removed", "renamed", "same"]);
    assert_eq!(replica.links["changed"].original_url, "https://example.com/");
    // Short codes and transaction ids are used again.
    let owner = Id::new(1).unwrap();
    for code in ["created", "long", "lost"] {
        let before = replica.cursor.clone().unwrap();
        let mark = url(&cluster.store, owner, code).await;
        assert!(!before.covers(&mark));
        cluster.check(&mut replica, &cluster.store).await;
        assert!(replica.cursor.as_ref().unwrap().covers(&mark));
    }
    assert_eq!(replica.snapshots, 1);
}

/// Ids of transactions without a trace are given again by the standby, and positions take them for seen.
#[tokio::test]
async fn failover_that_loses_nothing_needs_no_snapshot_although_ids_are_given_again() {
    let mut cluster = Cluster::start().await;
    let mut replica = Replica::default();
    replica.catch_up(&cluster.store).await.unwrap();
    cluster.beat().await;
    let other = cluster.connect().await;
    other.batch_execute(&insert("since")).await.unwrap();
    eventually(async || match cluster.standby().psql(&cluster.name, "SELECT count(*) FROM urls").trim() {
        "1" => Ok(()),
        _ => Err("the standby lacks the link"),
    })
    .await;
    use_up_transaction_ids(&other, 200).await;
    replica.catch_up(&cluster.store).await.unwrap();
    let seen = replica.cursor.as_ref().unwrap().to_string();

    cluster.fail_over();
    let other = cluster.connect().await;
    other.batch_execute(&insert("again")).await.unwrap();
    let is_seen =
        "SELECT pg_visible_in_snapshot(xid, $1::text::pg_snapshot) FROM url_changes WHERE short_code = 'again'";
    let is_seen = other.query_one(is_seen, &[&seen.rsplit('/').next()]).await.unwrap();
    assert!(is_seen.get::<_, bool>(0), "no id was given again, so nothing is tested");
    cluster.check(&mut replica, &cluster.store).await;
    assert_eq!((replica.links.len(), replica.snapshots), (2, 1));
    // The new primary crashes before its first checkpoint.
    cluster.primary.kill9();
    cluster.primary.start();
    cluster.check(&mut replica, &cluster.store).await;
    assert_eq!((replica.links.len(), replica.snapshots), (2, 1));
}

#[tokio::test]
async fn several_failovers_need_no_snapshot() {
    let mut cluster = Cluster::start().await;
    // One replica follows each timeline, the other one only the first and the last.
    let (asleep, mut replicas) =
        (PostgresStore::new(&cluster.config).unwrap(), [Replica::default(), Replica::default()]);
    let [replica, sleeper] = &mut replicas;
    replica.catch_up(&cluster.store).await.unwrap();
    sleeper.catch_up(&asleep).await.unwrap();
    for n in 0..3 {
        cluster.beat().await;
        cluster.leave_standby_behind();
        cluster.connect().await.batch_execute(&insert(&format!("lost{n}"))).await.unwrap();
        replica.catch_up(&cluster.store).await.unwrap();
        if n == 0 {
            sleeper.catch_up(&asleep).await.unwrap();
        }
        cluster.fail_over();
        cluster.connect().await.batch_execute(&insert(&format!("after{n}"))).await.unwrap();
        cluster.check(replica, &cluster.store).await;
        cluster.standby = Some(cluster.primary.standby());
    }
    cluster.check(sleeper, &asleep).await;
    for replica in replicas {
        assert_eq!(replica.links.into_keys().collect::<Vec<_>>(), ["after0", "after1", "after2"]);
        assert_eq!(replica.snapshots, 1);
    }
}

#[tokio::test]
async fn failover_with_unknown_losses_needs_a_snapshot() {
    let mut cluster = Cluster::start().await;
    let few = PostgresConfig { delta_entries: 10, ..cluster.config.clone() };
    let stores = [&cluster.config, &few, &cluster.config].map(|config| PostgresStore::new(config).unwrap());
    let mut replicas = [Replica::default(), Replica::default(), Replica::default()];
    // The first replica loads its links after the last beat.
    for (replica, store) in replicas.iter_mut().zip(&stores).skip(1) {
        replica.catch_up(store).await.unwrap();
    }
    cluster.beat().await;
    cluster.leave_standby_behind();
    for n in 0..20 {
        cluster.connect().await.batch_execute(&insert(&format!("lost{n}"))).await.unwrap();
    }
    for (replica, store) in replicas.iter_mut().zip(&stores) {
        replica.catch_up(store).await.unwrap();
    }
    // The last replica starts again from the text of its cursor.
    let cursor = &mut replicas[2].cursor;
    *cursor = cursor.take().map(|cursor| cursor.to_string().parse().unwrap());
    cluster.fail_over();
    for (replica, store) in replicas.iter_mut().zip(&stores) {
        cluster.check(replica, store).await;
        assert_eq!((replica.links.len(), replica.snapshots), (0, 2));
    }
}

#[tokio::test]
async fn failover_without_a_beat_needs_a_snapshot() {
    let mut cluster = Cluster::start().await;
    let mut replica = Replica::default();
    replica.catch_up(&cluster.store).await.unwrap();
    let on_standby = PostgresStore::new(&PostgresConfig::new(cluster.standby().url(&cluster.name))).unwrap();
    check_unavailable(on_standby.ping()).await;
    check_unavailable(on_standby.snapshot()).await;
    check_unavailable(on_standby.delta(replica.cursor.as_ref().unwrap())).await;
    check_unavailable(on_standby.write_beat()).await;
    cluster.fail_over();
    cluster.check(&mut replica, &cluster.store).await;
    assert_eq!(replica.snapshots, 2);
}

/// The sessions of a frozen primary stay open. The replica must leave them.
#[tokio::test]
async fn frozen_primary_is_left_for_the_promoted_standby_without_a_snapshot() {
    let mut cluster = Cluster::start().await;
    let (old, new) = (format!(":{}/", cluster.address.port()), format!(":{}", cluster.primary.port()));
    let hosts = format!("{new},127.0.0.1:{}/", cluster.standby().port());
    let store = PostgresStore::new(&PostgresConfig::new(cluster.config.url.replace(&old, &hosts))).unwrap();
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    cluster.beat().await;
    cluster.leave_standby_behind();
    cluster.connect().await.batch_execute(&insert("lost")).await.unwrap();
    replica.catch_up(&store).await.unwrap();
    cluster.primary.freeze();
    let Cluster { primary, standby, name, .. } = cluster;
    let standby = standby.unwrap();
    standby.start();
    standby.promote();
    let other = connect(&PostgresConfig::new(standby.url(&name))).await;
    check_catches_up(&mut replica, &store, &other).await;
    // The old primary takes changes again, and the replica does not return to it.
    primary.thaw();
    primary.psql(&name, &insert("split"));
    other.batch_execute(&insert("after")).await.unwrap();
    check_catches_up(&mut replica, &store, &other).await;
    assert_eq!((replica.links.keys().map(String::as_str).collect::<Vec<_>>(), replica.snapshots), (vec!["after"], 1));
}

/// A frozen primary can wake and keep its role, so that the promoted standby gives up.
#[tokio::test]
async fn promotion_that_is_given_up_needs_no_snapshot() {
    let mut cluster = Cluster::start().await;
    let mut replica = Replica::default();
    replica.catch_up(&cluster.store).await.unwrap();
    cluster.beat().await;
    let standby = cluster.standby.take().unwrap();
    for round in ["one", "two"] {
        let other = cluster.connect().await;
        other.batch_execute(&insert(&format!("before{round}"))).await.unwrap();
        replica.catch_up(&cluster.store).await.unwrap();
        cluster.primary.freeze();
        if round == "one" {
            standby.promote();
        } else {
            standby.thaw();
        }
        cluster.address.forward_to(standby.port());
        let promoted = connect(&PostgresConfig::new(standby.url(&cluster.name))).await;
        promoted.batch_execute(&insert(&format!("standby{round}"))).await.unwrap();
        let change = "UPDATE urls SET is_active = false; DELETE FROM urls WHERE short_code = 'beforeone'";
        promoted.batch_execute(change).await.unwrap();
        check_catches_up(&mut replica, &cluster.store, &promoted).await;
        assert!(!replica.links.contains_key("beforeone"));

        standby.freeze();
        cluster.primary.thaw();
        cluster.address.forward_to(cluster.primary.port());
        other.batch_execute(&insert(&format!("after{round}"))).await.unwrap();
        cluster.check(&mut replica, &cluster.store).await;
        assert_eq!(replica.snapshots, 1, "round {round}");
    }
    assert_eq!(replica.links.keys().collect::<Vec<_>>(), ["afterone", "aftertwo", "beforeone", "beforetwo"]);
}

/// Random changes, transactions, beats, cuts and checkpoints, before and after the standby falls behind.
#[tokio::test]
async fn random_failovers_lose_no_change_and_need_no_snapshot() {
    let seed = 7;
    let mut random = SmallRng::seed_from_u64(seed);
    let mut cluster = Cluster::start().await;
    let mut replicas = Vec::new();
    for entries in [20_000, 20_000, 3] {
        let config = PostgresConfig { delta_entries: entries, ..cluster.config.clone() };
        replicas.push((PostgresStore::new(&config).unwrap(), Replica::default()));
    }
    let mut lost = 0;
    for round in 0..5 {
        for (store, replica) in &mut replicas {
            eventually(async || store.ping().await).await;
            replica.catch_up(store).await.unwrap();
        }
        cluster.beat().await;
        let writer = cluster.connect().await;
        let mut long = None;
        let behind_from = random.random_range(0..60);
        for step in 0..60 {
            if step == behind_from {
                cluster.leave_standby_behind();
            }
            let code = format!("code{}", random.random_range(0..12));
            match random.random_range(0..20) {
                0..8 => {
                    let change = match random.random_range(0..4) {
                        0 => format!("DELETE FROM urls WHERE short_code = '{code}'"),
                        1 => format!(
                            "UPDATE urls SET short_code = 'former' || id || 'n{round}' WHERE short_code = '{code}'"
                        ),
                        _ => format!(
                            "{} ON CONFLICT (short_code) DO UPDATE SET original_url = 'https://example.com/{round}/{step}'",
                            insert(&code)
                        ),
                    };
                    writer.batch_execute(&change).await.unwrap();
                }
                8..10 if long.is_none() => {
                    let open = cluster.connect().await;
                    open.batch_execute(&format!("BEGIN; {}", insert(&format!("long{round}x{step}")))).await.unwrap();
                    long = Some(open);
                }
                8..10 => {
                    let end = if random.random_bool(0.8) { "COMMIT" } else { "ROLLBACK" };
                    long.take().unwrap().batch_execute(end).await.unwrap();
                }
                10 => use_up_transaction_ids(&writer, 5).await,
                11 => eventually(async || cluster.store.write_beat().await).await,
                12 => writer.batch_execute("CHECKPOINT").await.unwrap(),
                13 => {
                    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tern'";
                    writer.batch_execute(cut).await.unwrap();
                    eventually(async || cluster.store.ping().await).await;
                }
                // The last replica seldom reads.
                n => {
                    let (store, replica) = &mut replicas[if n == 19 { 2 } else { usize::from(n % 2 == 0) }];
                    eventually(async || store.ping().await).await;
                    let mut next = replica.clone();
                    if next.read_next(store).await.is_ok() {
                        *replica = next;
                    }
                }
            }
        }
        let count = "SELECT count(*), max(original_url), max(short_code) FROM urls";
        let before = cluster.primary.psql(&cluster.name, count);
        drop(long);
        cluster.fail_over();
        lost += u32::from(cluster.primary.psql(&cluster.name, count) != before);
        cluster.connect().await.batch_execute(&insert(&format!("after{round}"))).await.unwrap();
        for (n, (store, replica)) in replicas.iter_mut().enumerate() {
            cluster.check(replica, store).await;
            // The last replica reads in small parts, so it remembers few codes.
            assert!(n == 2 || replica.snapshots == 1, "seed {seed}, round {round}, replica {n}");
        }
        cluster.standby = Some(cluster.primary.standby());
    }
    assert!(lost > 0, "nothing was lost, so nothing is tested");
}
