//! Urls: every change to one is announced, and answered when the redirectors serve it.

use anyhow::anyhow;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tern_common::store::{Changed, StoreError};
use tern_common::url::{NewUrl, Title, Url, UrlChange, UrlFilter};
use tern_common::{Id, ShortCode, TargetUrl};

use crate::body::JsonObject;
use crate::error::{Error, Result, bad_request, not_found, unavailable};
use crate::query::{ListQuery, PathId};
use crate::state::AppState;
use crate::visibility::Visible;

/// With so many codes taken in a row, either the codes are too short or the generator is broken.
const DRAWS: usize = 10;

pub(crate) async fn list_urls(State(state): State<AppState>, query: ListQuery) -> Result<Response> {
    let filter = UrlFilter {
        user_id: query.parameters.id("user_id")?,
        is_active: query.parameters.flag("is_active")?,
        short_code: query.parameters.text("short_code").map(str::to_owned),
    };
    Ok(query.answer(state.store.list_urls(filter, query.page).await?))
}

pub(crate) async fn create_url(
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<(StatusCode, Visible, Json<Url>)> {
    let user_id = body.id("user_id")?;
    let original_url = TargetUrl::parse(body.text("original_url")?).map_err(bad_request)?;
    let title = body.nullable_text("title")?.flatten().map(Title::parse).transpose().map_err(bad_request)?;
    let url = insert_under_new_code(&state, user_id, original_url, title).await?;
    let visible = state.announce(&url.mark).await;
    Ok((StatusCode::CREATED, visible, Json(url.value)))
}

pub(crate) async fn find_url(State(state): State<AppState>, PathId(id): PathId) -> Result<Json<Url>> {
    let url = state.store.find_url(id).await?;
    url.map(Json).ok_or_else(|| unknown(id))
}

pub(crate) async fn update_url(
    State(state): State<AppState>,
    PathId(id): PathId,
    body: JsonObject,
) -> Result<(Visible, Json<Url>)> {
    let title = body.nullable_text("title")?.map(|title| title.map(Title::parse).transpose());
    let change = UrlChange {
        title: title.transpose().map_err(bad_request)?,
        is_active: body.optional_flag("is_active")?,
        original_url: body.optional_text("original_url")?.map(TargetUrl::parse).transpose().map_err(bad_request)?,
    };
    let url = state.store.update_url(id, change).await?.ok_or_else(|| unknown(id))?;
    let visible = state.announce(&url.mark).await;
    Ok((visible, Json(url.value)))
}

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
