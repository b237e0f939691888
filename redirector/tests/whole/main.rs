//! The redirector as a whole, over a real store and sockets.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

#[path = "../support/links.rs"]
mod links;

mod kept;
mod life;
mod scene;
