//! Log entries of a request carry its ids.

use serde_json::Value;

use crate::support::{Tern, eventually};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Returns the log entries of a request, once there are at least `count`.
async fn entries_of(tern: &Tern, request_id: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    eventually("the entries are in the log", async || {
        let entries = tern.get_json("/logs?lines=1000").await;
        found = entries.as_array().unwrap().iter().filter(|entry| entry["request_id"] == request_id).cloned().collect();
        found.len() >= count
    })
    .await;
    found
}

fn messages(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["message"].as_str().unwrap()).collect()
}

async fn ask(tern: &Tern, request_id: &str, traceparent: &str) {
    let fields = [("x-request-id", request_id), ("traceparent", traceparent)];
    let response = tern.get_with(&fields, &tern.api, "/urls?short_code=Secret7").await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-request-id"]), (200, &request_id.parse().unwrap()));
}

#[tokio::test]
async fn slow_query_is_logged_with_its_request_ids_and_without_values() {
    // Every query takes longer than the threshold.
    let tern = Tern::start_with(&[], &[("SLOW_QUERY", "1ns")]);
    ask(&tern, "order-1", &format!("00-{TRACE_ID}-00f067aa0ba902b7-01")).await;
    let entries = entries_of(&tern, "order-1", 3).await;
    assert_eq!(messages(&entries), ["request started", "slow query", "request finished"]);
    for entry in &entries {
        assert_eq!(entry["trace_id"], TRACE_ID);
        assert_eq!(entry["span_id"], entries[0]["span_id"]);
        assert_eq!(entry["span_id"].as_str().unwrap().len(), 16);
    }
    assert_eq!((&entries[1]["function"], &entries[1]["level"]), (&"list_urls".into(), &"WARNING".into()));
    assert!(entries[1]["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(!entries[1].to_string().contains("Secret7"), "{}", entries[1]);

    // An invalid `traceparent` starts a new trace.
    ask(&tern, "order-2", &format!("00-{TRACE_ID}-0000000000000000-01")).await;
    let own = entries_of(&tern, "order-2", 3).await[0]["trace_id"].as_str().unwrap().to_owned();
    assert!(own.len() == 32 && own != TRACE_ID, "{own}");
}

#[tokio::test]
async fn slow_query_at_level_warning_has_its_request_id() {
    let tern = Tern::start_with(&[], &[("SLOW_QUERY", "1ns"), ("LOG_LEVEL", "warn")]);
    ask(&tern, "order-3", "nonsense").await;
    assert_eq!(messages(&entries_of(&tern, "order-3", 1).await), ["slow query"]);
}

#[tokio::test]
async fn slow_query_of_zero_logs_no_query() {
    let tern = Tern::start_with(&[], &[("SLOW_QUERY", "0")]);
    ask(&tern, "order-4", "").await;
    assert_eq!(messages(&entries_of(&tern, "order-4", 2).await), ["request started", "request finished"]);
}

#[tokio::test]
async fn metrics_contain_the_database_pools() {
    let tern = Tern::start(&[]);
    assert_eq!(tern.metric(r#"tern_store_pool_max{pool="writer"}"#).await, 1.0);
    assert!(tern.metric(r#"tern_store_pool_max{pool="lists"}"#).await > 1.0);
    assert_eq!(tern.metric(r#"tern_store_pool_waiting{pool="writer"}"#).await, 0.0);
}
