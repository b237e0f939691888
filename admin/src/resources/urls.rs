//! Urls. A change is announced, and answered when the redirectors serve it.

use std::sync::Arc;

use anyhow::anyhow;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tern_common::link_labels::LinkLabels;
use tern_common::store::{Change, StoreError};
use tern_common::url::{NewUrl, Title, Url, UrlChange, UrlFilter};
use tern_common::{Id, ShortCode, TargetUrl, Timestamp};
use utoipa::ToSchema;

use crate::http::answer::JsonBody;
use crate::http::body::Body;
use crate::http::error::{Result, bad_request, unavailable};
use crate::http::query::{PathId, Query, RowId};
use crate::list::{ListQuery, PageParameters};
use crate::row::{self, Row as _};
use crate::state::{AppState, VisibleHeader};

/// The most codes that are tried for a link. If all exist already, the codes are too short.
const ATTEMPTS: usize = 10;

/// A link to create
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateUrl {
    /// The owner of the link.
    #[schema(value_type = Id)]
    user_id: RowId,
    original_url: TargetUrl,
    title: Option<Option<Title>>,
    /// The end of the link, in any zone; UTC where none is given. It must be in the future.
    #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
    expires_at: Option<Option<Timestamp>>,
}

/// The changes to a link
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct UpdateUrl {
    /// `null` removes the title.
    title: Option<Option<Title>>,
    /// Whether the link redirects; a request for an inactive link is answered 410.
    #[schema(nullable = false, example = false)]
    is_active: Option<bool>,
    /// The new target, with the rules for a new link.
    #[schema(nullable = false)]
    original_url: Option<TargetUrl>,
    /// The end of the link; a past time ends it now, and `null` removes the end.
    #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
    expires_at: Option<Option<Timestamp>>,
}

/// Links, by id
#[utoipa::path(
    get,
    path = "/urls",
    tag = "links",
    params(
        PageParameters,
        UrlFilter,
    ),
    responses((status = 200, body = [Url], description = "A page of links", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_urls(
    State(state): State<Arc<AppState>>,
    query: ListQuery,
    Query(filter): Query<UrlFilter>,
) -> Result<Response> {
    Ok(query.answer(state.store.list_urls(filter, query.page).await?, &state.store))
}

/// Create a link under a new short code
#[utoipa::path(
    post,
    path = "/urls",
    tag = "links",
    request_body = CreateUrl,
    responses(
        (status = 201, body = Url, description = "The new link", headers(("Tern-Visible"))),
        (status = 404),
    )
)]
pub(crate) async fn create_url(
    State(state): State<Arc<AppState>>,
    Body(body): Body<CreateUrl>,
) -> Result<(StatusCode, VisibleHeader, JsonBody<Url>)> {
    let user_id = body.user_id.get()?;
    let original_url = check_target(&state, body.original_url)?;
    let expires_at = body.expires_at.flatten();
    if expires_at.is_some_and(|end| end <= Timestamp::now()) {
        return Err(bad_request("expires_at must be in the future"));
    }
    let title = body.title.flatten();
    let url = insert_under_new_code(&state, |short_code| NewUrl {
        user_id,
        short_code,
        original_url: original_url.clone(),
        title: title.clone(),
        expires_at,
        labels: LinkLabels::default(),
    })
    .await?;
    let visible = state.announce(&url.mark).await;
    Ok((StatusCode::CREATED, visible, JsonBody(url.value)))
}

/// One link
#[utoipa::path(
    get,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses((status = 200, body = Url, description = "The link"))
)]
pub(crate) async fn find_url(State(state): State<Arc<AppState>>, PathId(id): PathId) -> Result<JsonBody<Url>> {
    row::find(&*state.store, id).await
}

/// Change a link
///
/// Fields that are not given do not change.
#[utoipa::path(
    put,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    request_body = UpdateUrl,
    responses((status = 200, body = Url, description = "The whole link, changed", headers(("Tern-Visible"))))
)]
pub(crate) async fn update_url(
    State(state): State<Arc<AppState>>,
    PathId(id): PathId,
    Body(body): Body<UpdateUrl>,
) -> Result<(VisibleHeader, JsonBody<Url>)> {
    let UpdateUrl { title, is_active, original_url, expires_at } = body;
    let original_url = original_url.map(|target| check_target(&state, target)).transpose()?;
    let change = UrlChange { title, is_active, original_url, expires_at, ..UrlChange::default() };
    let url = state.store.update_url(id, change).await?.ok_or_else(|| Url::missing(id))?;
    let visible = state.announce(&url.mark).await;
    Ok((visible, JsonBody(url.value)))
}

/// Delete a link
///
/// Its short code no longer redirects, and its events are deleted.
#[utoipa::path(
    delete,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses((status = 204, description = "Deleted", headers(("Tern-Visible"))))
)]
pub(crate) async fn delete_url(
    State(state): State<Arc<AppState>>,
    PathId(id): PathId,
) -> Result<(StatusCode, VisibleHeader, ())> {
    let deleted = state.store.delete_url(id).await?.ok_or_else(|| Url::missing(id))?;
    Ok((StatusCode::NO_CONTENT, state.announce(&deleted.mark).await, ()))
}

/// Refuses a target at an address where short codes are answered.
fn check_target(state: &AppState, target: TargetUrl) -> Result<TargetUrl> {
    state.config.own_addresses.check_target(target).map_err(bad_request)
}

async fn insert_under_new_code(state: &AppState, url: impl Fn(ShortCode) -> NewUrl) -> Result<Change<Url>> {
    for _ in 0..ATTEMPTS {
        let short_code = ShortCode::generate(state.config.short_code_length);
        match state.store.insert_url(url(short_code)).await {
            Err(StoreError::ShortCodeTaken) => {}
            result => return Ok(result?),
        }
    }
    let length = state.config.short_code_length;
    Err(unavailable("No free short code was found", anyhow!("{ATTEMPTS} codes of {length} characters exist already")))
}
