//! Serves an axum router on a TCP port, with limits of connections, memory and time.
//!
//! The API port and the operations ports of both planes use this crate, so all of them have the same kinds of limits.
//! It knows no route, no store and no short code. The redirect port has an HTTP loop of its own.
//!
//! ```text
//! server       accept, admit, drain
//!   connections  the open connections: admits newcomers, and chooses connections that end for them
//!   connection   the phase of one connection while hyper reads, works and writes
//!     body         a request body that has to arrive at a minimum rate
//!     refusal      a body for the answers that hyper gives by itself
//! head         checks of request heads (RFC 9112), and the host names of an operations port
//! operations   the layers around the routes of an operations port
//! port_state   the state of a port, for handlers whose answers last long
//! limits       limits of connections, with reasons
//! stats        metrics of connections
//! ```

mod body;
mod connection;
mod connections;
mod head;
mod limits;
mod operations;
mod port_state;
mod refusal;
mod server;
mod stats;

pub use head::{Hosts, check_head};
pub use limits::{Limits, Shares};
pub use operations::with_operations_layers;
pub use port_state::PortState;
pub use server::Serving;
pub use stats::PortStats;
