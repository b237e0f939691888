//! Codes that were asked for although no link has them.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use tern_common::missed_code::MissedCode;
use tern_common::store::Page;
use utoipa::IntoParams;

use crate::http::answer::Json;
use crate::http::error::Result;
use crate::http::query::{Clamped, Query};
use crate::state::AppState;

/// The size of an answer
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitParameter {
    /// The number of codes. A number outside the bounds is read as the nearest within them.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20, example = 20)]
    limit: Option<Clamped<{ Page::MAX_SIZE as u64 }>>,
}

/// Codes that were asked for although no link has them, most asked first
///
/// A code appears some seconds after the request, and is omitted once a link has it. After 30 days without a request it is
/// forgotten. A token of a user may not read them, because they belong to no user.
#[utoipa::path(
    get,
    path = "/stats/misses",
    tag = "links",
    params(LimitParameter),
    responses((status = 200, body = [MissedCode], description = "The codes, most asked first"))
)]
pub(crate) async fn list_misses(
    State(state): State<Arc<AppState>>,
    Query(LimitParameter { limit }): Query<LimitParameter>,
) -> Result<Json<Vec<MissedCode>>> {
    let limit = limit.and_then(|Clamped(limit)| limit.try_into().ok()).unwrap_or(Page::DEFAULT_SIZE);
    Ok(Json(state.store.list_misses(limit).await?))
}
