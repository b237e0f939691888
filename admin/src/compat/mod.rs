//! APIs of other services, so that their clients work with Tern: YOURLS and Shlink (`COMPAT`).
//!
//! Each request needs a token, on an open API, too: any web page could write otherwise. A link belongs to the user of the
//! token. The handlers call the functions of the handlers of the API, so the same rules hold.
//!
//! ```text
//! by_code   links by their codes, and what a token may create
//! yourls/   GET and POST /yourls-api.php
//! shlink/   /rest/v3, /rest/v2 and /rest/v1
//! ```

mod by_code;
pub(crate) mod shlink;
pub(crate) mod yourls;
