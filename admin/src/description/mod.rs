//! `GET /openapi.json`: the description of the API, generated from the handlers and the types of their answers.
//!
//! Each handler says beside itself what is special about it; what many have in common is in [`shared`].

pub(crate) mod docs;
mod names;
mod redirect;
mod shared;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;

pub(crate) use self::names::{Names, names};
use self::shared::Shared;
use crate::http::error::Envelope;
use crate::metrics;
use crate::resources::{bulk, events, health, logs, products, stats, urls, users};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tern",
        description = "Short links: who owns them, where they lead, and what happened to them.\n\n\
            Bodies are JSON in UTF-8, nested at most 32 deep; unknown fields and query parameters are ignored, \
            and named in the header `Tern-Ignored` of the answer. \
            Times are in UTC, to the second. Lists are ordered by id. \
            Each path also works with a slash at its end, and each `GET` as a `HEAD`. \
            Every error is an object with `error` and `message`; \
            another method than those listed is answered 405 with `Allow`. \
            Every request may carry `X-Request-Id` and `traceparent`, which its entries in the log repeat."
    ),
    servers((url = "/", description = "The origin of this description")),
    tags(
        (name = "redirects", description = "Where short codes lead"),
        (name = "links", description = "Short codes and where they lead"),
        (name = "users", description = "Those who own links"),
        (name = "events", description = "What happened to links"),
        (name = "products", description = "A list to look at"),
        (name = "operations", description = "How the service is doing"),
        (name = "documentation", description = "This description"),
    ),
    paths(
        redirect::follow_short_code,
        urls::list_urls,
        urls::create_url,
        urls::find_url,
        urls::update_url,
        urls::delete_url,
        stats::show_stats,
        users::list_users,
        users::create_user,
        bulk::import_users,
        users::find_user,
        users::update_user,
        users::delete_user,
        users::list_urls_of_user,
        events::list_events,
        events::create_event,
        events::find_event,
        products::list_products,
        health::show_health,
        health::show_readiness,
        metrics::show_metrics,
        logs::list_logs,
        show_openapi,
        docs::show_docs,
        docs::show_style,
        docs::show_script,
    ),
    components(schemas(Envelope, stats::PerName)),
    modifiers(&Shared)
)]
struct Description;

/// The description as JSON. It is the same as long as the process lives.
static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| Description::openapi().to_pretty_json().expect("a description is plain data"));

/// The description of the API, in JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

/// This description, in OpenAPI 3.1
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "documentation",
    responses((status = 200, body = Object, description = "The description", example = json!({"openapi": "3.1.0"})))
)]
pub(crate) async fn show_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}
