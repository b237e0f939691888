//! The domain that Tern reports to Shlink clients: the host and the port of the first address of `PUBLIC_URL`, or of
//! the request.

use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::answer::Json;
use crate::resources::shown_url::ShortOrigin;

/// Shlink's keyword for the default domain.
const DEFAULT: &str = "DEFAULT";

/// Returns whether a domain is the one that Tern serves.
pub(super) fn is_own(origin: &ShortOrigin, domain: &str) -> bool {
    let own = origin.authority();
    domain == DEFAULT || domain.eq_ignore_ascii_case(own) || domain.eq_ignore_ascii_case(host_of(own))
}

/// Returns the host of an authority, without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The last colon of an IPv6 address without a port is followed by a bracket.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

pub(super) fn list(origin: &ShortOrigin) -> Response {
    let redirects = json!({ "baseUrlRedirect": null, "regular404Redirect": null, "invalidShortUrlRedirect": null });
    let domain = json!({ "domain": origin.authority(), "isDefault": true, "redirects": redirects });
    Json(json!({ "domains": { "data": [domain], "defaultRedirects": redirects } })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_an_authority_has_no_port_and_all_groups_of_an_ipv6_address() {
        for (authority, expected) in [
            ("s.example", "s.example"),
            ("s.example:8000", "s.example"),
            ("127.0.0.1:8000", "127.0.0.1"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[2001:db8::1]:8000", "[2001:db8::1]"),
            ("[::]", "[::]"),
        ] {
            assert_eq!(host_of(authority), expected, "{authority}");
        }
    }
}
