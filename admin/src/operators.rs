//! The admin's port for probes and monitors.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tern_serving::with_operator_layers;

use crate::resources::operations;
use crate::state::AppState;

/// The port for probes and monitors: it answers however many connections the API's port has, and asks for no token.
pub fn operators_router(state: Arc<AppState>) -> Router {
    let hosts = state.config.ops_hosts.clone();
    let routes = Router::new()
        .route("/live", get(operations::show_health))
        .route("/health", get(operations::show_health))
        .route("/ready", get(operations::show_readiness))
        .route("/metrics", get(operations::show_metrics))
        .with_state(state);
    with_operator_layers(routes, hosts)
}
