//! A pooler between Tern and PostgreSQL.

use tern_common::store::postgres::{OpenError, migrate};
use tern_common::store::{LinkFeed, PostgresConfig, PostgresStore};
use tern_testkit::pgbouncer::PgBouncer;
use tern_testkit::postgres::Postgres;

use crate::{config, user};

/// Returns the configuration of a database through a pooler.
fn through(pooler: &PgBouncer, config: &PostgresConfig) -> PostgresConfig {
    PostgresConfig::new(pooler.url(config.url.rsplit('/').next().unwrap()))
}

#[tokio::test]
async fn pooler_in_transaction_mode_is_refused_as_a_setting() {
    let config = config(Postgres::shared()).await;
    let pooler = PgBouncer::start(Postgres::shared(), "transaction");
    let pooled = through(&pooler, &config);
    let refused = [PostgresStore::open(&pooled).await.unwrap_err(), migrate(&pooled).await.unwrap_err()];
    for refused in refused {
        assert!(matches!(refused, OpenError::Pooler) && refused.is_of_settings(), "{refused}");
        assert!(refused.to_string().contains("connect to PostgreSQL itself"), "{refused}");
    }
}

#[tokio::test]
async fn pooler_that_refuses_a_startup_parameter_is_refused_as_a_setting() {
    let config = config(Postgres::shared()).await;
    let pooler = PgBouncer::start(Postgres::shared(), "transaction");
    let pooled = PostgresConfig::new(format!("{}?options=-cwork_mem%3D8MB", through(&pooler, &config).url));
    let refused = PostgresStore::open(&pooled).await.unwrap_err();
    assert!(matches!(refused, OpenError::Parameter(_)) && refused.is_of_settings(), "{refused}");
    assert!(refused.to_string().contains("(unsupported startup parameter: options)"), "{refused}");
}

#[tokio::test]
async fn pooler_in_session_mode_is_accepted() {
    let config = config(Postgres::shared()).await;
    let pooler = PgBouncer::start(Postgres::shared(), "session");
    let pooled = through(&pooler, &config);
    migrate(&pooled).await.unwrap();
    let store = PostgresStore::open(&pooled).await.unwrap();
    user(&store, "ada").await;
    store.ping().await.unwrap();
}
