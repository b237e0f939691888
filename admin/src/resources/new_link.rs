//! Links that requests create, and the codes under which they are inserted.

use anyhow::anyhow;
use tern_common::link_labels::{LinkLabels, LinkLabelsChange};
use tern_common::store::{self, StoreError};
use tern_common::url::{NewUrl, UrlChange};
use tern_common::{LinkOptions, ShortCode, TargetUrl, Timestamp};

use crate::access::Caller;
use crate::http::error::{Error, Result, bad_request, unavailable};
use crate::http::query::RowId;
use crate::resources::link_options::check_target;
use crate::resources::url_requests::CreateUrl;
use crate::state::AppState;

/// The most codes that are tried for a link. If all exist already, the codes are too short.
pub(super) const ATTEMPTS: usize = 10;

/// A link to create under a given or a generated code.
#[derive(Debug)]
pub(super) struct NewLink {
    pub(super) url: NewUrl,
    /// The code that the request gives; `None` for a generated one.
    pub(super) given_code: Option<ShortCode>,
}

impl NewLink {
    /// Checks a link to create. Returns it with the values that its request gives, as a change.
    pub(super) fn of(mut body: CreateUrl, state: &AppState, caller: &Caller) -> Result<(NewLink, UrlChange)> {
        let now = Timestamp::now();
        let given = body.take_change(&state.config.own_addresses, now)?;
        let code = body.short_code.flatten();
        let link = NewLink::new(state, caller, body.user_id, body.original_url, code, given.clone())?;
        if link.url.options.expires_at.is_some_and(|end| end <= now) {
            return Err(StoreError::EndsInThePast.into());
        }
        Ok((link, given))
    }

    /// Checks the owner, the target and the options of a link.
    pub(super) fn new(
        state: &AppState,
        caller: &Caller,
        user_id: Option<RowId>,
        target: TargetUrl,
        given_code: Option<ShortCode>,
        given: UrlChange,
    ) -> Result<NewLink> {
        let user_id = caller.user_for(user_id.map(RowId::get).transpose()?)?;
        let original_url = check_target(&state.config.own_addresses, "original_url", target)?;
        let options = LinkOptions::from(given.options);
        options.check().map_err(bad_request)?;
        let LinkLabelsChange { tags, notes, external_id, .. } = given.labels;
        let labels =
            LinkLabels { tags: tags.unwrap_or_default(), notes: notes.flatten(), external_id: external_id.flatten() };
        let short_code = given_code.clone().unwrap_or_else(|| generate_code(state));
        let (title, is_active) = (given.title.flatten(), given.is_active.unwrap_or(true));
        let url = NewUrl { user_id, short_code, original_url, title, is_active, options, labels };
        Ok(NewLink { url, given_code })
    }

    /// Inserts the link, with another code for as long as a generated one is taken.
    pub(super) async fn insert<T, F: Future<Output = store::Result<T>>>(
        mut self,
        state: &AppState,
        insert: impl Fn(NewUrl) -> F,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            match insert(self.url.clone()).await {
                Err(error) if self.is_retried_after(&error) => self.url.short_code = generate_code(state),
                result => return Ok(result?),
            }
        }
        Err(no_free_code(state))
    }

    /// Returns whether the link can be inserted under another code.
    pub(super) fn is_retried_after(&self, error: &StoreError) -> bool {
        self.given_code.is_none() && matches!(error, StoreError::ShortCodeTaken)
    }
}

pub(super) fn generate_code(state: &AppState) -> ShortCode {
    ShortCode::generate(state.config.short_code_length)
}

/// Returns the answer to a client whose link got no code.
pub(super) fn no_free_code(state: &AppState) -> Error {
    let length = state.config.short_code_length;
    unavailable("No free short code was found", anyhow!("{ATTEMPTS} codes of {length} characters exist already"))
}
