//! The description of redirects, which redirectors answer, and `tern serve` on the API port, too.

/// The path of the operation, which is no route of the API.
pub(super) const PATH: &str = "/{short_code}";

/// Follow a short code
///
/// The query is ignored. A `GET` that redirects is counted as a click; a `HEAD` is not.
/// Behind nginx and with `tern serve` the path is on the origin of the API. A redirector has another port.
#[utoipa::path(
    get,
    path = "/{short_code}",
    tag = "redirects",
    params((
        "short_code" = String,
        Path,
        description = "The code, with upper and lower case as issued",
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
#[expect(dead_code, reason = "redirectors answer; this function describes their answers")]
pub(super) fn follow_short_code() {}
