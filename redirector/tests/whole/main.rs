//! The redirector as a whole, over a real store and sockets.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

#[path = "../support/links.rs"]
mod links;

mod audits;
mod fixture;
mod life;
mod limits;
mod replica;
