//! The whole surface of the admin plane on one screen.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::{Error, answer_panic, not_found};
use crate::origin::refuse_foreign_pages;
use crate::request_log::log_request;
use crate::state::AppState;
use crate::{bulk, docs, events, health, logs, metrics, openapi, products, stats, urls, users};

type Route = (&'static str, MethodRouter<AppState>);

fn routes() -> [Route; 18] {
    [
        ("/health", get(health::show_health)),
        ("/ready", get(health::show_readiness)),
        ("/metrics", get(metrics::show_metrics)),
        ("/logs", get(logs::list_logs)),
        ("/openapi.json", get(openapi::show_openapi)),
        ("/docs", get(docs::show_docs)),
        ("/docs/docs.css", get(docs::show_style)),
        ("/docs/docs.js", get(docs::show_script)),
        ("/products", get(products::list_products)),
        ("/users", get(users::list_users).post(users::create_user)),
        ("/users/bulk", post(bulk::import_users)),
        ("/users/{id}", get(users::find_user).put(users::update_user).delete(users::delete_user)),
        ("/users/{id}/urls", get(users::list_urls_of_user)),
        ("/urls", get(urls::list_urls).post(urls::create_url)),
        ("/urls/{id}", get(urls::find_url).put(urls::update_url).delete(urls::delete_url)),
        ("/urls/{id}/stats", get(stats::show_stats)),
        ("/events", get(events::list_events).post(events::create_event)),
        ("/events/{id}", get(events::find_event)),
    ]
}

/// Every path of the router, without the trailing slash that each may have.
pub fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

/// The admin API, with a 404 for every other path.
///
/// Whoever puts another fallback in place of that one answers for it alone: no layer of this router is around it.
pub fn router(state: AppState) -> Router {
    let around = (
        from_fn_with_state(state.clone(), log_request),
        map_response(forbid_sniffing),
        from_fn(refuse_foreign_pages),
        CatchPanicLayer::custom(answer_panic),
    );
    let unknown_path =
        Router::new().fallback(async || not_found("There is nothing at this path")).layer(around.clone());
    routes()
        .into_iter()
        .fold(Router::new(), with_and_without_slash)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .route_layer(around)
        .fallback_service(unknown_path)
        .with_state(state)
}

fn with_and_without_slash(router: Router<AppState>, (path, methods): Route) -> Router<AppState> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}

/// Answers hold text of users; a browser must not take any of it for a page.
async fn forbid_sniffing<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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
