//! The operations port of an admin.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tern_serving::with_operations_layers;

use crate::resources::operations;
use crate::state::AppState;

/// Builds the routes of the operations port. They need no token, and answer while the API port is full.
pub fn operations_router(state: Arc<AppState>) -> Router {
    let hosts = state.config.ops_hosts.clone();
    let routes = Router::new()
        .route("/live", get(operations::show_health))
        .route("/health", get(operations::show_health))
        .route("/ready", get(operations::show_readiness))
        .route("/metrics", get(operations::show_metrics))
        .with_state(state);
    with_operations_layers(routes, hosts)
}
