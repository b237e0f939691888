//! Events.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tern_common::Id;
use tern_common::event::{Details, Event, EventFilter, EventType, NewEvent};
use utoipa::ToSchema;

use crate::http::answer::JsonRow;
use crate::http::body::JsonObject;
use crate::http::error::{Result, bad_request, not_found};
use crate::http::query::PathId;
use crate::list::{ListQuery, PageParameters};
use crate::state::AppState;

/// An event to be recorded
#[derive(ToSchema)]
#[expect(dead_code, reason = "the handler reads the body field by field; this is its form")]
pub(crate) struct CreateEvent {
    /// The link that it happened to.
    url_id: Id,
    /// The user whom it is recorded under; the owner of the link unless given.
    #[schema(required = false)]
    user_id: Id,
    /// Not blank.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$", example = "shared")]
    event_type: String,
    /// Any JSON object of at most 16 KiB, nested at most 31 deep.
    #[schema(value_type = Object, required = false, default = json!({}))]
    details: Details,
}

/// Events, by id
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(
        PageParameters,
        ("url_id" = Option<Id>, Query, description = "Only those of this link"),
        ("user_id" = Option<Id>, Query, description = "Only those of this user"),
        ("event_type" = Option<String>, Query, description = "Only those of this type", example = "clicked"),
    ),
    responses((status = 200, body = [Event], description = "A page of events", headers(("X-Total-Count"), ("Link"))))
)]
pub(crate) async fn list_events(State(state): State<AppState>, query: ListQuery) -> Result<Response> {
    let filter = EventFilter {
        url_id: query.parameters.id("url_id")?,
        user_id: query.parameters.id("user_id")?,
        event_type: query.parameters.text("event_type").map(str::to_owned),
    };
    let listing = state.store.list_events(filter, query.page).await?;
    Ok(query.answer(listing, move |id| {
        let store = Arc::clone(&state.store);
        async move { store.find_event(id).await }
    }))
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
    State(state): State<AppState>,
    body: JsonObject,
) -> Result<(StatusCode, JsonRow<Event>)> {
    let event = NewEvent {
        url_id: body.id("url_id")?,
        user_id: body.optional_id("user_id")?,
        event_type: EventType::parse(&body.text("event_type")?).map_err(bad_request)?,
        details: body
            .field("details")
            .map_or_else(|| Ok(Details::empty()), |text| Details::parse(text.as_str()))
            .map_err(bad_request)?,
    };
    Ok((StatusCode::CREATED, JsonRow(state.store.insert_event(event).await?)))
}

/// One event
#[utoipa::path(
    get,
    path = "/events/{id}",
    tag = "events",
    params(("id" = Id, Path, description = "The event's id")),
    responses((status = 200, body = Event, description = "The event"))
)]
pub(crate) async fn find_event(State(state): State<AppState>, PathId(id): PathId) -> Result<JsonRow<Event>> {
    let event = state.store.find_event(id).await?;
    event.map(JsonRow).ok_or_else(|| not_found(format!("Event {id} not found")))
}
