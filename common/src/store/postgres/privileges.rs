//! Which roles may call functions that run in the name of their owner.

use tokio_postgres::GenericClient;

use crate::store::{Result, StoreError};

/// Takes those functions from the roles that were never granted them, as every role has them after a restore without
/// privileges.
pub(super) async fn close_functions(db: &impl GenericClient) -> Result<()> {
    let row = db.query_one("SELECT close_functions()", &[]).await.map_err(StoreError::from)?;
    let functions: i32 = row.try_get(0)?;
    if functions > 0 {
        tracing::warn!(
            functions,
            "functions were executable by every role, as after a restore without privileges; they are closed now; \
             if a redirector has a role of its own, run deploy/postgres/redirector-role.sql"
        );
    }
    Ok(())
}
