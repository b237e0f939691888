//! Exports of all links and events that a filter matches.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tern_common::Timestamp;
use tern_common::event::{Event, EventFilter};
use tern_common::store;
use tern_common::url::UrlFilter;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::http::error::{Result, internal};
use crate::http::query::Query;
use crate::resources::live::UNBUFFERED;
use crate::resources::shown_url::{ShortOrigin, ShownUrl};
use crate::row::Row as _;
use crate::state::AppState;
use crate::streams::ExportPass;
use crate::streams::export::{Format, Walk, export};
use crate::streams::ring::write_line;

/// The encoding of an export
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParameters {
    /// `csv` is a file that `load` takes; `csv` unless given
    #[param(inline)]
    format: Option<Format>,
    /// Whether CSV is for a spreadsheet: with a byte order mark, and with a `'` in front of each field that a spreadsheet
    /// would take for a formula
    #[param(default = false)]
    spreadsheet: Option<bool>,
}

/// The links of an export.
pub(crate) struct Urls {
    pub(crate) filter: Option<UrlFilter>,
    pub(crate) origin: ShortOrigin,
}

/// The events of an export; `None` matches no row.
struct Events(Option<EventFilter>);

impl Walk for Urls {
    type Row = ShownUrl;

    async fn read(&self, pass: &ExportPass, after: i64, rows: u32) -> store::Result<Vec<ShownUrl>> {
        let Some(filter) = &self.filter else { return Ok(Vec::new()) };
        let _turn = pass.turn().await;
        let urls = pass.store.walk_urls(filter.clone(), after, rows).await?;
        Ok(urls.into_iter().map(|url| self.origin.show(url)).collect())
    }

    fn id(row: &ShownUrl) -> i64 {
        row.url().id.get()
    }

    fn write_json(row: &ShownUrl, out: &mut Vec<u8>) {
        serde_json::to_writer(out, row).expect("plain data serialises");
    }
}

impl Walk for Events {
    type Row = Event;

    async fn read(&self, pass: &ExportPass, after: i64, rows: u32) -> store::Result<Vec<Event>> {
        let Some(filter) = &self.0 else { return Ok(Vec::new()) };
        let _turn = pass.turn().await;
        pass.store.walk_events(filter.clone(), after, rows).await
    }

    fn id(row: &Event) -> i64 {
        row.id().get()
    }

    fn write_json(row: &Event, out: &mut Vec<u8>) {
        write_line(row, out);
    }
}

/// All links that a filter matches
///
/// The links by id, as they are when they are read. An export that ends early has no end of its encoding:
/// its last chunk is missing.
#[utoipa::path(
    get,
    path = "/urls/export",
    tag = "links",
    params(ExportParameters, UrlFilter),
    responses((
        status = 200,
        description = "The links in the format of the request",
        headers(("Content-Disposition")),
        content(
            (
                String = "text/csv",
                example = "id,user_id,short_code,original_url\r\n1,1,Lh1hFP,https://example.com/hello\r\n"
            ),
            (String = "application/x-ndjson", example = "{\"id\":1,\"user_id\":1,\"short_code\":\"Lh1hFP\"}\n"),
            (Vec<ShownUrl> = "application/json"),
        )
    ))
)]
pub(crate) async fn export_urls(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Query(parameters): Query<ExportParameters>,
    Query(mut filter): Query<UrlFilter>,
    origin: ShortOrigin,
) -> Result<Response> {
    let sees = caller.limit(&mut filter.user_id);
    let walk = Urls { filter: sees.then_some(filter), origin };
    answer(walk, &state, caller, &parameters, "urls").await
}

/// All events that a filter matches
///
/// The events by id. An export that ends early has no end of its encoding: its last chunk is missing.
#[utoipa::path(
    get,
    path = "/events/export",
    tag = "events",
    params(ExportParameters, EventFilter),
    responses((
        status = 200,
        description = "The events in the format of the request",
        headers(("Content-Disposition")),
        content(
            (
                String = "text/csv",
                example = "id,url_id,user_id,event_type,timestamp,details\r\n1,1,1,clicked,2026-01-31T12:00:00,{}\r\n"
            ),
            (String = "application/x-ndjson", example = "{\"id\":1,\"url_id\":1,\"event_type\":\"clicked\"}\n"),
            (Vec<Event> = "application/json"),
        )
    ))
)]
pub(crate) async fn export_events(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Query(parameters): Query<ExportParameters>,
    Query(mut filter): Query<EventFilter>,
) -> Result<Response> {
    let sees = caller.limit(&mut filter.user_id);
    answer(Events(sees.then_some(filter)), &state, caller, &parameters, "events").await
}

async fn answer(
    walk: impl Walk,
    state: &AppState,
    caller: Caller,
    parameters: &ExportParameters,
    name: &str,
) -> Result<Response> {
    let format = parameters.format.unwrap_or(Format::Csv);
    let (media_type, extension) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Ndjson => ("application/x-ndjson", "ndjson"),
        Format::Json => ("application/json", "json"),
    };
    let pass = state.streams.begin_export(caller)?;
    let body = export(walk, pass, format, parameters.spreadsheet == Some(true)).await?;
    let date = Timestamp::now().to_string();
    let date = date.split('T').next().unwrap_or_default();
    let file = format!("attachment; filename=\"tern-{name}-{date}.{extension}\"");
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_DISPOSITION, file.try_into().map_err(internal)?),
        UNBUFFERED,
    ];
    Ok((headers, body).into_response())
}
