//! Migrations, and the check of the schema.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connections::Connections;
use super::open::{OpenError, PostgresConfig};
use super::pooler;
use super::privileges::close_functions;
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("../migrations/postgres");
}

/// The advisory lock under which one process migrates: "TERN" twice.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"TERNTERN");

/// Brings the schema up to date, one process at a time. A schema newer than this build is not changed.
pub async fn migrate(config: &PostgresConfig) -> Result<(), OpenError> {
    let failed = |error: tokio_postgres::Error| OpenError::from(StoreError::from(error));
    let connections = Connections::new(&PostgresConfig { statement_timeout: Duration::ZERO, ..config.clone() })?;
    connections.check_sessions().await?;
    let mut client = connections.connect_for_long().await.map_err(pooler::explain)?;
    // Migrations may take long, so the limit of the connection is removed.
    client.batch_execute("SET statement_timeout = 0").await.map_err(failed)?;
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await.map_err(failed)?.get(0);
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    // The lock belongs to the session, so the server releases it when the connection closes.
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(failed)?;
    // `pg_trgm` is a trusted extension since PostgreSQL 13: a role with CREATE on the database may install it.
    client.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_trgm").await.map_err(|error| match error.code() {
        // The role lacks the privilege, or the server has no such extension.
        Some(&SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::FEATURE_NOT_SUPPORTED | &SqlState::UNDEFINED_FILE) => {
            OpenError::Extension(error.into())
        }
        _ => failed(error),
    })?;
    use refinery::error::Kind;
    match embedded::migrations::runner().run_async(&mut *client).await {
        Ok(_) => Ok(close_functions(&*client).await?),
        Err(error) => Err(match error.kind() {
            Kind::MissingVersion(_) => OpenError::Newer,
            Kind::DivergentVersion(..) => OpenError::Unreleased,
            _ => OpenError::Migration(error.into()),
        }),
    }
}

/// Checks that the schema is the one of this build.
pub(super) async fn check_schema(client: &Client) -> Result<(), OpenError> {
    let history = "SELECT max(version), max(checksum) FILTER (WHERE version = 1) FROM refinery_schema_history";
    let (found, first): (Option<i32>, Option<String>) = match client.query_one(history, &[]).await {
        Ok(row) => (row.try_get(0).map_err(StoreError::from)?, row.try_get(1).map_err(StoreError::from)?),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => (None, None),
        Err(error) => return Err(StoreError::from(error).into()),
    };
    let runner = embedded::migrations::runner();
    let ours = runner.get_migrations();
    let is_ours = |checksum: String| ours.iter().any(|it| it.version() == 1 && it.checksum().to_string() == checksum);
    if first.is_some_and(|checksum| !is_ours(checksum)) {
        return Err(OpenError::Unreleased);
    }
    match found.cmp(&ours.iter().map(refinery::Migration::version).max()) {
        std::cmp::Ordering::Less => Err(OpenError::Older),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(OpenError::Newer),
    }
}
