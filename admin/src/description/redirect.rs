//! The description of redirects, which redirectors answer, and `tern serve` on the API's port.

/// Path of the operation, which no route of the API has.
pub(super) const PATH: &str = "/{short_code}";

/// Follow a short code
///
/// The query is ignored. A `GET` that redirects is a click, and a `HEAD` is none.
/// Behind nginx and on the port of `tern serve` this is on the origin of the API; a redirector has a port of its own.
#[utoipa::path(
    get,
    path = "/{short_code}",
    tag = "redirects",
    params((
        "short_code" = String,
        Path,
        description = "The code, in the case in which it was given",
        min_length = 1,
        max_length = 64,
        pattern = "^[0-9A-Za-z_-]+$",
        example = "Lh1hFP"
    )),
    responses(
        (status = 302, description = "The target of the link", headers(("Location"))),
        (status = 404),
        (status = 410),
        (status = 429),
        (status = 503),
    )
)]
#[expect(dead_code, reason = "redirectors answer; this is the description of their answers")]
pub(super) fn follow_short_code() {}
