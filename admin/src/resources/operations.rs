//! Whether the process lives, whether it can do its work, and its metrics.

use std::sync::Arc;

use anyhow::anyhow;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::answer::Json;
use crate::http::error::{DATABASE_IS_UNAVAILABLE, Result, unavailable};
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
pub(crate) async fn show_readiness(State(state): State<Arc<AppState>>) -> Result<Json<Health>> {
    if state.readiness.is_leaving() {
        return Err(unavailable("Server is about to end", anyhow!("it was told to end")));
    }
    let checked = state.readiness.check(&*state.store).await;
    checked.map_err(|error| unavailable(DATABASE_IS_UNAVAILABLE, error))?;
    Ok(Json(Health { status: "ready" }))
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((
        status = 200,
        body = String,
        content_type = "text/plain",
        description = "The text format of Prometheus, version 0.0.4",
        example = "tern_admin_http_requests_total{method=\"GET\",route=\"/users\",status=\"200\"} 1"
    ))
)]
pub(crate) async fn show_metrics(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.text())
}
