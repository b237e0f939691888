//! Opening a database: its schema, its address, and TLS.

use tern_common::store::postgres::{OpenError, migrate};
use tern_common::store::{LinkFeed, PostgresConfig, PostgresStore};
use tern_testkit::postgres::{Options, Postgres};

use crate::{check_unavailable, config, connect, eventually, store, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_migrations_all_succeed() {
    let config = PostgresConfig::new(Postgres::shared().create_database());
    let migrating: Vec<_> = (0..8)
        .map(|_| {
            let config = config.clone();
            tokio::spawn(async move { migrate(&config).await })
        })
        .collect();
    for task in migrating {
        task.await.unwrap().unwrap();
    }
    let store = PostgresStore::open(&config).await.unwrap();
    user(&store, "ada").await;
}

#[tokio::test]
async fn older_schema_is_refused_with_the_migrate_command() {
    let config = PostgresConfig::new(Postgres::shared().create_database());
    let refused = PostgresStore::open(&config).await.unwrap_err();
    assert!(matches!(refused, OpenError::Older), "{refused}");
    assert!(refused.to_string().contains("run `tern-admin migrate`"), "{refused}");
}

#[tokio::test]
async fn newer_schema_is_refused_unchanged() {
    let config = config(Postgres::shared()).await;
    let newer = "INSERT INTO refinery_schema_history
                 SELECT 9999, 'from_the_future', applied_on, checksum FROM refinery_schema_history LIMIT 1";
    connect(&config).await.batch_execute(newer).await.unwrap();
    let refused = PostgresStore::open(&config).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer), "{refused}");
    let refused = migrate(&config).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer), "{refused}");
}

#[tokio::test]
async fn schema_from_before_the_first_release_is_refused_with_advice() {
    let config = config(Postgres::shared()).await;
    let older = "UPDATE refinery_schema_history SET name = 'users_urls', checksum = '1' WHERE version = 1;
                 INSERT INTO refinery_schema_history
                 SELECT 12, 'seal_key', applied_on, checksum FROM refinery_schema_history LIMIT 1";
    connect(&config).await.batch_execute(older).await.unwrap();
    for refused in [PostgresStore::open(&config).await.unwrap_err(), migrate(&config).await.unwrap_err()] {
        assert!(matches!(refused, OpenError::Unreleased), "{refused}");
    }
}

#[tokio::test]
async fn database_with_encoding_other_than_utf8_is_refused() {
    let server = Postgres::shared();
    server.psql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let refused = migrate(&PostgresConfig::new(server.url("latin"))).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database has the encoding LATIN1, and Tern needs UTF8");
}

#[tokio::test]
async fn invalid_database_url_is_refused_without_its_password() {
    let refused = PostgresStore::open(&PostgresConfig::new("postgres://ada:secret@host:port/db")).await.unwrap_err();
    assert!(matches!(refused, OpenError::Url(_)), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("secret"));
    assert!(!format!("{:?}", PostgresConfig::new("postgres://ada:secret@host/db")).contains("secret"));
}

#[tokio::test]
async fn store_made_before_its_database_starts_recovers() {
    let server = Postgres::start_new(&Options::default());
    let config = config(&server).await;
    server.stop();
    assert!(matches!(PostgresStore::open(&config).await, Err(OpenError::Unavailable(_))));
    let store = PostgresStore::new(&config).unwrap();
    check_unavailable(store.ping()).await;
    server.start();
    eventually(async || store.check_schema().await).await;
    store.ping().await.unwrap();
}

#[tokio::test]
async fn tls_when_required_encrypts_and_verifies_the_server() {
    let server = Postgres::start_new(&Options { tls: true, ..Options::default() });
    let (plain_store, plain) = store(&server).await;
    let url = format!("{}?sslmode=require", plain.url);
    let trusting = PostgresConfig { root_certificates: Some(server.certificate()), ..PostgresConfig::new(&url) };
    migrate(&trusting).await.unwrap();
    let store = PostgresStore::open(&trusting).await.unwrap();
    store.ping().await.unwrap();
    let unencrypted = "SELECT count(*) FILTER (WHERE ssl) > 1, count(*) FILTER (WHERE NOT ssl)
                       FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = 'test0' AND usename = 'tern'";
    drop(plain_store);
    eventually(async || match server.psql("postgres", unencrypted).trim() {
        "t|0" => Ok(()),
        other => Err(other.to_owned()),
    })
    .await;

    // The system's certificates do not include the server's authority.
    let refused = PostgresStore::open(&PostgresConfig::new(&url)).await;
    assert!(matches!(refused, Err(OpenError::Unavailable(_))), "{refused:?}");
    let nowhere = PostgresConfig { root_certificates: Some("/nowhere.pem".into()), ..trusting };
    assert!(matches!(PostgresStore::open(&nowhere).await, Err(OpenError::Certificates { .. })));
}

#[tokio::test]
async fn owner_of_the_database_creates_the_extension_and_another_role_needs_it_first() {
    let server = Postgres::shared();
    server.psql("postgres", "CREATE ROLE tern_owner LOGIN; CREATE ROLE tern_guest LOGIN");
    server.psql("postgres", "CREATE DATABASE owned OWNER tern_owner");
    server.psql("postgres", "CREATE DATABASE visited");
    let as_role = |role: &str, database| server.url(database).replace("//tern@", &format!("//{role}@"));
    migrate(&PostgresConfig::new(as_role("tern_owner", "owned"))).await.unwrap();
    // A role with a schema of its own, but without the right to create objects in the database.
    server.psql("visited", "GRANT ALL ON SCHEMA public TO tern_guest");
    let guest = PostgresConfig::new(as_role("tern_guest", "visited"));
    let refused = migrate(&guest).await.unwrap_err();
    assert!(matches!(refused, OpenError::Extension(_)), "{refused}");
    assert!(refused.to_string().contains("CREATE EXTENSION pg_trgm"), "{refused}");
    server.psql("visited", "CREATE EXTENSION pg_trgm");
    migrate(&guest).await.unwrap();
}
