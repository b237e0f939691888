//! Clicks as they are stored, as server-sent events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, RequestPartsExt as _};
use serde::Deserialize;
use tern_common::Id;
use tern_common::event::EventFilter;
use tern_common::url::Url;
use tern_serving::PortState;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::http::error::{Error, Result, bad_request};
use crate::http::query::{PathId, Query};
use crate::row;
use crate::state::AppState;

/// The header with which a client continues after the last event that it has.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The header that keeps nginx from buffering an answer.
pub(crate) const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The place in the clicks at which a stream begins
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LiveParameters {
    /// The id of the last event that the client has, for tools that cannot send the header `Last-Event-ID`; the clicks after
    /// it follow. The header takes precedence. Without either, the stream begins now.
    #[param(value_type = Option<u64>, minimum = 0)]
    last_event_id: Option<String>,
}

/// The event after which a stream begins; `None` is now.
#[derive(Debug)]
pub(crate) struct LastEventId(Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<LastEventId> {
        let Query(LiveParameters { last_event_id }) = parts.extract().await?;
        let header = parts.headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
        // A browser sends an empty id before its first event.
        let given = header.filter(|id| !id.is_empty()).or(last_event_id.as_deref());
        let refused = || bad_request("last_event_id must be the id of an event, as a stream sends it");
        let parse = |id: &str| id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok()).flatten();
        given.map(|id| parse(id).ok_or_else(refused)).transpose().map(LastEventId)
    }
}

/// Clicks on all links as they are stored
///
/// A stream of server-sent events. Each `click` has the event as `GET /events` shows it, and its id.
/// A `missed` event has `after` and `up_to`: clicks with ids between them may be missing.
/// A comment every 15 seconds shows that the stream is alive.
#[utoipa::path(
    get,
    path = "/live",
    tag = "events",
    params(LiveParameters),
    responses((
        status = 200,
        content_type = "text/event-stream",
        body = String,
        description = "The stream, until the client closes it",
        example = "event: click\nid: 7\ndata: {\"id\":7,\"url_id\":1,\"user_id\":1,\"event_type\":\"clicked\",\"timestamp\":\"2026-01-31T12:00:00\",\"details\":{}}\n\n"
    ))
)]
pub(crate) async fn follow_all(
    State(state): State<Arc<AppState>>,
    Extension(port): Extension<PortState>,
    caller: Caller,
    last: LastEventId,
) -> Result<Response> {
    let filter = EventFilter { user_id: caller.owner(), ..EventFilter::default() };
    answer(&state, port, caller, filter, last).await
}

/// Clicks on a link as they are stored
///
/// A stream of server-sent events, as that of all links.
#[utoipa::path(
    get,
    path = "/urls/{id}/live",
    tag = "events",
    params(("id" = Id, Path, description = "The link's id"), LiveParameters),
    responses((
        status = 200,
        content_type = "text/event-stream",
        body = String,
        description = "The stream, until the client closes it",
        example = "event: click\nid: 7\ndata: {\"id\":7,\"url_id\":1,\"user_id\":1,\"event_type\":\"clicked\",\"timestamp\":\"2026-01-31T12:00:00\",\"details\":{}}\n\n"
    ))
)]
pub(crate) async fn follow_link(
    State(state): State<Arc<AppState>>,
    Extension(port): Extension<PortState>,
    caller: Caller,
    PathId(id): PathId,
    last: LastEventId,
) -> Result<Response> {
    row::own(state.store.find_url(id).await?, id, &caller).map(|_: Url| ())?;
    let filter = EventFilter { url_id: Some(id), user_id: caller.owner(), ..EventFilter::default() };
    answer(&state, port, caller, filter, last).await
}

async fn answer(
    state: &AppState,
    port: PortState,
    caller: Caller,
    filter: EventFilter,
    LastEventId(after): LastEventId,
) -> Result<Response> {
    let body: Body = state.streams.listen(caller, port, filter, after).await?;
    let media_type = (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(([media_type, UNBUFFERED], body).into_response())
}
