//! The snapshot file of a process that is killed while it writes.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::RngExt;
use serde_json::{Value, json};

use crate::support::{Tern, eventually};

/// Links of one request.
const LINKS: usize = 10;

/// Pause between two requests. Without one, more changes than a tail may have would come in the seconds between two writes.
const PAUSE: Duration = Duration::from_millis(50);

/// The file and the deltas after it must lead to the links of the store, which the audit after the start compares.
#[tokio::test(flavor = "multi_thread")]
async fn killed_process_starts_from_its_snapshot_file_with_the_links_of_the_store() {
    let mut tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let first = tern.create_link(owner, "https://example.com/first").await;
    eventually("a base is written", async || tern.metric("tern_replica_file_base_bytes_total").await > 0.0).await;
    let target = format!("https://example.com/{}", "x".repeat(100));
    let urls: Vec<Value> = (0..LINKS).map(|_| json!({"user_id": owner, "original_url": target})).collect();
    let mut appended = 0.0;
    for round in 0..6 {
        let (wait, api) = (rand::rng().random_range(4_000..7_000), tern.api.clone());
        let creations = tokio::spawn({
            let body = json!(urls);
            async move {
                // The last request fails when the process is killed.
                while create_all(&api, &body).await.is_ok() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(wait)).await;
        tern.change_link(&first["id"], json!({"original_url": format!("https://example.com/{round}")})).await;
        appended += tern.metric("tern_replica_file_tail_bytes_total").await;
        let (_, directory) = tern.end(Signal::SIGKILL);
        creations.await.unwrap();
        tern = Tern::start_in(directory, &[], &[]);
        eventually("the audit is done", async || tern.metric("tern_replica_audits_total").await >= 1.0).await;
        for series in ["divergent_links", "snapshots", "file_errors"] {
            assert_eq!(tern.metric(&format!("tern_replica_{series}_total")).await, 0.0, "{series} after round {round}");
        }
        let target = format!("https://example.com/{round}");
        assert_eq!(tern.follow(&tern.fast, first["short_code"].as_str().unwrap()).await, (302, Some(target)));
    }
    assert!(appended > 0.0, "no change was appended, so nothing is tested");
}

async fn create_all(api: &str, body: &Value) -> reqwest::Result<()> {
    let response = reqwest::Client::new().post(format!("http://{api}/urls/bulk")).json(body).send().await?;
    response.error_for_status().map(drop)
}
