//! Errors at the start of a redirector, as sentences for the operator.

use std::io;
use std::net::SocketAddr;

use tern_common::listening;

/// A reason why a redirector could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}", listening::refusal(*.address, .variable, .error))]
    Listen { variable: &'static str, address: SocketAddr, error: io::Error },
    #[error("cannot serve descriptor {descriptor}, which systemd passed to this process")]
    Passed { descriptor: i32, source: io::Error },
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("cannot register the metrics of the operations port")]
    Metrics(#[from] prometheus::Error),
}
