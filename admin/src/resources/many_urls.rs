//! Changes and deletions of many links, each of them whole or not at all.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tern_common::Id;
use tern_common::store::{Change, StoreError, Total, UrlSelection};
use tern_common::url::UrlFilter;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::Body;
use crate::http::error::{Result, bad_request};
use crate::http::ignored::IgnoredNames;
use crate::http::query::RowId;
use crate::resources::url_requests::UpdateUrl;
use crate::resources::urls::forgive_read_only;
use crate::state::AppState;

/// The links to change, and their change
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({ "ids": [7, 8], "set": { "is_active": false } }))]
pub(crate) struct ChangeUrls {
    /// The ids of the links; excludes `filter`.
    #[schema(value_type = Vec<Id>, required = false, max_items = 10_000)]
    ids: Option<Vec<RowId>>,
    /// The filters of `GET /urls`, at least one of them; excludes `ids`.
    #[schema(value_type = FilterObject, required = false)]
    filter: Option<UrlFilter>,
    /// The number of links that match the filter; with another number, nothing happens.
    #[schema(nullable = false, maximum = 10_000, example = 2)]
    expect: Option<u64>,
    /// The change of each link.
    set: UpdateUrl,
}

/// The links to delete
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({ "filter": { "tag": "old", "is_active": false }, "expect": 2 }))]
pub(crate) struct DeleteUrls {
    /// The ids of the links; excludes `filter`.
    #[schema(value_type = Vec<Id>, required = false, max_items = 10_000)]
    ids: Option<Vec<RowId>>,
    /// The filters of `GET /urls`, at least one of them; excludes `ids`.
    #[schema(value_type = FilterObject, required = false)]
    filter: Option<UrlFilter>,
    /// The number of links that match the filter; with another number, nothing happens.
    #[schema(nullable = false, maximum = 10_000, example = 2)]
    expect: Option<u64>,
}

/// The filters of `GET /urls` as an object, described by the parameters of that list.
struct FilterObject;

impl PartialSchema for FilterObject {
    fn schema() -> RefOr<Schema> {
        let parameters = UrlFilter::into_params(|| Some(ParameterIn::Query));
        let object = parameters.into_iter().fold(ObjectBuilder::new(), |object, parameter| {
            let schema = match parameter.schema {
                Some(RefOr::T(Schema::Array(array))) => {
                    let text = ObjectBuilder::new().schema_type(Type::String).examples([json!("summer")]);
                    RefOr::T(OneOfBuilder::new().item(text).item(array).into())
                }
                Some(schema) => schema,
                None => return object,
            };
            object.property(parameter.name, schema)
        });
        object.examples([json!({ "is_active": false })]).into()
    }
}

impl ToSchema for FilterObject {}

/// The number of links that were changed
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    #[schema(example = 2)]
    changed: u64,
}

/// The number of links that were deleted
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    #[schema(example = 2)]
    deleted: u64,
}

/// Change many links
///
/// All of them change, or none: an unknown id is a 404, another number than `expect` a 409, and a change that one link
/// refuses a 400 that names the link.
#[utoipa::path(
    patch,
    path = "/urls",
    tag = "links",
    request_body = ChangeUrls,
    responses(
        (status = 200, body = Changed, description = "The number of changed links", headers(("Tern-Visible"))),
        (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn change_urls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    ignored: Option<Extension<IgnoredNames>>,
    Body(ChangeUrls { ids, filter, expect, set }): Body<ChangeUrls>,
) -> Result<Response> {
    forgive_read_only(ignored, &["user_id"]);
    let done = change(&state, select(&caller, ids, filter, expect)?, set).await?;
    Ok(answer(&state, done, |changed| Changed { changed }).await)
}

/// Changes the selected links.
async fn change(state: &AppState, selection: Option<UrlSelection>, set: UpdateUrl) -> Result<Option<Change<u64>>> {
    let change = set.into_change(&state.config.own_addresses)?;
    match selection {
        Some(selection) => Ok(Some(state.store.update_urls(selection, change).await?)),
        None => Ok(None),
    }
}

/// Changes each link that matches the filter, if their number is the expected one, and waits for redirectors to serve it.
pub(crate) async fn change_matching(
    state: &AppState,
    caller: &Caller,
    filter: UrlFilter,
    expect: u64,
    set: UpdateUrl,
) -> Result<()> {
    let done = change(state, select(caller, None, Some(filter), Some(expect))?, set).await?;
    if let Some(Change { mark, .. }) = done {
        state.announce(&mark).await;
    }
    Ok(())
}

/// Delete many links
///
/// All of them are deleted, or none, as with a change of many links. Links with more than 100,000 events together are
/// not deleted at once.
#[utoipa::path(
    delete,
    path = "/urls",
    tag = "links",
    request_body = DeleteUrls,
    responses(
        (status = 200, body = Deleted, description = "The number of deleted links", headers(("Tern-Visible"))),
        (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn delete_urls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(DeleteUrls { ids, filter, expect }): Body<DeleteUrls>,
) -> Result<Response> {
    let done = match select(&caller, ids, filter, expect)? {
        Some(selection) => Some(state.store.delete_urls(selection).await?),
        None => None,
    };
    Ok(answer(&state, done, |deleted| Deleted { deleted }).await)
}

/// Returns the selected links within the rows of the caller; `None` for none.
fn select(
    caller: &Caller,
    ids: Option<Vec<RowId>>,
    filter: Option<UrlFilter>,
    expect: Option<u64>,
) -> Result<Option<UrlSelection>> {
    const MAX: usize = UrlSelection::MAX;
    match (ids, filter) {
        (Some(ids), None) => {
            if ids.len() > MAX {
                return Err(bad_request(format!("ids must be at most {MAX}")));
            }
            let ids: Vec<Id> = ids.into_iter().map(RowId::get).collect::<Result<_>>()?;
            Ok((!ids.is_empty()).then_some(UrlSelection::Ids { ids, owner: caller.owner() }))
        }
        (None, Some(mut filter)) => {
            let Some(expect) = expect else {
                return Err(bad_request("expect is required with filter: the number of links that match"));
            };
            if filter == (UrlFilter { tag_mode: filter.tag_mode, ..UrlFilter::default() }) {
                return Err(bad_request("filter must have at least one of the filters of GET /urls"));
            }
            if expect > MAX as u64 {
                return Err(bad_request(format!("expect must be at most {MAX}")));
            }
            match (caller.limit(&mut filter.user_id), expect) {
                (true, _) => Ok(Some(UrlSelection::Filter { filter, expect })),
                (false, 0) => Ok(None),
                (false, expected) => Err(StoreError::OtherCount { expected, found: Total::Exactly(0) }.into()),
            }
        }
        (Some(_), Some(_)) => Err(bad_request("ids and filter exclude each other")),
        (None, None) => Err(bad_request("ids is required, or filter with expect")),
    }
}

/// Answers with a number of links, once redirectors serve their change.
async fn answer<T: Serialize>(state: &AppState, done: Option<Change<u64>>, body: impl Fn(u64) -> T) -> Response {
    match done {
        Some(Change { value, mark }) if value > 0 => (state.announce(&mark).await, Json(body(value))).into_response(),
        _ => Json(body(0)).into_response(),
    }
}
