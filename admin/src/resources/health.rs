//! Whether the process lives, and whether it can do its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::answer::Json;
use crate::http::error::{DATABASE_IS_UNAVAILABLE, Result, unavailable};
use crate::shared_look::SharedLook;
use crate::state::AppState;

/// Whether the process takes part: not once it leaves, nor while the database does not answer.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_leaving: AtomicBool,
    /// At the database, which everybody may ask for.
    look: SharedLook,
}

impl Readiness {
    /// Whoever asks from here on is told to turn elsewhere.
    pub fn leave(&self) {
        self.0.is_leaving.store(true, Ordering::Relaxed);
    }
}

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
    let readiness = &state.readiness.0;
    if readiness.is_leaving.load(Ordering::Relaxed) {
        return Err(unavailable("Server is about to end", anyhow!("it was told to end")));
    }
    readiness
        .look
        .look(async || state.store.ping().await)
        .await
        .map_err(|error| unavailable(DATABASE_IS_UNAVAILABLE, error))?;
    Ok(Json(Health { status: "ready" }))
}
