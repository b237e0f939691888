//! Health, readiness and metrics of the process.

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

/// The state of the process
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` while the process runs, `ready` while it can answer requests.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the process runs
///
/// The answer does not depend on the database, which a restart of this process would not repair.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, body = Health, description = "The process runs")))]
pub(crate) async fn show_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the process can answer requests
#[utoipa::path(get, path = "/ready", tag = "operations", responses((status = 200, body = Health, description = "The process is ready")))]
pub(crate) async fn show_readiness(State(state): State<Arc<AppState>>) -> Result<Json<Health>> {
    if state.readiness.is_ending() {
        return Err(unavailable("Server is about to end", anyhow!("the process received a signal to end")));
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
