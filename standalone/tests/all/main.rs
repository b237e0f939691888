//! The `tern` binary as its users run it: a process with sockets.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

/// The redirect port's HTTP vectors, their runner, and its raw client.
#[expect(dead_code, reason = "the redirector's own tests use the rest")]
#[path = "../../../redirector/tests/support/client.rs"]
mod client;
#[path = "../../../redirector/tests/support/conformance.rs"]
mod conformance;
#[path = "../../../redirector/tests/support/mmdb.rs"]
mod mmdb;
#[path = "../../../redirector/tests/support/vectors.rs"]
mod vectors;

mod backup;
mod bad_start;
mod clicks;
mod costly_lists;
mod damaged_database;
mod exports;
mod first_steps;
mod full_ports;
mod importing;
mod importing_services;
mod interrupted_start;
mod limits;
mod link_command;
mod link_options;
mod loading;
mod own_addresses;
mod pages;
mod placeholders;
mod read_your_writes;
mod redirects;
mod request_ids;
mod routing;
mod settings;
mod shell_help;
mod snapshot_file;
mod stores;
mod support;
mod terminal;
mod tokens;
mod tracking;
