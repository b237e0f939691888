//! The HTTP/1.1 loop of the redirect port: bytes in, one [`Service`] call a request, bytes out.
//!
//! It knows nothing of links. On a `may` worker it must not block, log, or hold a lock, a guard or a thread-local
//! across a read or a write; once a connection stands it must not allocate for a request.
//!
//! ```text
//! server       bind or adopt, drain
//!   listener     accepts, counts, backs off; one coroutine a connection
//!     connection   reads, has every complete head answered, writes once; decides when to close
//!       exchange     bytes in, answers out, without the socket
//!         parse        bytes -> request   (pure)
//!         encode       answer -> bytes    (pure; date)
//!         refusal      what the loop refuses without asking the service
//!           answer       status, header fields, body as values
//!         input        the read buffer
//!   reaper       the thread that wakes what is overdue; which connections end when there are too many
//!     connections  open connections and their deadlines
//!       shares       how many connections each client has
//! socket       a descriptor on may's epoll
//! pulse        whether each worker still runs
//! limits       what a connection may take, with reasons; stats: what was refused, timed out, cut
//! ```
//!
//! Every wait of a connection is a wait on its socket. There are no timers on sockets: a connection writes the time
//! it wants to be woken into its [`connections::Registered`], and the reaper wakes it.

use std::net::IpAddr;

mod answer;
mod connection;
mod connections;
mod date;
mod encode;
mod exchange;
mod input;
mod limits;
mod listener;
mod parse;
mod pulse;
mod reaper;
mod refusal;
mod server;
mod shares;
mod socket;
mod stats;

pub use ::http::StatusCode;
pub use answer::{Answer, Content};
pub use encode::Reply;
pub use exchange::{Exchange, Terms};
pub use limits::{Limits, STACK_WORDS, configure_runtime};
pub use parse::{Method, Request};
pub use pulse::Pulse;
pub use refusal::REFUSALS;
pub use server::{Drained, Server};
pub use stats::Stats;

/// What stands behind the HTTP loop. Called on a may worker: no I/O, no locks, no yields.
pub trait Service: Send + Sync + 'static {
    /// Answers one request, once, through `reply`: a GET, a HEAD, or a method that is to be refused.
    fn call(&self, request: &Request<'_>, reply: Reply<'_>);

    /// The client that a peer's connections count for. `None` for a peer through which many clients come, which has no
    /// share. Called by the listener for each connection.
    fn share_of(&self, peer: IpAddr) -> Option<u64>;
}
