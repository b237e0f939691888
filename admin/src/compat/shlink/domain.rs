//! The one domain that Tern serves: the host of the short URLs.

use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::answer::Json;
use crate::resources::shown_url::ShortOrigin;

/// The name of the domain of short URLs without a domain of their own.
const DEFAULT: &str = "DEFAULT";

/// Returns whether a domain is the one that Tern serves.
pub(super) fn is_own(origin: &ShortOrigin, domain: &str) -> bool {
    let own = origin.authority();
    let host = own.rsplit_once(':').map_or(own, |(host, _)| host);
    domain == DEFAULT || domain.eq_ignore_ascii_case(own) || domain.eq_ignore_ascii_case(host)
}

pub(super) fn list(origin: &ShortOrigin) -> Response {
    let redirects = json!({ "baseUrlRedirect": null, "regular404Redirect": null, "invalidShortUrlRedirect": null });
    let domain = json!({ "domain": origin.authority(), "isDefault": true, "redirects": redirects });
    Json(json!({ "domains": { "data": [domain], "defaultRedirects": redirects } })).into_response()
}
