//! Other people's web pages: a browser sends what they ask for, from inside.
//!
//! The API may be open to whoever reaches it, and a browser on the same machine does. What a page of another origin
//! makes it send is refused, unless it only reads; browsers tell by `Origin` and `Sec-Fetch-Site`, and no page can
//! change either.

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::error::Error;

pub(crate) async fn refuse_foreign_pages(request: Request, next: Next) -> Response {
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !only_reads && is_foreign(request.headers()) {
        return Error::Forbidden("A page of another origin may not change anything here").into_response();
    }
    next.run(request).await
}

/// Programs send neither header, and our own pages name our own host.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    match text("origin") {
        None => false,
        Some(origin) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_none() || host != text("host")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_another_origin() {
        let check = |pairs: &[(&'static str, &str)], expected: bool| {
            let headers: HeaderMap =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(is_foreign(&headers), expected, "{pairs:?}");
        };
        let host = ("host", "127.0.0.1:8000");
        check(&[host], false);
        check(&[host, ("origin", "http://127.0.0.1:8000")], false);
        check(&[host, ("origin", "https://evil.example")], true);
        check(&[host, ("origin", "null")], true);
        check(&[host, ("origin", "http://127.0.0.1:8001")], true);
        check(&[host, ("sec-fetch-site", "same-origin")], false);
        check(&[host, ("sec-fetch-site", "none")], false);
        check(&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8000")], true);
        check(&[host, ("sec-fetch-site", "same-site")], true);
    }
}
