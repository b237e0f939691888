//! Links whose short code has become a reserved word.
//!
//! Such a link was created before its code became reserved. Redirectors refuse it, and the API has a route of this name.

use tern_common::short_code::RESERVED;
use tern_common::store::{AdminStore, Page, Result};
use tern_common::url::{UrlFilter, UrlSort};

/// Returns a warning for the operator that names the hidden links; `None` if there are none.
///
/// # Errors
/// When the store cannot be read.
pub async fn find_hidden_links(store: &dyn AdminStore) -> Result<Option<String>> {
    let mut hidden = Vec::new();
    for word in RESERVED {
        let filter = UrlFilter { short_code: Some(word.to_owned()), ..UrlFilter::default() };
        let found = store.list_urls(filter, UrlSort::default(), Page::first(1)).await?;
        hidden.extend(found.rows.iter().map(|link| format!("{word} (link {})", link.id)));
    }
    if hidden.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "links are not served, because their short codes are reserved words: {}; create each again under another code",
        hidden.join(", ")
    )))
}
