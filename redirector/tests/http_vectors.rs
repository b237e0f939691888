//! The HTTP vectors against the server with a small service.

mod support;

use std::time::Duration;

use support::conformance::{Differences, run_all};
use tern_redirector::http::Limits;

#[test]
fn vectors_are_answered_as_expected() {
    let limits = Limits { header_timeout: Duration::from_secs(3), ..Limits::default() };
    let (server, _) = support::serve(limits);
    run_all(server.local_addr(), support::TARGET, &Differences::default());
}
