//! Urls. A change is announced, and answered when the redirectors serve it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tern_common::Id;
use tern_common::store::{Listing, Reused, UrlCursor};
use tern_common::url::{Url, UrlChange, UrlFilter};

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::Body;
use crate::http::conditions::{Conditions, etag};
use crate::http::error::Result;
use crate::http::ignored::IgnoredNames;
use crate::http::query::{PathId, Query};
use crate::list::{ListQuery, PageParameters, SortParameter};
use crate::resources::new_link::NewLink;
use crate::resources::shown_url::{ShortOrigin, ShownUrl};
use crate::resources::url_requests::{CreateOptions, CreateUrl, UpdateUrl};
use crate::row::{self, Row as _};
use crate::state::{AppState, VisibleHeader};

/// Fields of a link that its clients read and cannot write. A write ignores them, so that an answer can be sent back.
const READ_ONLY: [&str; 10] = [
    "id",
    "short_url",
    "state",
    "revision",
    "clicks",
    "last_clicked_at",
    "clicks_left",
    "imported_clicks",
    "created_at",
    "updated_at",
];

/// A link in an answer, with its revision in `ETag`.
pub(super) type LinkAnswer = ([(HeaderName, HeaderValue); 1], Json<ShownUrl>);

pub(super) fn answer_link(link: ShownUrl) -> LinkAnswer {
    ([etag(link.revision())], Json(link))
}

/// Links, by id unless `sort` names another order
#[utoipa::path(
    get,
    path = "/urls",
    tag = "links",
    params(
        PageParameters,
        UrlFilter,
        SortParameter,
    ),
    responses((status = 200, body = [ShownUrl], description = "A page of links", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_urls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    query: ListQuery<UrlCursor>,
    Query(mut filter): Query<UrlFilter>,
    Query(sort): Query<SortParameter>,
    origin: ShortOrigin,
) -> Result<Response> {
    let sort = sort.of(&query)?;
    if !caller.limit(&mut filter.user_id) {
        return Ok(query.answer(Listing::<Url, _>::empty(), &state.store));
    }
    let listing = state.store.list_urls(filter, sort, query.page.clone()).await?;
    Ok(query.answer_written(listing, &state.store, origin.writer()))
}

/// Create a link
#[utoipa::path(
    post,
    path = "/urls",
    tag = "links",
    params(CreateOptions),
    request_body = CreateUrl,
    responses(
        (status = 200, body = ShownUrl, description = "An existing link, with `reuse`", headers(("ETag"))),
        (status = 201, body = ShownUrl, description = "The new link", headers(("Tern-Visible"), ("ETag"))),
        (status = 404),
        (status = 409),
    )
)]
pub(crate) async fn create_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    origin: ShortOrigin,
    ignored: Option<Extension<IgnoredNames>>,
    Query(CreateOptions { reuse }): Query<CreateOptions>,
    Body(body): Body<CreateUrl>,
) -> Result<Response> {
    forgive_read_only(ignored, &[]);
    let (visible, link) = create(&state, &caller, body, reuse == Some(true)).await?;
    let status = if visible.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, visible, answer_link(origin.show(link))).into_response())
}

/// Creates a link, or with `reuse` finds one. An existing link has no header, since nothing changed.
pub(crate) async fn create(
    state: &AppState,
    caller: &Caller,
    body: CreateUrl,
    reuse: bool,
) -> Result<(Option<VisibleHeader>, Url)> {
    let (link, wanted) = NewLink::of(body, state, caller)?;
    let created = if reuse {
        // An existing link is fulfilling only if it has the given code.
        let wanted = UrlChange { short_code: link.given_code.clone(), ..wanted };
        match link.insert(state, |url| state.store.reuse_url(url, wanted.clone())).await? {
            Reused::Found(link) => return Ok((None, link)),
            Reused::Created(created) => created,
        }
    } else {
        link.insert(state, |url| state.store.insert_url(url)).await?
    };
    Ok((Some(state.announce(&created.mark).await), created.value))
}

/// One link
#[utoipa::path(
    get,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses(
        (status = 200, body = ShownUrl, description = "The link", headers(("ETag"))),
        (status = 304, description = "The revision is one of `If-None-Match`", headers(("ETag"))),
    )
)]
pub(crate) async fn find_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    conditions: Conditions,
    origin: ShortOrigin,
) -> Result<Response> {
    let link = row::own(state.store.find_url(id).await?, id, &caller)?;
    if conditions.is_known(link.revision) {
        return Ok((StatusCode::NOT_MODIFIED, [etag(link.revision)]).into_response());
    }
    Ok(answer_link(origin.show(link)).into_response())
}

/// Change a link
///
/// Fields that are not given do not change. `PUT` and `PATCH` mean the same.
#[utoipa::path(
    method(put, patch),
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    request_body = UpdateUrl,
    responses(
        (status = 200, body = ShownUrl, description = "The whole link, changed", headers(("Tern-Visible"), ("ETag"))),
        (status = 409),
        (status = 412),
    )
)]
pub(crate) async fn update_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    conditions: Conditions,
    origin: ShortOrigin,
    ignored: Option<Extension<IgnoredNames>>,
    Body(body): Body<UpdateUrl>,
) -> Result<(VisibleHeader, LinkAnswer)> {
    forgive_read_only(ignored, &["user_id"]);
    let (visible, link) = change(&state, &caller, id, body, conditions.if_match).await?;
    Ok((visible, answer_link(origin.show(link))))
}

/// Changes a link that the caller may see and that has one of the given revisions.
pub(crate) async fn change(
    state: &AppState,
    caller: &Caller,
    id: Id,
    body: UpdateUrl,
    if_revision: Option<Vec<i64>>,
) -> Result<(VisibleHeader, Url)> {
    check_owner(state, caller, id).await?;
    let change = UrlChange { if_revision, ..body.into_change(&state.config.own_addresses)? };
    let url = state.store.update_url(id, change).await?.ok_or_else(|| Url::missing(id))?;
    Ok((state.announce(&url.mark).await, url.value))
}

/// Leaves fields that an answer has and a write ignores out of `Tern-Ignored`.
pub(super) fn forgive_read_only(ignored: Option<Extension<IgnoredNames>>, others: &[&str]) {
    if let Some(Extension(ignored)) = ignored {
        ignored.forgive(&READ_ONLY);
        ignored.forgive(others);
    }
}

/// Delete a link
///
/// Its short code no longer redirects, and its events are deleted.
#[utoipa::path(
    delete,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses((status = 204, description = "Deleted", headers(("Tern-Visible"))), (status = 412))
)]
pub(crate) async fn delete_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    conditions: Conditions,
) -> Result<(StatusCode, VisibleHeader, ())> {
    let visible = delete(&state, &caller, id, conditions.if_match).await?;
    Ok((StatusCode::NO_CONTENT, visible, ()))
}

/// Deletes a link that the caller may see and that has one of the given revisions.
pub(crate) async fn delete(
    state: &AppState,
    caller: &Caller,
    id: Id,
    if_revision: Option<Vec<i64>>,
) -> Result<VisibleHeader> {
    check_owner(state, caller, id).await?;
    let deleted = state.store.delete_url(id, if_revision).await?.ok_or_else(|| Url::missing(id))?;
    Ok(state.announce(&deleted.mark).await)
}

/// Answers 404 for a link that the caller may not see. The owner of a link does not change, so a later change is safe.
pub(crate) async fn check_owner(state: &AppState, caller: &Caller, id: Id) -> Result<()> {
    if caller.owner().is_some() {
        row::own(state.store.find_url(id).await?, id, caller)?;
    }
    Ok(())
}
