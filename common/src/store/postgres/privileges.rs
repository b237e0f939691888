//! Privileges on functions that run as their owner.

use tokio_postgres::GenericClient;

use crate::store::{Result, StoreError};

/// Revokes the functions that run as their owner from all roles without a grant.
///
/// A restore without privileges grants them to every role.
pub(super) async fn close_functions(db: &impl GenericClient) -> Result<()> {
    let row = db.query_one("SELECT close_functions()", &[]).await.map_err(StoreError::from)?;
    let functions: i32 = row.try_get(0)?;
    if functions > 0 {
        tracing::warn!(
            functions,
            "every role could call the owner's functions, as after a restore without privileges; \
             the privilege is revoked; if redirectors have their own role, run deploy/postgres/redirector-role.sql"
        );
    }
    Ok(())
}
