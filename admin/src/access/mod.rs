//! Access to the API: tokens, roles and budgets.
//!
//! With the default `ADMIN_AUTH=auto`, the API on loopback is open until its first token is created. On another address
//! it does not start without a token. With `tokens` the API always requires a token, and with `none` it never does.
//! `tokens` reads the tokens of the store, and `guard` admits or refuses each request. `caller` limits the token of a
//! user to the rows of that user.

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
