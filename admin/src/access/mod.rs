//! Access to the API: tokens, roles and budgets.
//!
//! The API is closed by default. On loopback it is open until its first token is created. On another address it does not
//! start without a token, unless `ADMIN_AUTH=none` is set.
//! `tokens` holds the tokens of the store, and `guard` decides with them. `caller` limits the token of a user to its rows.

mod caller;
pub(crate) mod guard;
mod local;
mod permit_body;
mod requirement;
mod revocation;
mod tokens;

pub(crate) use self::caller::Caller;
pub use self::guard::{Area, may};
pub use self::tokens::Access;
pub use crate::config::AuthMode;
