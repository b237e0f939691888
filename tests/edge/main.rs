//! The project's nginx before a fleet: what reaches whom, and what clients see while things fail behind it.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

// The vectors of the redirect port, and what sends them.
#[expect(dead_code, reason = "the redirector's own tests use more of it")]
#[path = "../../redirector/tests/support/client.rs"]
mod client;
#[path = "../../redirector/tests/support/conformance.rs"]
mod conformance;
#[path = "../../redirector/tests/support/vectors.rs"]
mod vectors;

mod failing;
mod files;
mod limits;
mod listener;
mod malformed;
mod naive;
mod restarts;
mod routing;

use std::path::{Path, PathBuf};

use tern_testkit::nginx::{Nginx, Site};
use tern_tests::Fleet;

/// Where the project's configuration is.
fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("nginx")
}

/// Who is behind nginx in a fleet.
fn site_of(fleet: &Fleet) -> Site {
    let redirectors = fleet.redirectors.iter().map(|redirector| redirector.addresses[0].clone()).collect();
    Site { redirectors, admins: vec![fleet.admin.addresses[0].clone()], is_behind_proxy: false }
}

/// A fleet that believes its nginx, and whose API asks for a token.
async fn set(links: usize) -> (Fleet, Nginx) {
    let mut fleet = Fleet::start(links, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    fleet.close_api();
    let nginx = Nginx::start(&configuration(), &site_of(&fleet));
    (fleet, nginx)
}
