//! Whether the process lives, and whether it can do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{DATABASE_IS_UNAVAILABLE, Result, unavailable};
use crate::shared_look::SharedLook;
use crate::state::AppState;

/// The last look at whether the database answers, which everybody may ask for.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<SharedLook>);

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
    state
        .readiness
        .0
        .look(async || state.store.ping().await)
        .await
        .map_err(|error| unavailable(DATABASE_IS_UNAVAILABLE, error))?;
    Ok(Json(Health { status: "ready" }))
}
