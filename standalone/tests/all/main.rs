//! The `tern` binary as its users meet it: started as a process, spoken to over sockets.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

/// The vectors of the redirect port, what sends them, and the raw client that it needs.
#[expect(dead_code, reason = "the redirector's own tests use the rest")]
#[path = "../../../redirector/tests/support/client.rs"]
mod client;
#[path = "../../../redirector/tests/support/conformance.rs"]
mod conformance;
#[path = "../../../redirector/tests/support/vectors.rs"]
mod vectors;

mod bad_start;
mod clicks;
mod crowded;
mod crowds;
mod cut_short;
mod damaged_database;
mod first_light;
mod follow;
mod loading;
mod own_addresses;
mod read_your_writes;
mod request_names;
mod settings;
mod stores;
mod support;
mod terminal;
mod tokens;
