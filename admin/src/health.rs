//! Whether the process lives, and whether it can do its work.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{DATABASE_IS_UNAVAILABLE, Result, unavailable};
use crate::state::AppState;

/// How the process is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` while the process runs, `ready` when it can do its work.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the process runs
///
/// Also with the database away: restarting this process would not bring it back.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, body = Health, description = "It runs")))]
pub(crate) async fn show_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether it can do its work
#[utoipa::path(get, path = "/ready", tag = "operations", responses((status = 200, body = Health, description = "It can")))]
pub(crate) async fn show_readiness(State(state): State<AppState>) -> Result<Json<Health>> {
    state.store.ping().await.map_err(|error| unavailable(DATABASE_IS_UNAVAILABLE, error))?;
    Ok(Json(Health { status: "ready" }))
}
