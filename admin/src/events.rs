//! Events.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tern_common::event::{Details, Event, EventFilter, EventType, NewEvent};

use crate::body::JsonObject;
use crate::error::{Result, bad_request, not_found};
use crate::query::{ListQuery, PathId};
use crate::state::AppState;

pub(crate) async fn list_events(State(state): State<AppState>, query: ListQuery) -> Result<Response> {
    let filter = EventFilter {
        url_id: query.parameters.id("url_id")?,
        user_id: query.parameters.id("user_id")?,
        event_type: query.parameters.text("event_type").map(str::to_owned),
    };
    Ok(query.answer(state.store.list_events(filter, query.page).await?))
}

pub(crate) async fn create_event(State(state): State<AppState>, body: JsonObject) -> Result<(StatusCode, Json<Event>)> {
    let event = NewEvent {
        url_id: body.id("url_id")?,
        user_id: body.id("user_id")?,
        event_type: EventType::parse(body.text("event_type")?).map_err(bad_request)?,
        details: body.optional_object("details")?.cloned().map_or_else(Details::empty, Details::from),
    };
    Ok((StatusCode::CREATED, Json(state.store.insert_event(event).await?)))
}

pub(crate) async fn find_event(State(state): State<AppState>, PathId(id): PathId) -> Result<Json<Event>> {
    let event = state.store.find_event(id).await?;
    event.map(Json).ok_or_else(|| not_found(format!("Event {id} not found")))
}
