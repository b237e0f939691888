//! The description of the API as a whole; [`shared`] describes what operations have in common, [`docs`] is its page.

pub(crate) mod docs;
mod redirect;
mod shared;

use utoipa::OpenApi;

pub(crate) use self::shared::complete;
use crate::http::error::Envelope;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tern",
        description = "Short links with their owners, targets and events.\n\n\
            Bodies are JSON in UTF-8, nested at most 32 deep; unknown fields and query parameters are ignored, \
            and named in the header `Tern-Ignored` of the answer. \
            Times are in UTC, to the second. Lists are ordered by id. \
            Each path also works with a slash at its end, and each `GET` as a `HEAD`. \
            Every error is an object with `error` and `message`; \
            a method that is not listed is answered 405 with `Allow`. \
            A request may have `X-Request-Id` and `traceparent`, which its log entries repeat."
    ),
    servers((url = "/", description = "The origin of this description")),
    tags(
        (name = "redirects", description = "Answers to short codes"),
        (name = "links", description = "Short codes and their targets"),
        (name = "users", description = "The owners of links"),
        (name = "events", description = "Records of clicks and changes"),
        (name = "products", description = "A list to read"),
        (name = "tokens", description = "The tokens of the API, for admins"),
        (name = "operations", description = "Health, metrics and log of the service"),
        (name = "dashboard", description = "The page for people, and its session"),
        (name = "documentation", description = "This description"),
    ),
    paths(redirect::follow_short_code, redirect::preview_short_code),
    components(schemas(Envelope))
)]
struct Description;

/// Returns the description of the API as a whole and of redirects, without the routes.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
