//! Users.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tern_common::Id;
use tern_common::url::UrlFilter;
use tern_common::user::{Email, NewUser, User, UserChange, Username};

use crate::body::JsonObject;
use crate::error::{Error, Result, bad_request, not_found};
use crate::query::{ListQuery, Parameters, PathId};
use crate::state::AppState;

pub(crate) async fn list_users(State(state): State<AppState>, query: ListQuery) -> Result<Response> {
    Ok(query.answer(state.store.list_users(query.page).await?))
}

pub(crate) async fn create_user(State(state): State<AppState>, body: JsonObject) -> Result<(StatusCode, Json<User>)> {
    let username = Username::parse(body.text("username")?).map_err(bad_request)?;
    let email = Email::parse(body.text("email")?).map_err(bad_request)?;
    let user = state.store.insert_user(NewUser { username, email }).await?;
    Ok((StatusCode::CREATED, Json(user)))
}

pub(crate) async fn find_user(State(state): State<AppState>, PathId(id): PathId) -> Result<Json<User>> {
    let user = state.store.find_user(id).await?;
    user.map(Json).ok_or_else(|| unknown(id))
}

pub(crate) async fn update_user(
    State(state): State<AppState>,
    PathId(id): PathId,
    body: JsonObject,
) -> Result<Json<User>> {
    let username = body.optional_text("username")?.map(Username::parse).transpose().map_err(bad_request)?;
    let email = body.optional_text("email")?.map(Email::parse).transpose().map_err(bad_request)?;
    let user = state.store.update_user(id, UserChange { username, email }).await?;
    user.map(Json).ok_or_else(|| unknown(id))
}

pub(crate) async fn delete_user(
    State(state): State<AppState>,
    PathId(id): PathId,
    parameters: Parameters,
) -> Result<Response> {
    let cascade = match parameters.text("cascade") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad_request("cascade must be true or false")),
    };
    let deleted = state.store.delete_user(id, cascade).await?.ok_or_else(|| unknown(id))?;
    if cascade {
        let visible = state.announce(&deleted.mark).await;
        return Ok((StatusCode::NO_CONTENT, visible, ()).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn list_urls_of_user(
    State(state): State<AppState>,
    PathId(id): PathId,
    query: ListQuery,
) -> Result<Response> {
    state.store.find_user(id).await?.ok_or_else(|| unknown(id))?;
    let filter = UrlFilter { user_id: Some(id), ..UrlFilter::default() };
    Ok(query.answer(state.store.list_urls(filter, query.page).await?))
}

fn unknown(id: Id) -> Error {
    not_found(format!("User {id} not found"))
}
