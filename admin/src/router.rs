//! Every route of the admin API on one screen, with the area that decides which roles may use it.
//!
//! Path, method and description of a route stand beside its handler.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use axum::{Extension, Router};
use tern_serving::check_head;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::access::Area;
use crate::access::guard::{Guard, authorise};
use crate::compat;
use crate::config::Compat;
use crate::dashboard::{self, session};
use crate::description::{self, docs};
use crate::http::body::discard_body;
use crate::http::error::{Error, answer_panic, bad_request, forbidden, not_found};
use crate::http::ignored::KnownParameters;
use crate::http::upload_quota::UploadQuota;
use crate::request_log::{LogState, log_request};
use crate::resources::import_requests::ImportTurn;
use crate::resources::{
    audit, bulk, bulk_urls, events, exports, external_urls, imports, live, logs, many_urls, misses, operations,
    products, qr, stats, system, tags, tokens, trials, urls, users,
};
use crate::state::AppState;

type Methods = MethodRouter<Arc<AppState>>;

/// The description of the API as JSON.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let (_, description) = assemble(|_, methods| methods);
    description.to_pretty_json().expect("a description is plain data")
});

/// Lists the handlers of each path with the area of the path.
fn routes() -> [(Area, UtoipaMethodRouter<Arc<AppState>>); 42] {
    let uploads = UploadQuota::default();
    [
        (Area::Data, routes!(urls::list_urls, urls::create_url, many_urls::change_urls, many_urls::delete_urls)),
        (Area::Data, routes!(bulk_urls::create_urls).layer(Extension(uploads.clone()))),
        (
            Area::Data,
            routes!(imports::import_urls, imports::undo_import)
                .layer((Extension(uploads.clone()), Extension(ImportTurn::default()))),
        ),
        (Area::Data, routes!(external_urls::replace_url)),
        (Area::Data, routes!(trials::try_link)),
        (Area::Data, routes!(urls::find_url, urls::update_url, urls::delete_url)),
        (Area::Data, routes!(stats::show_stats)),
        (Area::Data, routes!(stats::show_overall_stats)),
        (Area::Data, routes!(stats::show_series)),
        (Area::Data, routes!(misses::list_misses)),
        (Area::Data, routes!(tags::list_tags)),
        (Area::Data, routes!(qr::show_qr)),
        (Area::Data, routes!(live::follow_link)),
        (Area::Data, routes!(exports::export_urls)),
        (Area::Data, routes!(users::list_users, users::create_user)),
        (Area::Data, routes!(bulk::import_users).layer(Extension(uploads))),
        (Area::Data, routes!(users::find_user, users::update_user, users::delete_user)),
        (Area::Data, routes!(users::list_urls_of_user)),
        (Area::Data, routes!(audit::list_audit)),
        (Area::Data, routes!(events::list_events, events::create_event)),
        (Area::Data, routes!(events::find_event)),
        (Area::Data, routes!(exports::export_events)),
        (Area::Data, routes!(live::follow_all)),
        (Area::Data, routes!(products::list_products)),
        (Area::Public, routes!(operations::show_health)),
        (Area::Public, routes!(operations::show_readiness)),
        (Area::Metrics, routes!(operations::show_metrics)),
        (Area::Operations, routes!(logs::list_logs)),
        (Area::Operations, routes!(system::show_system)),
        (Area::Operations, routes!(tokens::list_tokens, tokens::create_token)),
        (Area::Operations, routes!(tokens::revoke_token)),
        (Area::Public, routes!(show_openapi)),
        (Area::Public, routes!(docs::show_docs)),
        (Area::Public, routes!(docs::show_style)),
        (Area::Public, routes!(docs::show_script)),
        (Area::Public, routes!(dashboard::show_index)),
        (Area::Public, routes!(dashboard::show_dashboard)),
        (Area::Public, routes!(dashboard::show_screen)),
        (Area::Public, routes!(dashboard::show_item)),
        (Area::Public, routes!(dashboard::show_file)),
        (Area::Public, routes!(session::create_session, session::delete_session)),
        (Area::Access, routes!(session::show_access)),
    ]
}

/// Builds the description and the routes, each with and without a trailing slash.
fn assemble(guarded: impl Fn(Area, Methods) -> Methods) -> (Router<Arc<AppState>>, OpenApi) {
    let mut areas = HashMap::new();
    let mut api = OpenApiRouter::with_openapi(description::base());
    for (area, (schemas, paths, methods)) in routes() {
        let methods = guarded(area, methods);
        for path in paths.paths.keys() {
            areas.insert(path.clone(), area);
            if path != "/" {
                api = api.route(&format!("{path}/"), methods.clone());
            }
        }
        api = api.routes((schemas, paths, methods));
    }
    let (router, mut description) = api.split_for_parts();
    description::complete(&mut description, &areas);
    (router, description)
}

/// Returns the description of the API in JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

/// Returns every path of the router, without the trailing slash that each may have.
pub fn paths() -> impl Iterator<Item = String> {
    routes().into_iter().flat_map(|(_, (_, paths, _))| paths.paths.into_keys())
}

/// The description in OpenAPI 3.1
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "documentation",
    responses((status = 200, body = Object, description = "The description", example = json!({"openapi": "3.1.0"})))
)]
async fn show_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

/// Builds the admin API, with a 404 for every other path.
pub fn router(state: Arc<AppState>) -> Router {
    router_over(Router::new().fallback(async || not_found("There is nothing at this path")), state)
}

/// Builds the admin API, whose layers also wrap `unknown_paths`, the router for every path without a route.
pub fn router_over(unknown_paths: Router, state: Arc<AppState>) -> Router {
    let (routes, description) = assemble(|area, methods| {
        let guard = Guard { access: Arc::clone(&state.access), area };
        methods.route_layer(from_fn_with_state(guard, authorise))
    });
    let log_state = LogState { app: Arc::clone(&state), known: KnownParameters::of(&description.paths) };
    let layers = (
        from_fn_with_state(log_state.clone(), log_request),
        map_response(forbid_sniffing_and_storing),
        from_fn(refuse_malformed_heads),
        CatchPanicLayer::custom(answer_panic),
        CsrfLayer::new().with_rejection_response(refuse_foreign_page),
    );
    let unknown_paths = unknown_paths.layer(layers.clone());
    let compatible = compatible_routes(&state, &log_state);
    routes
        .method_not_allowed_fallback(refuse_method)
        .route_layer(layers)
        .merge(compatible)
        .fallback_service(unknown_paths)
        .with_state(state)
}

/// Builds the routes of other services' APIs that `COMPAT` names. Each checks its token by itself, and takes it from no
/// cookie, so a page of another origin may use them.
fn compatible_routes(state: &AppState, log_state: &LogState) -> Router<Arc<AppState>> {
    let Compat { yourls, shlink } = state.config.compat;
    let mut routes = Router::new();
    let log = || from_fn_with_state(log_state.clone(), log_request);
    let inner = || (from_fn(refuse_malformed_heads), CatchPanicLayer::custom(answer_panic));
    if yourls {
        let methods = compat::yourls::methods().fallback(refuse_method);
        let layers = (log(), map_response(forbid_sniffing_and_storing), inner());
        routes = routes.route(compat::yourls::PATH, methods.layer(layers));
    }
    if shlink {
        let problem = map_response(compat::shlink::as_problem);
        let layers = (log(), map_response(forbid_sniffing_and_storing), compat::shlink::cors(), problem, inner());
        let methods = any(compat::shlink::answer_request).layer(layers);
        for path in compat::shlink::PATHS {
            routes = routes.route(path, methods.clone());
        }
    }
    routes
}

/// Answers a method that a path does not have. The router adds `Allow`.
async fn refuse_method() -> Error {
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here")
}

/// Refuses a write that a page of another origin makes a browser send.
/// A browser on this machine could otherwise write to an API that is open to this machine.
fn refuse_foreign_page(_: ProtectionError) -> Response {
    forbidden("A page of another origin may not change anything here").into_response()
}

/// Refuses a head that two servers could read differently.
/// The connection ends, because a proxy may see other request boundaries on it already.
async fn refuse_malformed_heads(request: Request, next: Next) -> Response {
    match check_head(&request) {
        Ok(()) => next.run(request).await,
        Err(message) => {
            discard_body(request);
            let mut response = bad_request(message).into_response();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// Forbids browsers to guess the type of an answer, and caches to store it.
/// Answers contain users' texts, which are no pages and can change. An answer with a `Cache-Control` retains it, and a
/// permanent redirect of a short code may deliberately have none.
async fn forbid_sniffing_and_storing<B>(mut response: Response<B>) -> Response<B> {
    let is_permanent = matches!(response.status(), StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_permanent {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tern_common::short_code::RESERVED;

    use super::*;

    #[test]
    fn first_segment_of_each_route_is_a_reserved_short_code() {
        for path in paths().filter(|path| path != "/") {
            let first = path.split('/').nth(1).unwrap();
            assert!(RESERVED.contains(&first), "{path}: {first:?} is missing from RESERVED");
        }
    }
}
