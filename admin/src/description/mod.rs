//! The description of the API: what handlers do not say beside themselves, in [`shared`], and the page that shows it.

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
    paths(redirect::follow_short_code),
    components(schemas(Envelope))
)]
struct Description;

/// Returns what is described beside the routes: the API as a whole, and redirects.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
