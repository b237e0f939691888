//! Tags of links, with the numbers of their links.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use tern_common::store::Listing;
use tern_common::tag_count::{TagCount, TagCursor, TagFilter};

use crate::access::Caller;
use crate::http::error::Result;
use crate::http::query::Query;
use crate::list::{ListQuery, PageParameters};
use crate::state::AppState;

/// Tags, by code point
///
/// Each tag of a link, with the number of its links. A token of a user counts only links of that user.
#[utoipa::path(
    get,
    path = "/tags",
    tag = "links",
    params(
        PageParameters,
        TagFilter,
    ),
    responses((status = 200, body = [TagCount], description = "A page of tags", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_tags(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    query: ListQuery<TagCursor>,
    Query(mut filter): Query<TagFilter>,
) -> Result<Response> {
    if !caller.limit(&mut filter.user_id) {
        return Ok(query.answer_whole(&Listing::<TagCount, _>::empty()));
    }
    Ok(query.answer_whole(&state.store.list_tags(filter, query.page.clone()).await?))
}
