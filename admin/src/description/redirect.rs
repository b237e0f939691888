//! The description of redirects, which redirectors answer, and `tern serve` on the API port, too.

use utoipa::{IntoParams, ToSchema};

/// The paths of the operations, which are no routes of the API.
pub(super) const PATHS: [&str; 2] = ["/{short_code}", "/{short_code}+"];

/// The target of a link
#[derive(ToSchema)]
#[expect(dead_code, reason = "redirectors answer; this type describes their answers")]
pub(super) struct Preview {
    #[schema(example = "Lh1hFP")]
    short_code: String,
    /// The target as it was given.
    #[schema(example = "https://example.com/hello")]
    original_url: String,
}

/// The code of a link, as a part of a path
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "redirectors read the path; this type describes it")]
pub(super) struct Code {
    /// The code, with upper and lower case as issued
    #[param(min_length = 1, max_length = 64, pattern = "^[0-9A-Za-z_-]+$", example = "Lh1hFP")]
    short_code: String,
}

/// Follow a short code
///
/// The query is ignored, unless the link forwards it to its target.
/// A `GET` that redirects to the target is counted as a click; a `HEAD` is not.
/// A link with `max_clicks` gets a page without its target in answer to a `HEAD`, a prefetch or a preview agent.
/// A client whose `Accept` names `text/html`, and no JSON before it, gets each error but 405 as a page.
/// Behind nginx and with `tern serve` the path is on the origin of the API. A redirector has another port.
#[utoipa::path(
    get,
    path = "/{short_code}",
    tag = "redirects",
    params(Code),
    responses(
        (status = 301, description = "The target of the link", headers(("Location"))),
        (status = 302, description = "The target of the link, or the address of a link that is expired or used up", headers(("Location"))),
        (status = 307, description = "The target of the link", headers(("Location"))),
        (status = 308, description = "The target of the link", headers(("Location"))),
        (status = 404),
        (status = 410),
        (status = 429),
        (status = 503),
    )
)]
#[expect(dead_code, reason = "redirectors answer; this function describes their answers")]
pub(super) fn follow_short_code() {}

/// Show where a short code leads
///
/// A link that would not redirect is answered as without the `+`. A preview is no click.
/// A link with `max_clicks` gets a page without its target.
/// A client whose `Accept` names `text/html`, and no JSON before it, gets a page.
#[utoipa::path(
    get,
    path = "/{short_code}+",
    tag = "redirects",
    params(Code),
    responses(
        (status = 200, description = "The target of the link", body = Preview),
        (status = 404),
        (status = 410),
        (status = 429),
        (status = 503),
    )
)]
#[expect(dead_code, reason = "redirectors answer; this function describes their answers")]
pub(super) fn preview_short_code() {}
