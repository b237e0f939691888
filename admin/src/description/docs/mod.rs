//! `GET /docs`: a page that shows `/openapi.json` and can send its requests.
//!
//! The page is a part of the binary and loads nothing from another host.

use axum::http::header;
use axum::response::IntoResponse;

/// Content security policy of the page: it loads and runs only content of this origin, and no page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page that shows the description of the API
#[utoipa::path(
    get,
    path = "/docs",
    tag = "documentation",
    responses((status = 200, body = String, content_type = "text/html", description = "A page"))
)]
pub(crate) async fn show_docs() -> impl IntoResponse {
    show("text/html; charset=utf-8", include_str!("docs.html"))
}

/// The style sheet of the page
#[utoipa::path(
    get,
    path = "/docs/docs.css",
    tag = "documentation",
    responses((status = 200, body = String, content_type = "text/css", description = "A style sheet"))
)]
pub(crate) async fn show_style() -> impl IntoResponse {
    show("text/css; charset=utf-8", include_str!("docs.css"))
}

/// The script of the page
#[utoipa::path(
    get,
    path = "/docs/docs.js",
    tag = "documentation",
    responses((status = 200, body = String, content_type = "text/javascript", description = "A script"))
)]
pub(crate) async fn show_script() -> impl IntoResponse {
    show("text/javascript; charset=utf-8", include_str!("docs.js"))
}

/// Answers with a file of the page. The router adds `nosniff`.
fn show(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The next version of the program may have another page at this address.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
