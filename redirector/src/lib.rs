//! The redirect plane: answers `GET /<short_code>` from memory.
//!
//! ```text
//! http        bytes and sockets; knows no links
//!   engine      a request for a code: decide, record the click, answer
//!     code_path   the short code in a path, and the mark of QR codes in a query
//!     redirect    the order of decisions: path + map -> outcome; pure
//!       outcome     a table: answer, metric label and side effect of each outcome
//!     answers     header fields, other addresses and pages by the settings
//!       pages       pages for people in place of JSON
//!     accept      whether a client prefers a page to JSON
//!     link_map    code -> link; lock-free reads, one writer
//!     fields      header fields of a request, on either port
//!     takes       clicks of limited links: taken from the store, used or returned
//!     misses      the codes that are asked for most and that no link has
//!     choice      the facts of a request by which rules and splits choose its target
//!     countries   the country of a client's network
//!     tracking    the part of a request that its click stores, by the settings
//!     clicks      answered redirects: journalled, then shipped to the store
//! replica     the only writer of the map; follows the store
//! ops         the operations port: /live /ready /metrics /dropped
//! status      the state of the redirector, which its replica announces
//! watchdog    finds a blocked worker and ends the process
//! redirector  starts these parts, watches them, and ends them in order
//! sockets     the listening sockets: bound, or received from systemd
//! hand_over   passes the listening sockets to the successor process
//! succession  decides when this process serves in place of its predecessor
//! ```

pub mod answers;
mod choice;
pub mod clicks;
pub mod code_path;
pub mod config;
pub mod countries;
pub mod engine;
pub mod fields;
pub mod hand_over;
pub mod http;
mod link_defaults;
pub mod link_map;
pub mod metrics;
pub mod misses;
mod ops;
pub mod outcome;
mod pages;
pub mod redirect;
mod redirector;
pub mod replica;
pub mod schema;
pub mod sockets;
mod start_error;
mod status;
pub mod succession;
pub mod takes;
pub mod tracking;
pub mod watchdog;

pub use crate::link_defaults::LinkDefaults;
pub use crate::redirector::{Redirector, connections_deadline};
pub use crate::start_error::StartError;
