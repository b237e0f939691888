//! The project's nginx in front of a fleet: routing, limits, and failures behind it.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

// The redirect port's HTTP vectors and their runner.
#[expect(dead_code, reason = "the redirector's own tests use more of it")]
#[path = "../../redirector/tests/support/client.rs"]
mod client;
#[path = "../../redirector/tests/support/conformance.rs"]
mod conformance;
#[path = "../../redirector/tests/support/vectors.rs"]
mod vectors;

mod compat;
mod failing;
mod files;
mod limits;
mod listener;
mod malformed;
mod plain_proxy;
mod restarts;
mod routing;

use std::path::{Path, PathBuf};

use tern_testkit::nginx::{Nginx, Site};
use tern_tests::Fleet;

/// Returns the directory of the project's nginx configuration.
fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("nginx")
}

/// Returns the site with a fleet's addresses.
fn site_of(fleet: &Fleet) -> Site {
    let redirectors = fleet.redirectors.iter().map(|redirector| redirector.addresses[0].clone()).collect();
    Site { redirectors, admins: vec![fleet.admin.addresses[0].clone()], is_behind_proxy: false }
}

/// Starts a fleet that trusts its nginx, and whose API requires a token.
async fn start_fleet_behind_nginx(links: usize) -> (Fleet, Nginx) {
    let mut fleet = Fleet::start(links, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    fleet.close_api();
    let nginx = Nginx::start(&configuration(), &site_of(&fleet));
    (fleet, nginx)
}
