//! `GET /docs`: a page that shows the description of the API and tries its requests out.
//!
//! It is whole in this binary and loads nothing from elsewhere. What it shows it reads from `/openapi.json`.

use axum::http::header;
use axum::response::IntoResponse;

/// Nothing runs or is loaded that is not of this origin, and nobody puts the page into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// This description, to look at
#[utoipa::path(
    get,
    path = "/docs",
    tag = "documentation",
    responses((status = 200, body = String, content_type = "text/html", description = "A page"))
)]
pub(crate) async fn show_docs() -> impl IntoResponse {
    show("text/html; charset=utf-8", include_str!("docs.html"))
}

/// The look of that page
#[utoipa::path(
    get,
    path = "/docs/docs.css",
    tag = "documentation",
    responses((status = 200, body = String, content_type = "text/css", description = "A style sheet"))
)]
pub(crate) async fn show_style() -> impl IntoResponse {
    show("text/css; charset=utf-8", include_str!("docs.css"))
}

/// The script of that page
#[utoipa::path(
    get,
    path = "/docs/docs.js",
    tag = "documentation",
    responses((status = 200, body = String, content_type = "text/javascript", description = "A script"))
)]
pub(crate) async fn show_script() -> impl IntoResponse {
    show("text/javascript; charset=utf-8", include_str!("docs.js"))
}

/// The router adds `nosniff`.
fn show(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The next version of the binary has another page under the same name.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
