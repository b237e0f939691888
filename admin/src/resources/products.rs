//! Products: shown through the cache.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use tern_common::json::{JsonText, Kind, MAX_DEPTH, write_array};
use tern_common::product::Product;

use crate::http::error::Result;
use crate::state::AppState;

const CACHE_KEY: &str = "products";
const CACHE_TTL: Duration = Duration::from_secs(60);

/// The cache saves a query; past this it would cost more than the query does.
const CACHE_LIMIT: Duration = Duration::from_millis(250);

/// All products, as they were within the last minute
///
/// `X-Cache` tells whether they come from the cache, which also answers while the database is away.
#[utoipa::path(
    get,
    path = "/products",
    tag = "products",
    responses((status = 200, body = [Product], description = "The products, by id", headers(("X-Cache"))))
)]
pub(crate) async fn list_products(State(state): State<Arc<AppState>>) -> Result<impl IntoResponse> {
    let (cache, products) = match cached(&state).await {
        Some(products) => ("HIT", products),
        None => ("MISS", from_store(&state).await?),
    };
    Ok(([(header::CONTENT_TYPE.as_str(), "application/json"), ("x-cache", cache)], products))
}

async fn cached(state: &AppState) -> Option<Vec<u8>> {
    match tokio::time::timeout(CACHE_LIMIT, state.cache.get(CACHE_KEY)).await {
        Ok(Ok(Some(products))) if !is_list(&products) => {
            tracing::warn!("the cache gave something else than products; they are read from the database");
            None
        }
        Ok(Ok(products)) => products,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the products could not be read from the cache");
            None
        }
        Err(_) => {
            tracing::warn!("the cache took too long to give the products");
            None
        }
    }
}

/// Whether a value from the cache, which others may write, is a list in JSON.
fn is_list(value: &[u8]) -> bool {
    JsonText::parse(value, MAX_DEPTH).is_ok_and(|text| text.kind() == Kind::Array)
}

async fn from_store(state: &AppState) -> Result<Vec<u8>> {
    let mut products = Vec::new();
    write_array(&state.store.list_products().await?, &mut products);
    let put = state.cache.put(CACHE_KEY, products.clone(), CACHE_TTL);
    match tokio::time::timeout(CACHE_LIMIT, put).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the products could not be kept in the cache"),
        Err(_) => tracing::warn!("the cache took too long to keep the products"),
    }
    Ok(products)
}
