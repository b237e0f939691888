//! Audit entries: who changed which link when, and what the link was before.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use tern_common::audit::{AuditEntry, AuditFilter};
use tern_common::store::Listing;

use crate::access::Caller;
use crate::http::error::Result;
use crate::http::query::Query;
use crate::list::{ListQuery, PageParameters};
use crate::state::AppState;

/// Changes of links, by id
///
/// Each creation, change and deletion of a link, with the link before and after it.
#[utoipa::path(
    get,
    path = "/audit",
    tag = "links",
    params(
        PageParameters,
        AuditFilter,
    ),
    responses(
        (status = 200, body = [AuditEntry], description = "A page of entries", headers(("X-Total-Count"), ("Link"))),
    )
)]
pub(crate) async fn list_audit(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    query: ListQuery,
    Query(mut filter): Query<AuditFilter>,
) -> Result<Response> {
    if !caller.limit(&mut filter.user_id) {
        return Ok(query.answer(Listing::<AuditEntry>::empty(), &state.store));
    }
    Ok(query.answer(state.store.list_audit(filter, query.page).await?, &state.store))
}
