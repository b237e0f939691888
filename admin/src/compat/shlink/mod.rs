//! The REST API of Shlink: `/rest/v3`, and the same under `/rest/v2` and `/rest/v1`.
//!
//! ```text
//! operation   the table of operations by method and path
//! query       the parameters of a query
//! requests    the bodies that create and edit short URLs
//! problem     errors in the form of Shlink
//! page        pages of lists
//! shown       short URLs as answers show them
//! domain      the one domain that Tern serves
//! short_urls  list, create, read, edit and delete short URLs
//! visits      lists and numbers of visits
//! tags        tags with their numbers, renamed and removed
//! ```

mod domain;
mod operation;
mod page;
mod problem;
mod query;
mod requests;
mod short_urls;
mod shown;
mod tags;
mod visits;

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tower_http::cors::{Any, CorsLayer};

use self::operation::{Operation, Unroutable};
pub(crate) use self::problem::as_problem;
use self::problem::{Outcome, Problem};
use self::query::Query;
use crate::access::Caller;
use crate::access::guard::Admitted;
use crate::http::answer::Json;
use crate::http::body::{discard_body, read_whole};
use crate::http::error::{Error, internal, not_found};
use crate::request_log::request::LoggedRequest;
use crate::resources::shown_url::ShortOrigin;
use crate::state::AppState;

/// The paths of the API for the router.
pub(crate) const PATHS: [&str; 3] = ["/rest", "/rest/", "/rest/{*path}"];

/// The version of Shlink whose features Tern has.
const VERSION: &str = "4.0.0";

const WITHOUT_KEY: &str =
    "The header X-Api-Key is needed: a token of this Tern, made with token create NAME --role editor --user ID";

/// The time for which a browser remembers the answer to a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(60 * 60);

/// Lets the pages of every origin use the API. It takes a key and no cookie, so a page can do nothing in a person's name.
pub(crate) fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, HeaderName::from_static("x-api-key")])
        .expose_headers([header::RETRY_AFTER, HeaderName::from_static("x-request-id")])
        .max_age(PREFLIGHT_AGE)
}

/// A request to an operation, as a token admitted it.
struct Call<'a> {
    state: &'a Arc<AppState>,
    caller: &'a Caller,
    origin: &'a ShortOrigin,
    query: &'a Query,
}

pub(crate) async fn answer_request(
    State(state): State<Arc<AppState>>,
    Extension(logged): Extension<Arc<LoggedRequest>>,
    origin: ShortOrigin,
    request: Request,
) -> Response {
    let operation = match operation::find(request.method(), request.uri().path()) {
        Ok(operation) => operation,
        Err(unroutable) => {
            discard_body(request);
            return refuse_route(unroutable);
        }
    };
    if operation == Operation::Health {
        return show_health(&state).await.into_response();
    }
    let (head, body) = request.into_parts();
    let query = Query::read(head.uri.query().unwrap_or_default());
    let admitted = admit(&state, &operation, &head, &query, &logged).await;
    let request = Request::from_parts(head, body);
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => {
            discard_body(request);
            return problem.into_response();
        }
    };
    let caller = admitted.caller.clone();
    let answer = async {
        let call = Call { state: &state, caller: &caller, origin: &origin, query: &query };
        carry_out(call, operation, request).await.unwrap_or_else(IntoResponse::into_response)
    };
    admitted.answer(answer).await
}

/// Admits a request by its key. The header has it; the operation that a bookmark can call may have it in the query.
async fn admit(
    state: &AppState,
    operation: &Operation,
    head: &Parts,
    query: &Query,
    logged: &LoggedRequest,
) -> Result<Admitted, Problem> {
    let in_header = head.headers.get("x-api-key").map(HeaderValue::as_bytes);
    let in_query = || query.get("apiKey").filter(|_| *operation == Operation::Shorten).map(str::as_bytes);
    let sent = in_header.or_else(in_query);
    let admitted = Admitted::by_token(&state.access, sent, WITHOUT_KEY, logged).await;
    let admitted = admitted.map_err(|error| match (error.status(), sent) {
        (StatusCode::UNAUTHORIZED, None) => Problem::new("missing-authentication", error),
        (StatusCode::UNAUTHORIZED, Some(_)) => Problem::new("invalid-api-key", error),
        _ => error.into(),
    })?;
    let needed = if *operation == Operation::Shorten { &Method::POST } else { &head.method };
    match admitted.check_role(needed) {
        Ok(()) => Ok(admitted),
        Err(error) if matches!(operation, Operation::RenameTag | Operation::DeleteTags) => {
            Err(Problem::new("forbidden-tag-operation", error))
        }
        Err(error) => Err(error.into()),
    }
}

async fn carry_out(call: Call<'_>, operation: Operation, request: Request) -> Outcome<Response> {
    let Call { state, caller, origin, query } = call;
    let read_body = async |request| read_whole(request, state.config.body_limit).await;
    Ok(match operation {
        Operation::Health => show_health(state).await?,
        Operation::ListShortUrls => short_urls::list(state, caller, origin, query).await?,
        Operation::CreateShortUrl => {
            let body = read_body(request).await?;
            short_urls::create(state, caller, origin, &body).await?
        }
        Operation::Shorten => short_urls::shorten(state, caller, origin, query).await?,
        Operation::ShowShortUrl(code) => short_urls::show(state, caller, origin, query, &code).await?,
        Operation::EditShortUrl(code) => {
            let body = read_body(request).await?;
            short_urls::edit(state, caller, origin, query, &code, &body).await?
        }
        Operation::DeleteShortUrl(code) => short_urls::delete(state, caller, origin, query, &code).await?,
        Operation::ShowRules(code) => short_urls::show_rules(state, caller, origin, query, &code).await?,
        Operation::VisitsOfCode(code) => visits::list_of_code(state, caller, origin, query, &code).await?,
        Operation::VisitsOfTag(tag) => visits::list_of_tag(state, caller, origin, query, &tag).await?,
        Operation::VisitsOfDomain(domain) => visits::list_of_domain(state, caller, origin, query, &domain).await?,
        Operation::NonOrphanVisits => visits::list_all(state, caller, origin, query).await?,
        Operation::OrphanVisits => visits::list_orphans(query)?,
        Operation::DeleteOrphanVisits => Json(json!({ "deletedVisits": 0 })).into_response(),
        Operation::CountVisits => visits::count(state, caller).await?,
        Operation::ListTags => tags::list(state, caller, query).await?,
        Operation::CountTags => tags::count(state, caller, query).await?,
        Operation::RenameTag => {
            let body = read_body(request).await?;
            tags::rename(state, caller, &body).await?
        }
        Operation::DeleteTags => tags::delete(state, caller, query).await?,
        Operation::ListDomains => domain::list(origin),
        Operation::ShowMercure => {
            let error =
                Error::new(StatusCode::NOT_IMPLEMENTED, "Tern has no Mercure hub; live clicks are at GET /live");
            return Err(Problem::new("mercure-not-configured", error));
        }
        Operation::Missing(what) => {
            let error = Error::new(StatusCode::NOT_IMPLEMENTED, format!("Tern does not {what}"));
            return Err(error.into());
        }
    })
}

/// Answers whether this process can do its work. It needs no key, as with Shlink.
async fn show_health(state: &AppState) -> Outcome<Response> {
    let checked = state.readiness.check(&*state.store).await;
    checked.map_err(|error| crate::http::error::unavailable(crate::http::error::DATABASE_IS_UNAVAILABLE, error))?;
    Ok(Json(json!({ "status": "pass", "version": VERSION, "links": {} })).into_response())
}

fn refuse_route(unroutable: Unroutable) -> Response {
    match unroutable {
        Unroutable::NotFound => Problem::new("not-found", not_found("There is nothing at this path")).into_response(),
        Unroutable::NotAllowed(allowed) => {
            let error = Error::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here");
            let mut response = Problem::from(error).into_response();
            match HeaderValue::try_from(allowed) {
                Ok(allowed) => response.headers_mut().insert(header::ALLOW, allowed),
                Err(_) => {
                    return Problem::from(internal(anyhow!("the names of methods are no header"))).into_response();
                }
            };
            response
        }
    }
}
