//! Users.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tern_common::Id;
use tern_common::store::{Listing, UrlCursor};
use tern_common::url::UrlFilter;
use tern_common::user::{Email, NewUser, User, UserChange, Username};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::http::answer::JsonBody;
use crate::http::body::Body;
use crate::http::error::Result;
use crate::http::query::{PathId, Query};
use crate::list::{ListQuery, PageParameters, SortParameter};
use crate::resources::shown_url::{ShortOrigin, ShownUrl};
use crate::row::{self, Row as _};
use crate::state::AppState;

/// A user to create
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateUser {
    /// Not blank, and unique.
    pub(crate) username: Username,
    /// Unique.
    pub(crate) email: Email,
}

/// The changes to a user
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct UpdateUser {
    /// Not blank, and unique.
    #[schema(nullable = false)]
    username: Option<Username>,
    /// Unique.
    #[schema(nullable = false)]
    email: Option<Email>,
}

/// The options of deleting a user
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteUser {
    /// Whether to delete the user's links as well
    #[param(value_type = Option<bool>)]
    cascade: Option<Cascade>,
}

/// The choice to delete a user's links. Only these two words are accepted, so that a typing error deletes nothing.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Cascade {
    True,
    False,
}

/// Users, by id
#[utoipa::path(
    get,
    path = "/users",
    tag = "users",
    params(PageParameters),
    responses((status = 200, body = [User], description = "A page of users", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_users(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    query: ListQuery,
) -> Result<Response> {
    if let Some(owner) = caller.owner() {
        let user = state.store.find_user(owner).await?;
        let listing = user.map_or_else(Listing::empty, |user| Listing::of_one(query.page, owner, user));
        return Ok(query.answer(listing, &state.store));
    }
    Ok(query.answer(state.store.list_users(query.page).await?, &state.store))
}

/// Create a user
#[utoipa::path(
    post,
    path = "/users",
    tag = "users",
    request_body = CreateUser,
    responses((status = 201, body = User, description = "The new user"), (status = 409))
)]
pub(crate) async fn create_user(
    State(state): State<Arc<AppState>>,
    Body(CreateUser { username, email }): Body<CreateUser>,
) -> Result<(StatusCode, JsonBody<User>)> {
    let user = state.store.insert_user(NewUser { username, email }).await?;
    Ok((StatusCode::CREATED, JsonBody(user)))
}

/// One user
#[utoipa::path(
    get,
    path = "/users/{id}",
    tag = "users",
    params(("id" = Id, Path, description = "The user's id")),
    responses((status = 200, body = User, description = "The user"))
)]
pub(crate) async fn find_user(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<JsonBody<User>> {
    row::find(&*state.store, id, &caller).await
}

/// Change a user
///
/// Fields that are not given do not change.
#[utoipa::path(
    put,
    path = "/users/{id}",
    tag = "users",
    params(("id" = Id, Path, description = "The user's id")),
    request_body = UpdateUser,
    responses((status = 200, body = User, description = "The whole user, changed"), (status = 409))
)]
pub(crate) async fn update_user(
    State(state): State<Arc<AppState>>,
    PathId(id): PathId,
    Body(UpdateUser { username, email }): Body<UpdateUser>,
) -> Result<JsonBody<User>> {
    let user = state.store.update_user(id, UserChange { username, email }).await?;
    user.map(JsonBody).ok_or_else(|| User::missing(id))
}

/// Delete a user
///
/// A user who owns links is deleted only with the links, whose short codes then no longer redirect.
#[utoipa::path(
    delete,
    path = "/users/{id}",
    tag = "users",
    params(
        ("id" = Id, Path, description = "The user's id"),
        DeleteUser,
    ),
    responses(
        (status = 204, description = "Deleted; with `cascade` the answer has `Tern-Visible`", headers(("Tern-Visible"))),
        (status = 409),
    )
)]
pub(crate) async fn delete_user(
    State(state): State<Arc<AppState>>,
    PathId(id): PathId,
    Query(query): Query<DeleteUser>,
) -> Result<Response> {
    let cascade = query.cascade == Some(Cascade::True);
    let deleted = state.store.delete_user(id, cascade).await?.ok_or_else(|| User::missing(id))?;
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
    responses((status = 200, body = [ShownUrl], description = "A page of links", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_urls_of_user(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    query: ListQuery<UrlCursor>,
    origin: ShortOrigin,
) -> Result<Response> {
    let sort = SortParameter::default().of(&query)?;
    row::own(state.store.find_user(id).await?, id, &caller)?;
    let filter = UrlFilter { user_id: Some(id), ..UrlFilter::default() };
    let listing = state.store.list_urls(filter, sort, query.page.clone()).await?;
    Ok(query.answer_written(listing, &state.store, origin.writer()))
}
