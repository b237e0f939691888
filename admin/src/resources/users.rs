//! Users.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tern_common::Id;
use tern_common::url::{Url, UrlFilter};
use tern_common::user::{Email, NewUser, User, UserChange, Username};
use utoipa::ToSchema;

use crate::http::answer::Json;
use crate::http::body::JsonObject;
use crate::http::error::{Error, Result, bad_request, not_found};
use crate::http::query::{Parameters, PathId};
use crate::list::{ListQuery, PageParameters};
use crate::resources::urls;
use crate::state::AppState;

/// A user to be made
#[derive(ToSchema)]
#[expect(dead_code, reason = "the handler reads the body field by field; this is its form")]
pub(crate) struct CreateUser {
    /// Not blank, and nobody else's.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$", example = "emberorbit96")]
    username: String,
    /// Nobody else's.
    #[schema(
        max_length = 255,
        pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@.\s\x00-\x1f\x7f-\x9f]+(\.[^@.\s\x00-\x1f\x7f-\x9f]+)+$",
        example = "emberorbit96@mail.example"
    )]
    email: String,
}

/// What of a user is to change
#[derive(ToSchema)]
#[expect(dead_code, reason = "the handler reads the body field by field; this is its form")]
pub(crate) struct UpdateUser {
    /// Not blank, and nobody else's.
    #[schema(
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00]*[^\s\x00][^\x00]*$",
        example = "emberorbit97"
    )]
    username: String,
    /// Nobody else's.
    #[schema(
        required = false,
        max_length = 255,
        pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@.\s\x00-\x1f\x7f-\x9f]+(\.[^@.\s\x00-\x1f\x7f-\x9f]+)+$",
        example = "emberorbit97@mail.example"
    )]
    email: String,
}

/// Users, by id
#[utoipa::path(
    get,
    path = "/users",
    tag = "users",
    params(PageParameters),
    responses((status = 200, body = [User], description = "A page of users", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_users(State(state): State<AppState>, query: ListQuery) -> Result<Response> {
    let listing = state.store.list_users(query.page).await?;
    Ok(query.answer(listing, move |id| {
        let store = Arc::clone(&state.store);
        async move { store.find_user(id).await }
    }))
}

/// Make a user
#[utoipa::path(
    post,
    path = "/users",
    tag = "users",
    request_body = CreateUser,
    responses((status = 201, body = User, description = "The new user"), (status = 409))
)]
pub(crate) async fn create_user(State(state): State<AppState>, body: JsonObject) -> Result<(StatusCode, Json<User>)> {
    let username = Username::parse(&body.text("username")?).map_err(bad_request)?;
    let email = Email::parse(&body.text("email")?).map_err(bad_request)?;
    let user = state.store.insert_user(NewUser { username, email }).await?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// One user
#[utoipa::path(
    get,
    path = "/users/{id}",
    tag = "users",
    params(("id" = Id, Path, description = "The user's id")),
    responses((status = 200, body = User, description = "The user"))
)]
pub(crate) async fn find_user(State(state): State<AppState>, PathId(id): PathId) -> Result<Json<User>> {
    let user = state.store.find_user(id).await?;
    user.map(Json).ok_or_else(|| unknown(id))
}

/// Change a user
///
/// Fields that are not given stay as they are.
#[utoipa::path(
    put,
    path = "/users/{id}",
    tag = "users",
    params(("id" = Id, Path, description = "The user's id")),
    request_body = UpdateUser,
    responses((status = 200, body = User, description = "The whole user, changed"), (status = 409))
)]
pub(crate) async fn update_user(
    State(state): State<AppState>,
    PathId(id): PathId,
    body: JsonObject,
) -> Result<Json<User>> {
    let username =
        body.optional_text("username")?.map(|name| Username::parse(&name)).transpose().map_err(bad_request)?;
    let email = body.optional_text("email")?.map(|email| Email::parse(&email)).transpose().map_err(bad_request)?;
    let user = state.store.update_user(id, UserChange { username, email }).await?;
    user.map(Json).ok_or_else(|| unknown(id))
}

/// Delete a user
///
/// A user who owns links is deleted only with them; their short codes stop redirecting.
#[utoipa::path(
    delete,
    path = "/users/{id}",
    tag = "users",
    params(
        ("id" = Id, Path, description = "The user's id"),
        ("cascade" = Option<bool>, Query, description = "Whether to delete the user's links as well"),
    ),
    responses(
        (status = 204, description = "Deleted; `Tern-Visible` is there with `cascade`", headers(("Tern-Visible"))),
        (status = 409),
    )
)]
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

/// The links of a user, by id
#[utoipa::path(
    get,
    path = "/users/{id}/urls",
    tag = "users",
    params(("id" = Id, Path, description = "The user's id"), PageParameters),
    responses((status = 200, body = [Url], description = "A page of links", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_urls_of_user(
    State(state): State<AppState>,
    PathId(id): PathId,
    query: ListQuery,
) -> Result<Response> {
    state.store.find_user(id).await?.ok_or_else(|| unknown(id))?;
    let filter = UrlFilter { user_id: Some(id), ..UrlFilter::default() };
    urls::list(state, filter, &query).await
}

fn unknown(id: Id) -> Error {
    not_found(format!("User {id} not found"))
}
