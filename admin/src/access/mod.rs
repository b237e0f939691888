//! Who may do what: tokens, roles, and how much of the API one holder may use.
//!
//! Closed by default. An API that only this machine reaches is open until its first token is made; one that others
//! reach does not start without a token, unless somebody said `ADMIN_AUTH=none`.
//! `tokens` knows the tokens of the store, and `guard` decides with them; nothing here knows a resource.

mod closed;
pub(crate) mod guard;
mod local;
mod occupied;
mod tokens;

pub use self::guard::{Area, may};
pub use self::tokens::Access;
pub use crate::config::AuthMode;
