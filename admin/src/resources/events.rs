//! Events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tern_common::Id;
use tern_common::event::{Details, Event, EventFilter, EventType, NewEvent};
use tern_common::store::Listing;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::http::answer::JsonBody;
use crate::http::body::Body;
use crate::http::error::Result;
use crate::http::query::{PathId, Query, RowId};
use crate::list::{ListQuery, PageParameters};
use crate::resources::urls::check_owner;
use crate::row;
use crate::state::AppState;

/// An event to record
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateEvent {
    /// The link of the event.
    #[schema(value_type = Id)]
    url_id: RowId,
    /// The user under whom the event is recorded; the owner of the link unless given.
    #[schema(value_type = Id, required = false)]
    user_id: Option<RowId>,
    /// Not blank.
    event_type: EventType,
    /// Any JSON object of at most 16 KiB, nested at most 31 deep.
    #[schema(value_type = Object, required = false, default = json!({}))]
    details: Option<Details>,
}

/// Events, by id
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(
        PageParameters,
        EventFilter,
    ),
    responses((status = 200, body = [Event], description = "A page of events", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_events(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    query: ListQuery,
    Query(mut filter): Query<EventFilter>,
) -> Result<Response> {
    if !caller.limit(&mut filter.user_id) {
        return Ok(query.answer(Listing::<Event>::empty(), &state.store));
    }
    Ok(query.answer(state.store.list_events(filter, query.page).await?, &state.store))
}

/// Record an event
#[utoipa::path(
    post,
    path = "/events",
    tag = "events",
    request_body = CreateEvent,
    responses((status = 201, body = Event, description = "The new event"), (status = 404))
)]
pub(crate) async fn create_event(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(body): Body<CreateEvent>,
) -> Result<(StatusCode, JsonBody<Event>)> {
    let url_id = body.url_id.get()?;
    let mut user_id = body.user_id.map(RowId::get).transpose()?;
    if caller.owner().is_some() {
        user_id = Some(caller.user_for(user_id)?);
        check_owner(&state, &caller, url_id).await?;
    }
    let event =
        NewEvent { url_id, user_id, event_type: body.event_type, details: body.details.unwrap_or_else(Details::empty) };
    Ok((StatusCode::CREATED, JsonBody(state.store.insert_event(event).await?)))
}

/// One event
#[utoipa::path(
    get,
    path = "/events/{id}",
    tag = "events",
    params(("id" = Id, Path, description = "The event's id")),
    responses((status = 200, body = Event, description = "The event"))
)]
pub(crate) async fn find_event(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<JsonBody<Event>> {
    row::find(&*state.store, id, &caller).await
}
