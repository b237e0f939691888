//! The dashboard: its page, its files and its session.
//!
//! The page is static and contains no data. It requests everything that it shows from the routes of the API.

#[cfg(test)]
mod compress;
mod files;
pub(crate) mod render;
pub(crate) mod session;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;
use tern_common::accept::prefers_html;
use utoipa::ToSchema;

use crate::http::answer::Json;
use crate::http::conditions::names_tag;
use crate::http::error::not_found;

const PAGE: &str = "/admin/";

/// The path below which each path is a page or a file of the dashboard.
const PREFIX: &str = "/admin";

/// Returns whether a path is the page of the dashboard, whose script reads the query.
pub(crate) fn is_page(path: &str) -> bool {
    path == PREFIX || path.starts_with("/admin/{")
}

/// The start of the API for programs
#[derive(Serialize, ToSchema)]
pub(crate) struct Index {
    #[schema(example = "Tern")]
    name: &'static str,
    #[schema(example = "0.2.0")]
    version: &'static str,
    /// The page for people.
    #[schema(example = "/admin/")]
    dashboard: &'static str,
    /// The page of the documentation.
    #[schema(example = "/docs")]
    documentation: &'static str,
    /// The description of the API in OpenAPI.
    #[schema(example = "/openapi.json")]
    description: &'static str,
}

/// The start of the API
///
/// A browser is redirected to the dashboard.
#[utoipa::path(
    get,
    path = "/",
    tag = "documentation",
    responses(
        (status = 200, body = Index, description = "Where everything is"),
        (status = 302, description = "The dashboard, if `Accept` names `text/html` and no JSON before it"),
    )
)]
pub(crate) async fn show_index(headers: HeaderMap) -> Response {
    let vary = [(header::VARY, "accept")];
    if prefers_html(headers.get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes)) {
        let mut response = (vary, Redirect::to(PAGE)).into_response();
        *response.status_mut() = StatusCode::FOUND;
        return response;
    }
    let index = Index {
        name: "Tern",
        version: env!("CARGO_PKG_VERSION"),
        dashboard: PAGE,
        documentation: "/docs",
        description: "/openapi.json",
    };
    (vary, Json(index)).into_response()
}

/// The dashboard
#[utoipa::path(
    get,
    path = "/admin",
    tag = "dashboard",
    responses((status = 200, body = String, content_type = "text/html", description = "The page", example = "<!doctype html>"))
)]
pub(crate) async fn show_dashboard(headers: HeaderMap) -> Response {
    show_page(&headers)
}

/// A screen of the dashboard
#[utoipa::path(
    get,
    path = "/admin/{screen}",
    tag = "dashboard",
    params(("screen" = String, Path, description = "The name of the screen", example = "links")),
    responses((status = 200, body = String, content_type = "text/html", description = "The page", example = "<!doctype html>"))
)]
pub(crate) async fn show_screen(headers: HeaderMap) -> Response {
    show_page(&headers)
}

/// A screen of the dashboard for one thing
#[utoipa::path(
    get,
    path = "/admin/{screen}/{item}",
    tag = "dashboard",
    params(
        ("screen" = String, Path, description = "The name of the screen", example = "links"),
        ("item" = String, Path, description = "The thing that the screen shows", example = "7"),
    ),
    responses((status = 200, body = String, content_type = "text/html", description = "The page", example = "<!doctype html>"))
)]
pub(crate) async fn show_item(headers: HeaderMap) -> Response {
    show_page(&headers)
}

/// A file of the dashboard
#[utoipa::path(
    get,
    path = "/admin/assets/{version}/{file}",
    tag = "dashboard",
    params(
        ("version" = String, Path, description = "The version that the page names", example = "0"),
        ("file" = String, Path, description = "The name of the file", example = "app.js"),
    ),
    responses((status = 200, body = String, content_type = "text/javascript", description = "The file", example = "export {};"))
)]
pub(crate) async fn show_file(path: Result<Path<(String, String)>, PathRejection>, headers: HeaderMap) -> Response {
    let (version, file) = path.map(|Path(parts)| parts).unwrap_or_default();
    let (Some(media_type), Some(sent)) = (files::media_type(&file), files::find(&file, &headers)) else {
        return not_found("The dashboard has no such file").into_response();
    };
    // Another version is that of another process while a new version is rolled out.
    let caching = if version == files::page().version { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, caching)];
    (headers, coding(sent.coding), sent.content).into_response()
}

fn show_page(headers: &HeaderMap) -> Response {
    let page = files::page();
    let fields = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, page.policy.as_str()),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "clipboard-write=(self), camera=(), geolocation=(), microphone=()",
        ),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, page.etag.as_str()),
    ];
    if names_tag(headers, &page.etag) {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    match files::compressed(render::TEMPLATE, headers) {
        Some(sent) => (fields, coding(sent.coding), sent.content).into_response(),
        None => (fields, coding(None), page.html.clone()).into_response(),
    }
}

fn coding(coding: Option<&'static str>) -> HeaderMap {
    let fields = [(header::VARY, Some("accept-encoding")), (header::CONTENT_ENCODING, coding)];
    fields.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?)))).collect()
}
