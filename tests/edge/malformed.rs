//! The HTTP/1.1 vectors through nginx: none puts nginx and a redirector out of step, and none causes a wrong answer.

use crate::conformance::{Differences, run_all};
use crate::start_fleet_behind_nginx;

const TARGET: &str = "https://target.example/path?q=1&r=%20#part";

/// Vectors for which nginx is more lenient, or keeps a connection open that a redirector would close. nginx sends
/// requests of its own making, so these bytes never reach a redirector.
const NGINX: Differences = Differences {
    expected_instead: &[
        // nginx does not know this form, and closes the connection.
        ("options-star", "400, then close"),
        // nginx accepts any scheme, more spaces and any minor version; it drops a line without a colon.
        ("absolute-ftp", "302"),
        ("two-spaces", "302"),
        ("version-2", "302"),
        ("no-colon", "302"),
        // The redirector refuses these, and nginx keeps the client's connection.
        ("host-bad-0", "400"),
        ("host-bad-3", "400"),
        ("host-bad-4", "400"),
        ("host-bad-5", "400"),
        ("host-bad-6", "400"),
        ("raw-byte", "400"),
        ("raw-utf-8", "400"),
    ],
    has_own_phrases: true,
};

#[tokio::test(flavor = "multi_thread")]
async fn vectors_through_nginx_are_answered_as_expected() {
    let (fleet, nginx) = start_fleet_behind_nginx(2).await;
    fleet.psql(&format!("UPDATE urls SET short_code = 'CODE12', original_url = '{TARGET}' WHERE id = 1"));
    fleet.psql("UPDATE urls SET short_code = 'GONE12', is_active = false WHERE id = 2");
    for redirector in 0..2 {
        tern_tests::eventually("the links are served", async || {
            fleet.look_up(redirector, "CODE12").await.0 == 302 && fleet.look_up(redirector, "GONE12").await.0 == 410
        })
        .await;
    }
    let address = nginx.address().parse().unwrap();
    tokio::task::spawn_blocking(move || run_all(address, TARGET, &NGINX)).await.unwrap();
}
