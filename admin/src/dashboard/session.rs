//! The session of the dashboard: a token in two halves, of which the server stores none.
//!
//! A browser sends a cookie to every port and every program of a host, and a script reads what its origin stores.
//! Each half alone is random bytes, so neither another port nor an injected script learns the token from one of them.
//! The halves are joined for each request and checked like a token in `Authorization`, so revoking the token ends the session.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tern_common::Id;
use tern_common::token::Role;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::http::answer::Json;
use crate::http::body::Body;
use crate::http::error::{Result, bad_request};
use crate::request_log::request::LoggedRequest;
use crate::state::AppState;

/// The header with the half that the page stores.
pub(crate) const HALF: HeaderName = HeaderName::from_static("tern-session");

/// The name of the cookie with the other half; the port follows, because ports share cookies.
const COOKIE: &str = "tern-session";

/// The prefix by which browsers let only this host set the cookie, over TLS.
const SECURE: &str = "__Host-";

/// The most bytes of a token that becomes a session. Tern's own have 48.
const LONGEST: usize = 256;

/// The seconds after which a browser forgets the cookie: 30 days.
const MAX_AGE: u32 = 30 * 24 * 60 * 60;

/// A token that becomes a session
#[derive(Deserialize, ToSchema)]
pub(crate) struct CreateSession {
    #[schema(example = "tern_4mJv0bqmTtXx0fPBvYcVbJ0rWJYb4gW7Wc5n4l2a9pM")]
    token: String,
}

/// A new session
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// The half of the session that each request sends as `Tern-Session`, beside the cookie.
    #[schema(example = "uHq8c0h1m3o8Ww")]
    half: String,
    #[serde(flatten)]
    access: Access,
}

/// The caller of a request, and the rights that it has
#[derive(Serialize, ToSchema)]
pub(crate) struct Access {
    /// Whether the API answers this client without a token.
    #[schema(example = false)]
    is_open: bool,
    /// The name of the token; `null` where the API is open.
    #[schema(required, example = "ops")]
    token: Option<String>,
    /// `viewer`, `editor`, `admin` or `metrics`.
    #[schema(example = "editor")]
    role: &'static str,
    /// The user to whose rows the token is limited.
    #[schema(required)]
    user_id: Option<Id>,
}

/// Make a session of a token
///
/// The session is a cookie and a value for the header `Tern-Session`, and both together stand for the token.
#[utoipa::path(
    post,
    path = "/admin/session",
    tag = "dashboard",
    request_body = CreateSession,
    responses(
        (status = 201, body = Session, description = "The session; its other half is in the cookie"),
        (status = 401),
        (status = 429),
    )
)]
pub(crate) async fn create_session(
    State(state): State<Arc<AppState>>,
    Extension(logged): Extension<Arc<LoggedRequest>>,
    headers: HeaderMap,
    Body(CreateSession { token }): Body<CreateSession>,
) -> Result<impl IntoResponse> {
    let token = token.trim();
    if !(1..=LONGEST).contains(&token.len()) {
        return Err(bad_request(format!("token must have 1 to {LONGEST} characters")));
    }
    let (caller, role) = state.access.identify(token.as_bytes(), logged.client, Instant::now()).await?;
    let (cookie, half) = split(token.as_bytes());
    let access = Access::new(false, &caller, role);
    Ok((
        StatusCode::CREATED,
        [(header::SET_COOKIE, set_cookie(&headers, &cookie, MAX_AGE))],
        Json(Session { half, access }),
    ))
}

/// End the session of this browser
///
/// The token remains valid.
#[utoipa::path(
    delete,
    path = "/admin/session",
    tag = "dashboard",
    responses((status = 204, description = "The cookie is removed"))
)]
pub(crate) async fn delete_session(headers: HeaderMap) -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie(&headers, "", 0))])
}

/// The rights of the caller
#[utoipa::path(
    get,
    path = "/admin/access",
    tag = "dashboard",
    responses((status = 200, body = Access, description = "The token of the request, and its role"))
)]
pub(crate) async fn show_access(
    caller: Caller,
    Extension(role): Extension<Role>,
    Extension(logged): Extension<Arc<LoggedRequest>>,
) -> Json<Access> {
    Json(Access::new(logged.is_open, &caller, role))
}

impl Access {
    fn new(is_open: bool, caller: &Caller, role: Role) -> Access {
        Access { is_open, token: caller.token().map(str::to_owned), role: role.as_str(), user_id: caller.owner() }
    }
}

/// Splits a token into the half of the cookie, which is random, and the half of the page.
fn split(token: &[u8]) -> (String, String) {
    let mut random = vec![0; token.len()];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let other: Vec<u8> = token.iter().zip(&random).map(|(byte, random)| byte ^ random).collect();
    (URL_SAFE_NO_PAD.encode(random), URL_SAFE_NO_PAD.encode(other))
}

/// Joins the token of a session; `None` if either half is missing or they do not belong together.
pub(crate) fn join(headers: &HeaderMap) -> Option<Vec<u8>> {
    let half = URL_SAFE_NO_PAD.decode(headers.get(HALF)?).ok()?;
    let names = [format!("{SECURE}{COOKIE}"), COOKIE.to_owned()].map(|name| name + &port(headers));
    let cookies = || headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = || cookies().flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let cookie = names.iter().find_map(|name| pairs().find(|(other, _)| other == name))?.1;
    let cookie = URL_SAFE_NO_PAD.decode(cookie).ok()?;
    (cookie.len() == half.len()).then(|| half.iter().zip(cookie).map(|(half, cookie)| half ^ cookie).collect())
}

fn set_cookie(headers: &HeaderMap, value: &str, max_age: u32) -> String {
    let is_secure =
        headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"));
    let (prefix, secure) = if is_secure { (SECURE, "; Secure") } else { ("", "") };
    let port = port(headers);
    format!("{prefix}{COOKIE}{port}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}")
}

/// Returns the port of the requested host with a dash before it, or nothing if the host has none.
fn port(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) { format!("-{port}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &[u8] = b"tern_secret";

    fn joined(host: &'static str, half: &str, cookies: &[String]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        headers.insert(HALF, half.try_into().unwrap());
        headers.extend(cookies.iter().map(|cookie| (header::COOKIE, cookie.as_str().try_into().unwrap())));
        join(&headers)
    }

    #[test]
    fn halves_of_one_session_join_to_the_token() {
        let (cookie, half) = split(TOKEN);
        let check = |host, half: &str, cookies: &[String], expected: bool| {
            assert_eq!(joined(host, half, cookies).as_deref() == Some(TOKEN), expected, "{host} {cookies:?}");
        };
        check("localhost:8000", &half, &[format!("a=b; tern-session-8000={cookie}")], true);
        check("[::1]:8000", &half, &["a=b".to_owned(), format!("tern-session-8000={cookie}")], true);
        check("t.example", &half, &[format!("tern-session=x; __Host-tern-session={cookie}")], true);
        check("localhost:8001", &half, &[format!("tern-session-8000={cookie}")], false);
        check("localhost:8000", &half, &[], false);
        check("localhost:8000", &half, &["tern-session-8000=".to_owned()], false);
        check("localhost:8000", "%", &[format!("tern-session-8000={cookie}")], false);
        check("localhost:8000", &split(TOKEN).1, &[format!("tern-session-8000={cookie}")], false);
    }

    #[test]
    fn half_of_a_session_does_not_contain_the_token() {
        let ((one, half), (other, _)) = (split(TOKEN), split(TOKEN));
        assert_ne!(one, other);
        assert_ne!(URL_SAFE_NO_PAD.decode(one).unwrap(), TOKEN);
        assert_ne!(URL_SAFE_NO_PAD.decode(half).unwrap(), TOKEN);
    }

    #[test]
    fn cookie_behind_tls_is_secure() {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("t.example"))]);
        assert_eq!(set_cookie(&headers, "x", 9), "tern-session=x; Path=/; Max-Age=9; HttpOnly; SameSite=Strict");
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let secure = "__Host-tern-session=x; Path=/; Max-Age=9; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set_cookie(&headers, "x", 9), secure);
    }
}
