//! Tokens of the API: admins list, create and revoke them.
//!
//! The text of a token is in one answer, that to its creation. Its hash is in none.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tern_common::token::{NewToken, Role, Secret, Token, TokenKey, TokenName, TokenState};
use tern_common::{Id, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::Body;
use crate::http::error::{Result, bad_request, not_found};
use crate::http::query::{Query, RowId};
use crate::state::AppState;

/// A token to create
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateToken {
    /// Unique among the tokens that are not revoked.
    name: TokenName,
    role: Role,
    /// The user to whose rows the token is limited, for the roles `viewer` and `editor`; `null` is no limit.
    #[schema(value_type = Option<Id>)]
    user_id: Option<Option<RowId>>,
    /// The end of the token, in the future and in any zone; UTC where none is given; `null` is no end.
    #[schema(value_type = Option<String>, example = "2099-12-31T23:59:59")]
    expires_at: Option<Option<Timestamp>>,
}

/// The tokens to list
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokenFilter {
    /// Only tokens in this state
    #[param(inline)]
    state: Option<TokenState>,
}

/// A token, without its text
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShownToken {
    id: Id,
    #[schema(example = "ci")]
    name: String,
    #[schema(inline)]
    role: Role,
    /// The user to whose rows the token is limited.
    #[schema(required)]
    user_id: Option<Id>,
    #[schema(inline)]
    state: TokenState,
    created_at: Timestamp,
    /// The name of the token that created this one; `null` for the command line and for an open API.
    #[schema(required, example = "ops")]
    created_by: Option<String>,
    #[schema(required)]
    expires_at: Option<Timestamp>,
    /// The last use, to the minute.
    #[schema(required)]
    last_used_at: Option<Timestamp>,
    #[schema(required)]
    revoked_at: Option<Timestamp>,
    /// The name of the token that revoked this one; `null` for the command line, an open API, and the deletion of its user.
    #[schema(required, example = json!(null))]
    revoked_by: Option<String>,
}

/// A new token
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    #[serde(flatten)]
    shown: ShownToken,
    #[serde(flatten)]
    secret: ShownSecret,
}

/// The text of a new token
#[derive(Debug, Serialize, ToSchema)]
struct ShownSecret {
    /// The text that clients send. No later answer has it.
    #[schema(example = "tern_4mJv0bqmTtXx0fPBvYcVbJ0rWJYb4gW7Wc5n4l2a9pM")]
    token: String,
    /// Whether this token closed the API, which was open to programs on its machine before.
    #[schema(example = false)]
    closed_the_api: bool,
}

/// Tokens, by id
///
/// Revoked and expired tokens remain in the list, which has no pages.
#[utoipa::path(
    get,
    path = "/tokens",
    tag = "tokens",
    params(TokenFilter),
    responses((status = 200, body = [ShownToken], description = "The tokens, without their texts"))
)]
pub(crate) async fn list_tokens(
    State(state): State<Arc<AppState>>,
    Query(TokenFilter { state: wanted }): Query<TokenFilter>,
) -> Result<Json<Vec<ShownToken>>> {
    let now = Timestamp::now();
    let tokens = state.store.list_tokens().await?.into_iter().map(|token| ShownToken::new(token, now));
    Ok(Json(tokens.filter(|token| wanted.is_none_or(|wanted| token.state == wanted)).collect()))
}

/// Create a token
///
/// The answer is the only one with the text of the token.
/// While the API is open to programs on its machine, the first token closes it and must be of an admin.
#[utoipa::path(
    post,
    path = "/tokens",
    tag = "tokens",
    request_body = CreateToken,
    responses((status = 201, body = CreatedToken, description = "The new token"), (status = 404), (status = 409))
)]
pub(crate) async fn create_token(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(CreateToken { name, role, user_id, expires_at }): Body<CreateToken>,
) -> Result<(StatusCode, Json<CreatedToken>)> {
    let now = Timestamp::now();
    let user_id = user_id.flatten().map(RowId::get).transpose()?;
    let expires_at = expires_at.flatten();
    if user_id.is_some() && !role.fits_a_user() {
        return Err(bad_request(format!(
            "user_id must not be given with the role {role}, which reads data of all users; use viewer or editor"
        )));
    }
    if expires_at.is_some_and(|end| end <= now) {
        return Err(bad_request("expires_at must be in the future"));
    }
    let closes = state.access.closes_with_a_token();
    if closes && (role != Role::Admin || expires_at.is_some()) {
        return Err(bad_request(
            "role must be admin, and expires_at absent: this token closes the API, which is open to this machine now, \
             and only an admin can create further tokens",
        ));
    }
    let secret = Secret::generate();
    let token = NewToken { name, role, hash: secret.hash(), expires_at, user_id };
    let token = state.store.insert_token(token).await?;
    tracing::info!(name = token.name, role = %token.role, by = caller.token(), "token was created");
    state.access.refresh().await;
    let secret = ShownSecret { token: secret.reveal().to_owned(), closed_the_api: closes };
    Ok((StatusCode::CREATED, Json(CreatedToken { shown: ShownToken::new(token, now), secret })))
}

/// Revoke a token
///
/// This process refuses it at once, and each other process within two seconds. A revoked token cannot become valid again.
#[utoipa::path(
    delete,
    path = "/tokens/{token}",
    tag = "tokens",
    params(("token" = String, Path, description = "The id of the token, or its name unless that has only digits", example = "ci")),
    responses((status = 204, description = "Revoked"))
)]
pub(crate) async fn revoke_token(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode> {
    let key: TokenKey = path
        .ok()
        .and_then(|Path(text)| text.parse().ok())
        .ok_or_else(|| not_found("A token in a path is an id, or a name of letters, digits, '.', '_' and '-'"))?;
    if !state.store.revoke_token(&key).await? {
        return Err(not_found(format!("Token {key} not found, or already revoked")));
    }
    tracing::info!(token = %key, by = caller.token(), "token was revoked");
    state.access.refresh().await;
    Ok(StatusCode::NO_CONTENT)
}

impl ShownToken {
    fn new(token: Token, now: Timestamp) -> ShownToken {
        let state = token.state(now);
        ShownToken {
            id: token.id,
            name: token.name,
            role: token.role,
            user_id: token.user_id,
            state,
            created_at: token.created_at,
            created_by: token.created_by,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
            revoked_by: token.revoked_by,
        }
    }
}
