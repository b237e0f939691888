//! Serves an axum router on a TCP port, bounded in connections, in memory and in time.
//!
//! The API's port and the operators' ports of both planes use it, so that a limit that one of them has is a limit of all.
//! It knows no route, no store and no short code. The redirect port has an HTTP loop of its own.
//!
//! ```text
//! server       accept, admit, drain
//!   crowd        the open connections: which newcomer is admitted, and which connection ends for it
//!   connection   one connection: its phase, as hyper reads, works and writes
//!     body         a request body that has to arrive at a minimum rate
//!     refusal      a body for the answers that hyper gives by itself
//! head         what of a request head is refused (RFC 9112), and the names that an operators' port has
//! operators    the layers around the routes of an operators' port
//! limits       what connections may take, each constant beside its reason
//! stats        what happened to connections, as metrics
//! ```

mod body;
mod connection;
mod crowd;
mod head;
mod limits;
mod operators;
mod refusal;
mod server;
mod stats;

pub use head::{Hosts, check_head};
pub use limits::{Limits, Shares};
pub use operators::with_operator_layers;
pub use server::Serving;
pub use stats::PortStats;
