//! Requests to the API of a server.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use serde_json::Value;
use ureq::http::{Method, Request, Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

use crate::failure::{Failure, Kind};

/// The longest time to connect, and of a whole request.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The largest answer. A page of 100 links with the longest targets and notes has about 2 MiB.
const ANSWER_LIMIT: u64 = 16 * 1024 * 1024;

/// The address of an API, and the token for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Scheme, authority and path, without a slash at the end.
    url: String,
    is_loopback: bool,
    token: Option<String>,
}

impl fmt::Debug for Server {
    /// Omits the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The refusal of the address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the address of a server, such as https://go.example")]
pub struct InvalidUrl;

impl Server {
    /// # Errors
    /// If the address is no HTTP URL, or has a query or a user name.
    pub fn new(url: &str, token: Option<String>) -> Result<Server, InvalidUrl> {
        let uri: Uri = url.parse().map_err(|_| InvalidUrl)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().filter(|authority| is_http && !authority.as_str().contains('@'));
        let host = authority.ok_or(InvalidUrl)?.host().trim_matches(['[', ']']);
        if uri.query().is_some() || url.contains('#') {
            return Err(InvalidUrl);
        }
        let is_loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        Ok(Server { url: url.trim_end_matches('/').to_owned(), is_loopback, token })
    }
}

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Api<'a> {
    agent: Agent,
    server: &'a Server,
}

/// An answer that reports success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// The path and query of the next page of a list.
    pub(crate) next: Option<String>,
    /// The number of rows of a list, as the API tells it.
    pub(crate) total: Option<String>,
}

/// The parameters of a request, which repeat a name for each of several values.
#[derive(Debug, Default)]
pub(crate) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    pub(crate) fn add(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, value.to_string()));
    }

    pub(crate) fn add_all(&mut self, name: &'static str, values: impl IntoIterator<Item = impl ToString>) {
        values.into_iter().for_each(|value| self.add(name, value));
    }

    /// Returns a path with these parameters as its query.
    pub(crate) fn path(&self, path: &str) -> String {
        let query = Serializer::new(String::new()).extend_pairs(&self.0).finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

impl<'a> Api<'a> {
    pub(crate) fn new(server: &'a Server) -> Result<Api<'a>, Failure> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // A token must not follow a redirect, and a changed method must not change the request.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_global(Some(REQUEST_LIMIT))
            .user_agent(concat!("tern/", env!("CARGO_PKG_VERSION")));
        if server.is_loopback {
            // The API on loopback is open to direct requests alone.
            config = config.proxy(None);
        }
        if server.url.starts_with("https:") {
            config = config.tls_config(tls()?);
        }
        Ok(Api { agent: config.build().new_agent(), server })
    }

    pub(crate) fn server(&self) -> &str {
        &self.server.url
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None)
    }

    /// Sends a request, and reports names in it that the server ignored.
    ///
    /// # Errors
    /// With the message of the API if it answers an error.
    pub(crate) fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server.url));
        if let Some(token) = &self.server.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let answered = match body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                request.body(body.to_string()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
            }
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        let mut response = answered.map_err(|error| self.no_answer(&error))?;
        let bytes = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_vec();
        let bytes = bytes.map_err(|error| self.no_answer(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(&response, &bytes));
        }
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        if let Some(ignored) = header("tern-ignored") {
            crate::output::warn(&format!("the server does not know, and ignored: {ignored}"));
        }
        Ok(Answer { bytes, next: header("link").and_then(|links| next_page(&links)), total: header("x-total-count") })
    }

    /// Describes a request without an answer.
    fn no_answer(&self, error: &ureq::Error) -> Failure {
        let url = &self.server.url;
        let reason = match error {
            ureq::Error::Timeout(Timeout::Connect) => format!("no connection within {} s", CONNECT_LIMIT.as_secs()),
            ureq::Error::Timeout(_) => format!("no answer within {} s", REQUEST_LIMIT.as_secs()),
            error => error.to_string(),
        };
        Failure::new(
            Kind::Unavailable,
            format!("{url} does not answer ({reason}); check that the server runs there (TERN_URL)"),
        )
    }

    /// Describes an answer that reports an error, with the sentence of the API where it has one.
    fn refusal(&self, response: &Response<Body>, bytes: &[u8]) -> Failure {
        let (status, url) = (response.status(), &self.server.url);
        let message = serde_json::from_slice::<Value>(bytes).ok();
        let message = message.and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
        let Some(message) = message else {
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let to = location.map(|location| format!(", which leads to {location}")).unwrap_or_default();
            let kind = if is_unavailable(status) { Kind::Unavailable } else { Kind::Other };
            return Failure::new(
                kind,
                format!("{url} answered {status}{to}, and not as Tern's API does; check TERN_URL"),
            );
        };
        let (kind, advice) = match status {
            StatusCode::UNAUTHORIZED if self.server.token.is_none() => {
                (Kind::Unauthorised, "; set TERN_TOKEN to a token of this server (tern token create)")
            }
            StatusCode::UNAUTHORIZED => (Kind::Unauthorised, " (TERN_TOKEN)"),
            StatusCode::FORBIDDEN => (Kind::Unauthorised, ""),
            StatusCode::NOT_FOUND => (Kind::NotFound, ""),
            status if is_unavailable(status) => (Kind::Unavailable, ""),
            status if status.is_client_error() => (Kind::Refused, ""),
            _ => (Kind::Other, ""),
        };
        Failure::new(kind, format!("{message}{advice}"))
    }

    /// Reads JSON from an answer.
    pub(crate) fn read(&self, answer: &Answer) -> Result<Value, Failure> {
        serde_json::from_slice(&answer.bytes).map_err(|_| self.not_tern())
    }

    pub(crate) fn not_tern(&self) -> Failure {
        Failure::new(Kind::Other, format!("{} does not answer as Tern's API does; check TERN_URL", self.server.url))
    }
}

fn is_unavailable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Trusts the certificates of the system.
fn tls() -> Result<TlsConfig, Failure> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Failure::new(
            Kind::Other,
            "there is no certificate authority on this system; install its package ca-certificates",
        ));
    }
    let roots: Vec<_> = found.certs.iter().map(|found| Certificate::from_der(found).to_owned()).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::new_with_certs(&roots);
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

/// Returns the path and query with `rel="next"` of a `Link` header.
fn next_page(links: &str) -> Option<String> {
    let link = links.split(", <").find(|link| link.ends_with("rel=\"next\""))?;
    let (path, _) = link.trim_start_matches('<').split_once('>')?;
    path.starts_with('/').then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_an_http_url_without_query_and_user() {
        let check = |url: &str, expected: Option<(&str, bool)>| {
            let server = Server::new(url, None).ok();
            let server = server.as_ref().map(|server| (&*server.url, server.is_loopback));
            assert_eq!(server, expected, "{url}");
        };
        check("https://go.example/", Some(("https://go.example", false)));
        check("http://localhost:8000", Some(("http://localhost:8000", true)));
        check("http://[::1]:8000", Some(("http://[::1]:8000", true)));
        check("http://127.0.0.1:8000/tern/", Some(("http://127.0.0.1:8000/tern", true)));
        for wrong in
            ["", "go.example", "/urls", "ftp://go.example", "https://", "https://a@b", "https://a?b", "http://a#b"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn next_page_is_found_before_and_after_the_previous_one() {
        let (next, prev) = ("</urls?after=1,2&per_page=9>; rel=\"next\"", "</urls?before=7>; rel=\"prev\"");
        let check = |links: &str, expected: Option<&str>| assert_eq!(next_page(links).as_deref(), expected, "{links}");
        check(next, Some("/urls?after=1,2&per_page=9"));
        check(&format!("{next}, {prev}"), Some("/urls?after=1,2&per_page=9"));
        check(&format!("{prev}, {next}"), Some("/urls?after=1,2&per_page=9"));
        check(prev, None);
        check("<https://elsewhere.example/>; rel=\"next\"", None);
    }
}
