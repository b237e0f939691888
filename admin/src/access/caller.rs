//! The caller of a request: its token, and the user to whose rows the token is limited.
//!
//! A token without a user is not limited. A token of a user reaches only the operations of [`FOR_OWNERS`], whose
//! handlers limit it to the rows of its user with the functions of [`Caller`].

use std::sync::Arc;

use anyhow::anyhow;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::Method;
use axum::http::request::Parts;
use tern_common::Id;

use super::tokens::Bearer;
use crate::http::error::{Error, Result, bad_request, forbidden, internal};

/// The operations that limit themselves to the rows of the caller's user.
const FOR_OWNERS: &[(Method, &str)] = &[
    (Method::GET, "/admin/access"),
    (Method::GET, "/urls"),
    (Method::POST, "/urls"),
    (Method::PATCH, "/urls"),
    (Method::DELETE, "/urls"),
    (Method::POST, "/urls/bulk"),
    (Method::POST, "/urls/import"),
    (Method::DELETE, "/urls/import"),
    (Method::PUT, "/urls/external/{external_id}"),
    (Method::POST, "/urls/try"),
    (Method::GET, "/urls/{id}"),
    (Method::PUT, "/urls/{id}"),
    (Method::PATCH, "/urls/{id}"),
    (Method::DELETE, "/urls/{id}"),
    (Method::GET, "/urls/{id}/stats"),
    (Method::GET, "/stats"),
    (Method::GET, "/stats/series"),
    (Method::GET, "/tags"),
    (Method::GET, "/urls/{id}/qr"),
    (Method::GET, "/urls/{id}/live"),
    (Method::GET, "/urls/export"),
    (Method::GET, "/live"),
    (Method::GET, "/audit"),
    (Method::GET, "/users"),
    (Method::GET, "/users/{id}"),
    (Method::GET, "/users/{id}/urls"),
    (Method::GET, "/events"),
    (Method::POST, "/events"),
    (Method::GET, "/events/export"),
    (Method::GET, "/events/{id}"),
];

/// The caller of a request that was admitted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The name of the token; `None` where the API is open.
    pub(super) token: Option<Arc<str>>,
    pub(super) token_id: Option<Id>,
    /// The user to whose rows the token is limited.
    pub(super) owner: Option<Id>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller> {
        parts.extensions.get().cloned().ok_or_else(|| internal(anyhow!("the route of a handler has no guard")))
    }
}

impl Caller {
    pub(super) fn of(bearer: &Bearer) -> Caller {
        let token = &bearer.token;
        Caller { token: Some(token.name.as_str().into()), token_id: Some(token.id), owner: token.user_id }
    }

    /// Returns the name of the token; `None` where the API is open.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Refuses the token of a user for every operation outside of [`FOR_OWNERS`].
    pub(super) fn check_operation(&self, request: &Parts) -> Result<()> {
        let path = request.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let path = path.strip_suffix('/').unwrap_or(path);
        let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
        if self.owner.is_none() || FOR_OWNERS.iter().any(|operation| *operation == (method.clone(), path)) {
            return Ok(());
        }
        Err(forbidden(
            "The token of a user may not do this: it only reads and changes the links and events of that user",
        ))
    }

    /// Returns the user for whom something is created: the one that the request names, or the token's own.
    ///
    /// # Errors
    /// A 403 for another user than the token's, and a 400 if neither names a user.
    pub(crate) fn user_for(&self, named: Option<Id>) -> Result<Id> {
        match (self.owner, named) {
            (Some(owner), Some(named)) if owner != named => {
                Err(forbidden("The token of a user may not create anything for another user"))
            }
            (Some(user), _) | (None, Some(user)) => Ok(user),
            (None, None) => Err(bad_request("user_id is required")),
        }
    }

    /// Returns whether the caller may see the rows of a user.
    pub(crate) fn sees(&self, user: Id) -> bool {
        self.owner.is_none_or(|owner| owner == user)
    }

    /// Limits a filter to the caller's user. Returns false if the filter names another user, whose list is empty.
    pub(crate) fn limit(&self, user: &mut Option<Id>) -> bool {
        let sees_named = user.is_none_or(|user| self.sees(user));
        *user = self.owner.or(*user);
        sees_named
    }

    /// Returns the id of the caller's token; `None` where the API is open.
    pub(crate) fn token_id(&self) -> Option<Id> {
        self.token_id
    }

    pub(crate) fn owner(&self) -> Option<Id> {
        self.owner
    }
}
