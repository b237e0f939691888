//! Links by their codes, and what a token may create.

use tern_common::store::Page;
use tern_common::url::{Url, UrlFilter, UrlSort};

use crate::access::Caller;
use crate::http::error::{Result, forbidden};
use crate::state::AppState;

/// Finds the link of a code among those that the caller may see.
pub(super) async fn find(state: &AppState, caller: &Caller, code: &str) -> Result<Option<Url>> {
    let filter = UrlFilter { short_code: Some(code.to_owned()), user_id: caller.owner(), ..UrlFilter::default() };
    let found = state.store.list_urls(filter, UrlSort::default(), Page::first(1)).await?;
    Ok(found.rows.into_iter().next())
}

/// Refuses to create a link for a token that has no user, who would own the link.
pub(super) fn check_creator(caller: &Caller) -> Result<()> {
    if caller.owner().is_some() {
        return Ok(());
    }
    Err(forbidden(
        "This token has no user who would own the link; create a token of a user: token create NAME --role editor --user ID",
    ))
}
