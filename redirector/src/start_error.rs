//! Why a redirector could not start, in sentences for the operator.

use std::io;
use std::net::SocketAddr;

use tern_common::listening;

/// Why a redirector could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}", listening::refusal(*.address, .variable, .error))]
    Listen { variable: &'static str, address: SocketAddr, error: io::Error },
    #[error("descriptor {descriptor}, which was passed on, cannot be served")]
    Passed { descriptor: i32, source: io::Error },
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("cannot register the metrics of the operators' port")]
    Metrics(#[from] prometheus::Error),
}
