//! Whether the process lives, and whether it can do its work.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::error::{DATABASE_IS_UNAVAILABLE, Result, unavailable};
use crate::state::AppState;

/// Never asks the database: restarting this process would not bring it back.
pub(crate) async fn show_health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(crate) async fn show_readiness(State(state): State<AppState>) -> Result<Json<Value>> {
    state.store.ping().await.map_err(|error| unavailable(DATABASE_IS_UNAVAILABLE, error))?;
    Ok(Json(json!({ "status": "ready" })))
}
