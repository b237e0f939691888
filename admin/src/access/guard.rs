//! The layer around each route, which checks token, role and budget.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tern_common::budget::prefix;
use tern_common::store::signed;
use tern_common::token::{Role, TokenHash};
use tokio::sync::OwnedSemaphorePermit;

use super::caller::Caller;
use super::permit_body::hold_permit;
use super::tokens::{Access, Bearer};
use crate::dashboard::session;
use crate::http::body::discard_body;
use crate::http::error::{Error, Result, forbidden, too_many_requests, unavailable};
use crate::request_log::request::LoggedRequest;
use crate::request_log::trace::name_token;

const WITHOUT_TOKEN: &str = "An Authorization header with a bearer token is needed";

/// The answer to a request without a token that was forwarded to an API on loopback.
const FORWARDED_WITHOUT_TOKEN: &str = "Without a token this API answers only programs on its own machine that ask for localhost, \
     and this request was forwarded or asks for another host; create a token there (token create NAME --role admin) and \
     send it as Authorization: Bearer TOKEN";

/// The part of the API that a route belongs to; it decides which roles may use the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Health, readiness and documentation, which need no token.
    Public,
    /// Users, links, events, products.
    Data,
    Metrics,
    /// The log, the tokens and the state of the system, which only admins may reach.
    Operations,
    /// The rights of the caller, which every valid token may read.
    Access,
}

/// Returns whether a role may use the routes of an area: the table of roles.
pub fn may(role: Role, area: Area, method: &Method) -> bool {
    let only_reads = matches!(*method, Method::GET | Method::HEAD);
    match (area, role) {
        (Area::Public | Area::Access, _)
        | (_, Role::Admin)
        | (Area::Metrics, Role::Metrics)
        | (Area::Data, Role::Editor) => true,
        (Area::Data, Role::Viewer) => only_reads,
        (Area::Data | Area::Operations, Role::Metrics) | (Area::Metrics | Area::Operations, _) => false,
    }
}

/// State of the layer around a route.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) access: Arc<Access>,
    pub(crate) area: Area,
}

/// A request that its token admitted.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    role: Role,
    permit: OwnedSemaphorePermit,
}

impl Admitted {
    /// Admits a request that carries its token outside of `Authorization`. An open API needs the token, too.
    ///
    /// # Errors
    /// A 401 without a valid token; `missing` is its message if there is none.
    pub(crate) async fn by_token(
        access: &Access,
        sent: Option<&[u8]>,
        missing: &'static str,
        logged: &LoggedRequest,
    ) -> Result<Admitted> {
        let now = Instant::now();
        access.check_age()?;
        let bearer = match sent {
            Some(sent) => access.find_valid(sent, logged.client, now).await?,
            None => return Err(access.count_failure(missing, logged.client, now)),
        };
        let permit = access.begin_request(&bearer, now)?;
        logged.log_start();
        Ok(Admitted { caller: Caller::of(&bearer), role: bearer.token.role, permit })
    }

    /// Refuses what the role of the token does not allow: a request for links and events of this method.
    pub(crate) fn check_role(&self, method: &Method) -> Result<()> {
        if may(self.role, Area::Data, method) {
            return Ok(());
        }
        Err(forbidden("The role of this token does not allow this"))
    }

    /// Answers in the name of the token. The answer holds the permit until its last byte is sent.
    pub(crate) async fn answer(self, answer: impl Future<Output = Response>) -> Response {
        hold_permit(signed(self.caller.token.clone(), answer).await, Some(self.permit))
    }
}

/// Admits a request to its route, or refuses it.
pub(crate) async fn authorise(
    State(guard): State<Guard>,
    Extension(logged): Extension<Arc<LoggedRequest>>,
    request: Request,
    next: Next,
) -> Response {
    if guard.area == Area::Public {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let admitted = admit(&guard, &head, &logged).await;
    let mut request = Request::from_parts(head, body);
    match admitted {
        Ok((role, caller, permit)) => {
            let token = caller.token.clone();
            request.extensions_mut().insert(role);
            request.extensions_mut().insert(caller);
            logged.log_start();
            hold_permit(signed(token, next.run(request)).await, permit)
        }
        Err(refusal) => {
            discard_body(request);
            refusal.into_response()
        }
    }
}

/// Checks a request. Returns its role, its caller, and the permit that the request and its answer hold, if a token admits them.
async fn admit(
    guard: &Guard,
    request: &Parts,
    logged: &LoggedRequest,
) -> Result<(Role, Caller, Option<OwnedSemaphorePermit>)> {
    let Guard { access, area } = guard;
    let now = Instant::now();
    let client = logged.client;
    access.check_age()?;
    let (role, caller, in_flight) = if logged.is_open {
        access.requests.spend(prefix(client), now).map_err(too_many_requests)?;
        (Role::Admin, Caller::default(), None)
    } else {
        let bearer = find_bearer(access, &request.headers, client, now).await?;
        (bearer.token.role, Caller::of(&bearer), Some(access.begin_request(&bearer, now)?))
    };
    if !may(role, *area, &request.method) {
        return Err(forbidden("The role of this token does not allow this"));
    }
    caller.check_operation(request)?;
    Ok((role, caller, in_flight))
}

/// Finds the token of a request, which is in `Authorization` or in the two halves of a session.
async fn find_bearer(access: &Access, headers: &HeaderMap, client: IpAddr, now: Instant) -> Result<Arc<Bearer>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let problem = match (values.next(), values.next()) {
        (Some(value), None) => match bearer_token(value.as_bytes()) {
            Some(sent) => return access.find_valid(sent, client, now).await,
            None => "The Authorization header must be: Bearer <token>",
        },
        (None, _) => match session::join(headers) {
            Some(joined) => return access.find_valid(&joined, client, now).await,
            None if access.is_open() => FORWARDED_WITHOUT_TOKEN,
            None => WITHOUT_TOKEN,
        },
        _ => WITHOUT_TOKEN,
    };
    Err(access.count_failure(problem, client, now))
}

impl Access {
    /// Finds the caller and the role of a token that a client sent.
    ///
    /// # Errors
    /// A 401 for an invalid token, and a 429 for a client that sent too many of them.
    pub(crate) async fn identify(&self, sent: &[u8], client: IpAddr, now: Instant) -> Result<(Caller, Role)> {
        let bearer = self.find_valid(sent, client, now).await?;
        Ok((Caller::of(&bearer), bearer.token.role))
    }

    fn check_age(&self) -> Result<()> {
        if self.is_stale() {
            return Err(unavailable("Tokens cannot be checked", anyhow!("the list of tokens is too old")));
        }
        Ok(())
    }

    /// Spends the budget of a token for a request, and returns the permit that the request and its answer hold.
    fn begin_request(&self, bearer: &Bearer, now: Instant) -> Result<OwnedSemaphorePermit> {
        self.requests.spend(bearer.token.id, now).map_err(too_many_requests)?;
        let in_flight = Arc::clone(&bearer.in_flight).try_acquire_owned();
        in_flight.map_err(|_| too_many_requests(Duration::from_secs(1)))
    }

    /// Finds a valid token. Each client has a budget of failed attempts; a valid token is accepted without it.
    async fn find_valid(&self, sent: &[u8], client: IpAddr, now: Instant) -> Result<Arc<Bearer>> {
        let hash = TokenHash::of(sent);
        let bearer = match self.find(&hash) {
            Some(bearer) => bearer,
            None => {
                self.failures.spend(prefix(client), now).map_err(too_many_requests)?;
                self.read().await?;
                self.find(&hash).ok_or_else(|| self.refuse("The token is unknown"))?
            }
        };
        name_token(bearer.token.name.as_str());
        bearer.use_now().map_err(|message| self.count_failure(message, client, now))?;
        Ok(bearer)
    }

    /// Spends the client's budget of failed attempts, and returns the refusal.
    fn count_failure(&self, message: &'static str, client: IpAddr, now: Instant) -> Error {
        let spent = self.failures.spend(prefix(client), now).map_err(too_many_requests);
        spent.map_or_else(|error| error, |()| self.refuse(message))
    }

    fn refuse(&self, message: &'static str) -> Error {
        self.refused.inc();
        Error::new(StatusCode::UNAUTHORIZED, message)
    }
}

/// Returns the token after the scheme, whose case does not matter (RFC 9110, 11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_with_bearer_scheme_contains_the_token() {
        let check = |value: &str, expected: Option<&str>| {
            assert_eq!(bearer_token(value.as_bytes()), expected.map(str::as_bytes), "{value:?}");
        };
        check("Bearer abc", Some("abc"));
        check("bearer  abc ", Some("abc"));
        check("Bearer", None);
        check("Bearer ", None);
        check("Basic abc", None);
        check("Bearerabc", None);
        check("", None);
    }
}
