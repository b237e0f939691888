//! The data plane: answers `GET /<short_code>` from memory and does nothing else.
//!
//! ```text
//! http        bytes and sockets; knows nothing of links
//!   engine      a request for a code: decide, record the click, answer
//!     redirect    the order of decisions: path + map -> outcome; pure
//!       outcome     what each outcome answers, counts and records; one table
//!     link_map    code -> link; lock-free reads, one writer
//!     clicks      answered redirects: journalled, then shipped to the store
//! replica     the one writer of the map; follows the store
//! ops         the second port: /live /ready /metrics /dropped
//! watchdog    whether the workers run; ends the process when one stands still
//! redirector  starts all of it, watches it, and ends it in order
//! sockets     where both ports come from; hand_over: where they go to; succession: when which process serves them
//! ```

pub mod clicks;
pub mod config;
pub mod engine;
pub mod hand_over;
pub mod http;
pub mod link_map;
pub mod metrics;
mod ops;
pub mod outcome;
pub mod redirect;
mod redirector;
pub mod replica;
pub mod schema;
pub mod sockets;
mod start_error;
pub mod succession;
pub mod watchdog;

pub use crate::redirector::{Redirector, connections_deadline};
pub use crate::start_error::StartError;
