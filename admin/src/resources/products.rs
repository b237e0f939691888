//! Products, which are read through the cache.

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

/// The longest call of the cache. A slower cache would cost more than the query that it saves.
const CACHE_LIMIT: Duration = Duration::from_millis(250);

/// All products, as they were within the last minute
///
/// `X-Cache` says whether they are from the cache, which also answers while the database is unavailable.
#[utoipa::path(
    get,
    path = "/products",
    tag = "products",
    responses((status = 200, body = [Product], description = "The products, by id", headers(("X-Cache"))))
)]
pub(crate) async fn list_products(State(state): State<Arc<AppState>>) -> Result<impl IntoResponse> {
    let (cache, products) = match find_cached(&state).await {
        Some(products) => ("HIT", products),
        None => ("MISS", read_and_cache(&state).await?),
    };
    Ok(([(header::CONTENT_TYPE.as_str(), "application/json"), ("x-cache", cache)], products))
}

async fn find_cached(state: &AppState) -> Option<Vec<u8>> {
    match tokio::time::timeout(CACHE_LIMIT, state.cache.get(CACHE_KEY)).await {
        Ok(Ok(Some(products))) if !is_list(&products) => {
            tracing::warn!("the cached products are not a JSON array; reading them from the database");
            None
        }
        Ok(Ok(products)) => products,
        Ok(Err(error)) => {
            tracing::warn!(%error, "reading the products from the cache failed; reading them from the database");
            None
        }
        Err(_) => {
            tracing::warn!("reading the products from the cache took too long; reading them from the database");
            None
        }
    }
}

/// Returns whether a cached value is a JSON array, since other programs can write to the cache.
fn is_list(value: &[u8]) -> bool {
    JsonText::parse(value, MAX_DEPTH).is_ok_and(|text| text.kind() == Kind::Array)
}

async fn read_and_cache(state: &AppState) -> Result<Vec<u8>> {
    let mut products = Vec::new();
    write_array(&state.store.list_products().await?, &mut products);
    let put = state.cache.put(CACHE_KEY, products.clone(), CACHE_TTL);
    match tokio::time::timeout(CACHE_LIMIT, put).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "writing the products to the cache failed; the next request reads the database again")
        }
        Err(_) => {
            tracing::warn!("writing the products to the cache took too long; the next request reads the database again")
        }
    }
    Ok(products)
}
