//! Links under their external ids.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tern_common::Timestamp;
use tern_common::link_labels::ExternalId;
use tern_common::store::Placed;
use tern_common::url::UrlReplacement;

use crate::access::Caller;
use crate::http::body::Body;
use crate::http::conditions::Conditions;
use crate::http::error::{Error, Result, bad_request};
use crate::http::ignored::IgnoredNames;
use crate::resources::new_link::NewLink;
use crate::resources::shown_url::{ShortOrigin, ShownUrl};
use crate::resources::url_requests::ReplaceUrl;
use crate::resources::urls::{answer_link, forgive_read_only};
use crate::state::AppState;

/// The external id in a path, where `%2F` is a slash of the id.
#[derive(Debug)]
pub(crate) struct PathExternalId(ExternalId);

impl<S: Send + Sync> FromRequestParts<S> for PathExternalId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathExternalId> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = text.map_err(|_| bad_request("external_id in the path must be UTF-8"))?;
        ExternalId::parse(&text).map(PathExternalId).map_err(bad_request)
    }
}

/// Create or replace the link of an external id
///
/// Fields that are not given get their defaults, except the code, the id, the time of creation and the clicks.
#[utoipa::path(
    put,
    path = "/urls/external/{external_id}",
    tag = "links",
    params(("external_id" = ExternalId, Path, description = "The name of the link in another program")),
    request_body = ReplaceUrl,
    responses(
        (status = 200, body = ShownUrl, description = "The replaced link", headers(("Tern-Visible"), ("ETag"))),
        (status = 201, body = ShownUrl, description = "The new link", headers(("Tern-Visible"), ("ETag"))),
        (status = 409),
        (status = 412),
    )
)]
pub(crate) async fn replace_url(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathExternalId(external_id): PathExternalId,
    conditions: Conditions,
    origin: ShortOrigin,
    ignored: Option<Extension<IgnoredNames>>,
    Body(mut body): Body<ReplaceUrl>,
) -> Result<Response> {
    forgive_read_only(ignored, &[]);
    let mut given = body.take_change(&state.config.own_addresses, Timestamp::now())?;
    if given.labels.external_id.is_some_and(|given| given.as_ref() != Some(&external_id)) {
        return Err(bad_request("external_id must be that of the path, or absent"));
    }
    given.labels.external_id = Some(Some(external_id));
    let link = NewLink::new(&state, &caller, body.user_id, body.original_url, body.short_code.flatten(), given)?;
    let short_code = link.given_code.clone();
    let put = |url| {
        let if_revision = conditions.if_match.clone();
        state.store.put_url(UrlReplacement { url, short_code: short_code.clone(), if_revision })
    };
    let (status, url) = match link.insert(&state, put).await? {
        Placed::Created(url) => (StatusCode::CREATED, url),
        Placed::Replaced(url) => (StatusCode::OK, url),
    };
    let visible = state.announce(&url.mark).await;
    Ok((status, visible, answer_link(origin.show(url.value))).into_response())
}
