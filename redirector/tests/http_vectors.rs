//! The vectors against the loop with a small service behind it.

mod support;

use std::time::Duration;

use support::conformance::{Judge, run_all};
use tern_redirector::http::Limits;

#[test]
fn every_vector_is_answered_right() {
    let limits = Limits { header_timeout: Duration::from_secs(3), ..Limits::default() };
    let (server, _) = support::serve(limits);
    run_all(server.local_addr(), support::TARGET, &Judge::default());
}
