//! Urls: every change to one is announced, and answered when the redirectors serve it.

use std::sync::Arc;

use anyhow::anyhow;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tern_common::store::{Changed, StoreError};
use tern_common::url::{NewUrl, Title, Url, UrlChange, UrlFilter};
use tern_common::{Id, ShortCode, TargetUrl};
use utoipa::ToSchema;

use crate::http::answer::Json;
use crate::http::body::JsonObject;
use crate::http::error::{Error, Result, bad_request, not_found, unavailable};
use crate::http::query::PathId;
use crate::list::{ListQuery, PageParameters};
use crate::state::AppState;
use crate::visibility::Visible;

/// With so many codes taken in a row, either the codes are too short or the generator is broken.
const DRAWS: usize = 10;

/// A link to be made
#[derive(ToSchema)]
#[expect(dead_code, reason = "the handler reads the body field by field; this is its form")]
pub(crate) struct CreateUrl {
    /// Whom it belongs to.
    user_id: Id,
    /// An absolute `http` or `https` URL with a host, at most 8192 bytes, without white space and control characters.
    /// One at an address of Tern itself is refused.
    #[schema(
        min_length = 8,
        max_length = 8192,
        pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\\]\S*$",
        example = "https://example.com/hello"
    )]
    original_url: String,
    #[schema(max_length = 255, pattern = r"^[^\x00]*$", example = "Hello")]
    title: Option<String>,
}

/// What of a link is to change
#[derive(ToSchema)]
#[expect(dead_code, reason = "the handler reads the body field by field; this is its form")]
pub(crate) struct UpdateUrl {
    /// `null` takes it away.
    #[schema(max_length = 255, pattern = r"^[^\x00]*$", example = "Hello again")]
    title: Option<String>,
    /// Whether it redirects; if not, following it is answered 410.
    #[schema(required = false, example = false)]
    is_active: bool,
    /// As when a link is made.
    #[schema(
        required = false,
        min_length = 8,
        max_length = 8192,
        pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\\]\S*$",
        example = "https://example.com/hello"
    )]
    original_url: String,
}

/// Links, by id
#[utoipa::path(
    get,
    path = "/urls",
    tag = "links",
    params(
        PageParameters,
        ("user_id" = Option<Id>, Query, description = "Only the links of this user"),
        ("is_active" = Option<bool>, Query, description = "Only those that redirect, or that do not"),
        ("short_code" = Option<String>, Query, description = "Only the link with this code", example = "Lh1hFP"),
    ),
    responses((status = 200, body = [Url], description = "A page of links", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_urls(State(state): State<AppState>, query: ListQuery) -> Result<Response> {
    let filter = UrlFilter {
        user_id: query.parameters.id("user_id")?,
        is_active: query.parameters.flag("is_active")?,
        short_code: query.parameters.text("short_code").map(str::to_owned),
    };
    list(state, filter, &query).await
}

/// Answers with a page of links.
pub(crate) async fn list(state: AppState, filter: UrlFilter, query: &ListQuery) -> Result<Response> {
    let listing = state.store.list_urls(filter, query.page).await?;
    Ok(query.answer(listing, move |id| {
        let store = Arc::clone(&state.store);
        async move { store.find_url(id).await }
    }))
}

/// Make a link, under a new short code
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
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<(StatusCode, Visible, Json<Url>)> {
    let user_id = body.id("user_id")?;
    let original_url = state.parse_target(&body.text("original_url")?)?;
    let title =
        body.nullable_text("title")?.flatten().map(|title| Title::parse(&title)).transpose().map_err(bad_request)?;
    let url = insert_under_new_code(&state, user_id, original_url, title).await?;
    let visible = state.announce(&url.mark).await;
    Ok((StatusCode::CREATED, visible, Json(url.value)))
}

/// One link
#[utoipa::path(
    get,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses((status = 200, body = Url, description = "The link"))
)]
pub(crate) async fn find_url(State(state): State<AppState>, PathId(id): PathId) -> Result<Json<Url>> {
    let url = state.store.find_url(id).await?;
    url.map(Json).ok_or_else(|| unknown(id))
}

/// Change a link
///
/// Fields that are not given stay as they are.
#[utoipa::path(
    put,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    request_body = UpdateUrl,
    responses((status = 200, body = Url, description = "The whole link, changed", headers(("Tern-Visible"))))
)]
pub(crate) async fn update_url(
    State(state): State<AppState>,
    PathId(id): PathId,
    body: JsonObject,
) -> Result<(Visible, Json<Url>)> {
    let title = body.nullable_text("title")?.map(|title| title.map(|title| Title::parse(&title)).transpose());
    let original_url = body.optional_text("original_url")?;
    let change = UrlChange {
        title: title.transpose().map_err(bad_request)?,
        is_active: body.optional_flag("is_active")?,
        original_url: original_url.map(|target| state.parse_target(&target)).transpose()?,
    };
    let url = state.store.update_url(id, change).await?.ok_or_else(|| unknown(id))?;
    let visible = state.announce(&url.mark).await;
    Ok((visible, Json(url.value)))
}

/// Delete a link
///
/// Its short code stops redirecting, and its events go with it.
#[utoipa::path(
    delete,
    path = "/urls/{id}",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id")),
    responses((status = 204, description = "Deleted", headers(("Tern-Visible"))))
)]
pub(crate) async fn delete_url(State(state): State<AppState>, PathId(id): PathId) -> Result<(StatusCode, Visible, ())> {
    let deleted = state.store.delete_url(id).await?.ok_or_else(|| unknown(id))?;
    Ok((StatusCode::NO_CONTENT, state.announce(&deleted.mark).await, ()))
}

async fn insert_under_new_code(
    state: &AppState,
    user_id: Id,
    original_url: TargetUrl,
    title: Option<Title>,
) -> Result<Changed<Url>> {
    for _ in 0..DRAWS {
        let short_code = ShortCode::generate(state.config.short_code_length);
        let url = NewUrl { user_id, short_code, original_url: original_url.clone(), title: title.clone() };
        match state.store.insert_url(url).await {
            Err(StoreError::ShortCodeTaken) => {}
            result => return Ok(result?),
        }
    }
    let length = state.config.short_code_length;
    Err(unavailable("No free short code was found", anyhow!("{DRAWS} codes of {length} characters were all taken")))
}

fn unknown(id: Id) -> Error {
    not_found(format!("URL {id} not found"))
}
