//! The whole surface of the admin plane on one screen.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tern_serving::check_head;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::{Area, Guard, authorise};
use crate::description::{docs, show_openapi};
use crate::http::body::leave_unread;
use crate::http::error::{Error, answer_panic, bad_request, not_found};
use crate::http::upload_room::UploadRoom;
use crate::metrics;
use crate::origin::refuse_foreign_pages;
use crate::request_log::log_request;
use crate::resources::{bulk, events, health, logs, products, stats, urls, users};
use crate::state::AppState;

/// A path, who may use it, and what it does.
type Route = (&'static str, Area, MethodRouter<AppState>);

fn routes() -> [Route; 18] {
    [
        ("/health", Area::Public, get(health::show_health)),
        ("/ready", Area::Public, get(health::show_readiness)),
        ("/metrics", Area::Metrics, get(metrics::show_metrics)),
        ("/logs", Area::Operations, get(logs::list_logs)),
        ("/openapi.json", Area::Public, get(show_openapi)),
        ("/docs", Area::Public, get(docs::show_docs)),
        ("/docs/docs.css", Area::Public, get(docs::show_style)),
        ("/docs/docs.js", Area::Public, get(docs::show_script)),
        ("/products", Area::Data, get(products::list_products)),
        ("/users", Area::Data, get(users::list_users).post(users::create_user)),
        ("/users/bulk", Area::Data, post(bulk::import_users).layer(Extension(UploadRoom::default()))),
        ("/users/{id}", Area::Data, get(users::find_user).put(users::update_user).delete(users::delete_user)),
        ("/users/{id}/urls", Area::Data, get(users::list_urls_of_user)),
        ("/urls", Area::Data, get(urls::list_urls).post(urls::create_url)),
        ("/urls/{id}", Area::Data, get(urls::find_url).put(urls::update_url).delete(urls::delete_url)),
        ("/urls/{id}/stats", Area::Data, get(stats::show_stats)),
        ("/events", Area::Data, get(events::list_events).post(events::create_event)),
        ("/events/{id}", Area::Data, get(events::find_event)),
    ]
}

/// Every path of the router, without the trailing slash that each may have.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, ..)| path)
}

/// Every path, and whose it is.
pub fn areas() -> impl Iterator<Item = (&'static str, Area)> {
    routes().into_iter().map(|(path, area, _)| (path, area))
}

/// The admin API, with a 404 for every other path.
pub fn router(state: AppState) -> Router {
    router_over(Router::new().fallback(async || not_found("There is nothing at this path")), state)
}

/// The admin API over `unknown_paths`, which answers what no route knows. The layers of the API are around both.
pub fn router_over(unknown_paths: Router, state: AppState) -> Router {
    let around = (
        from_fn_with_state(state.clone(), log_request),
        map_response(forbid_sniffing_and_storing),
        from_fn(refuse_malformed_heads),
        from_fn(refuse_foreign_pages),
        CatchPanicLayer::custom(answer_panic),
    );
    let unknown_paths = unknown_paths.layer(around.clone());
    routes()
        .into_iter()
        .map(|(path, area, methods)| {
            let guard = Guard { access: Arc::clone(&state.access), area };
            (path, methods.route_layer(from_fn_with_state(guard, authorise)))
        })
        .fold(Router::new(), with_and_without_slash)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .route_layer(around)
        .fallback_service(unknown_paths)
        .with_state(state)
}

fn with_and_without_slash(
    router: Router<AppState>,
    (path, methods): (&str, MethodRouter<AppState>),
) -> Router<AppState> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}

/// Refuses what two servers could read differently. The connection ends, since both may be out of step on it already.
async fn refuse_malformed_heads(request: Request, next: Next) -> Response {
    match check_head(&request) {
        Ok(()) => next.run(request).await,
        Err(message) => {
            leave_unread(request);
            let mut response = bad_request(message).into_response();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// Answers hold text of users: a browser must not take any of it for a page, and no cache may show it to another client
/// or after a change. An answer that says itself how long it is good for is left as it is.
async fn forbid_sniffing_and_storing<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tern_common::short_code::RESERVED;

    use super::*;

    #[test]
    fn no_short_code_can_hide_behind_a_route() {
        for path in paths() {
            let first = path.split('/').nth(1).unwrap();
            assert!(RESERVED.contains(&first), "{path}: {first:?} is missing from RESERVED");
        }
    }
}
