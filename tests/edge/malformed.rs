//! The HTTP/1.1 vectors through nginx: none puts nginx and a redirector out of step, and none brings a wrong answer.

use crate::conformance::{Judge, run_all};
use crate::set;

const TARGET: &str = "https://target.example/path?q=1&r=%20#part";

/// Where nginx is more lenient, or keeps a connection that a redirector would close: it sends on a request of its own
/// making, so none of that reaches a redirector.
const NGINX: Judge = Judge {
    otherwise: &[
        // It does not know this form, and ends the connection to be safe.
        ("options-star", "400, then close"),
        // Any scheme, more spaces, any minor version; a line without a colon is left out.
        ("absolute-ftp", "302"),
        ("two-spaces", "302"),
        ("version-2", "302"),
        ("no-colon", "302"),
        // Refused by the redirector, whose connection is not the client's.
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
async fn every_vector_is_answered_right_through_nginx() {
    let (fleet, nginx) = set(2).await;
    fleet.psql(&format!("UPDATE urls SET short_code = 'CODE12', original_url = '{TARGET}' WHERE id = 1"));
    fleet.psql("UPDATE urls SET short_code = 'GONE12', is_active = false WHERE id = 2");
    for redirector in 0..2 {
        tern_tests::eventually("the links are served", async || {
            fleet.served(redirector, "CODE12").await.0 == 302 && fleet.served(redirector, "GONE12").await.0 == 410
        })
        .await;
    }
    let address = nginx.address().parse().unwrap();
    tokio::task::spawn_blocking(move || run_all(address, TARGET, &NGINX)).await.unwrap();
}
