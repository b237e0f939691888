//! The check of callers whose answers last long.

use tern_common::Timestamp;

use super::caller::Caller;
use super::tokens::Access;

impl Access {
    /// Returns whether a caller that was admitted would be admitted again.
    pub(crate) fn still_admits(&self, caller: &Caller) -> bool {
        let Some(id) = caller.token_id else { return self.is_open() };
        let bearers = self.bearers();
        let token = bearers.iter().map(|bearer| &bearer.token).find(|token| token.id == id);
        !self.is_stale() && token.is_some_and(|token| token.refusal(Timestamp::now()).is_none())
    }
}
