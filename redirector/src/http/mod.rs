//! The HTTP/1.1 loop of the redirect port: bytes in, one [`Service`] call for each request, bytes out.
//!
//! It knows no links, only placeholders of URLs. On a `may` worker it must not block or log, and it must not hold a lock, a guard or a
//! thread-local across a read or a write. It allocates when a connection starts, and never for a request.
//!
//! ```text
//! server       bind or adopt a socket, serve, drain
//!   listener     accepts; one coroutine for each connection
//!     connection   reads, lets every complete head be answered, writes once; decides when to close
//!       exchange     bytes in, answers out, without the socket
//!         parse        bytes -> request   (pure)
//!         encode       answer -> bytes    (pure; date)
//!         refusal      requests that the loop refuses without the service
//!           answer       status, header fields, body as values
//!             document     bodies: fixed text around escaped pieces
//!         input        the read buffer
//!   reaper       the thread that wakes overdue connections and ends idle ones on a full port
//!     connections  open connections and their deadlines
//!       shares       how many connections each client has
//! signal       ends the wait of a request whose answer was postponed
//! socket       a descriptor on the epoll of may
//! worker_probe finds blocked workers
//! limits       limits of connections, with reasons
//! stats        counters of the port
//! ```
//!
//! A connection waits only on its socket, which has no timer. It writes its deadline into its
//! [`connections::ConnectionState`], and the reaper wakes it.

use std::net::IpAddr;

mod answer;
mod connection;
mod connections;
mod date;
mod document;
mod encode;
mod exchange;
mod input;
mod limits;
mod listener;
mod parse;
mod reaper;
mod refusal;
mod server;
mod shares;
mod signal;
mod socket;
mod stats;
mod worker_probe;

pub use ::http::StatusCode;
pub use answer::{Answer, Content};
pub use document::{Document, MediaType, html_reference};
pub use encode::Reply;
pub use exchange::{Exchange, Terms};
pub use limits::{Limits, STACK_WORDS, configure_runtime};
pub use parse::{Method, Request};
pub use refusal::REFUSALS;
pub use server::{DrainReport, Server};
pub use signal::{LONGEST_WAIT, Signal, Verdict};
pub use stats::Stats;
pub use tern_common::location::{FilledUrl, Location, MergedUrl};
pub use worker_probe::WorkerProbe;

/// The handler of requests. It is called on a `may` worker, so it must not do I/O or yield, and locks nothing for a
/// request that it does not postpone.
pub trait Service: Send + Sync + 'static {
    /// Answers one request through `reply`: a GET, a HEAD, or another method, which is refused.
    ///
    /// It may postpone the answer once or more. The coroutine of the connection then waits, but its worker does not.
    fn call(&self, request: &Request<'_>, reply: Reply<'_>);

    /// Returns the key of the client to which a peer's connections are attributed.
    ///
    /// `None` stands for a peer that connects for many clients and has no share. The listener calls it for each
    /// connection.
    fn share_of(&self, peer: IpAddr) -> Option<u64>;
}
