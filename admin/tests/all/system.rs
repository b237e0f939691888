//! The state of the installation.

use std::sync::Arc;

use serde_json::json;
use tern_common::bus::{Bus, LocalBus, Message, ReplicaId, ReplicaStatus};

use crate::support::{Setup, UnavailableBus, eventually, spawn_app_with};

fn status() -> ReplicaStatus {
    ReplicaStatus {
        version: "9.9.9".to_owned(),
        host: "edge-1".to_owned(),
        address: "10.0.0.7:8080".parse().unwrap(),
        links: 2_000,
        stale_ms: Some(300),
        clicks_waiting: 7,
        oldest_click_ms: 40,
        clicks_dropped: 3,
        room_percent: 80,
        has_no_room: false,
    }
}

#[tokio::test]
async fn redirector_is_shown_by_its_report_until_it_ends() {
    let bus = Arc::new(LocalBus::new());
    let app = spawn_app_with(Setup { bus: bus.clone(), ..Setup::default() }).await;
    let replica = ReplicaId::random();
    let reported = async || {
        bus.publish(Message::Status { replica, status: status() }).await.unwrap();
        Some(app.get("/system").await.json()).filter(|system| system["redirectors"][0].is_object())
    };
    let mut system = eventually(reported).await;
    let mut shown = system["redirectors"][0].take();
    assert!(shown["reported_seconds_ago"].take().as_f64().unwrap() < 3.0);
    let expected = json!({
        "id": replica.to_string(), "host": "edge-1", "address": "10.0.0.7:8080", "version": "9.9.9", "links": 2000,
        "staleness_seconds": 0.3, "clicks_waiting": 7, "oldest_click_seconds": 0.04, "clicks_dropped": 3,
        "reported_seconds_ago": null
    });
    assert_eq!(shown, expected);
    assert_eq!(system["problems"], json!([]));
    assert_eq!((&system["store"]["kind"], &system["store"]["is_available"]), (&json!("SQLite"), &json!(true)));
    assert_eq!((&system["bus"]["kind"], &system["bus"]["is_available"]), (&json!("in process"), &json!(true)));
    assert!(system["store"]["answered_in_ms"].is_number() && system["store"]["pools"][0]["most"].is_number());
    let stale = ReplicaStatus { stale_ms: Some(42_000), ..status() };
    let is_reported = async || {
        bus.publish(Message::Status { replica, status: stale.clone() }).await.unwrap();
        Some(app.get("/system").await.json()["problems"].clone()).filter(|problems| *problems != json!([]))
    };
    let problems = eventually(is_reported).await;
    let expected = json!([{
        "message": "The redirector 10.0.0.7:8080 on edge-1 has not seen the database for 42 seconds and serves older links",
        "runbook": "docs/RUNBOOK.md#ternreplicastale"
    }]);
    assert_eq!(problems, expected);
    bus.publish(Message::Departure { replica }).await.unwrap();
    eventually(async || (app.get("/system").await.json()["redirectors"] == json!([])).then_some(())).await;
}

#[tokio::test]
async fn unavailable_database_and_bus_are_problems_and_no_error() {
    let app = spawn_app_with(Setup { bus: Arc::new(UnavailableBus), without_database: true, ..Setup::default() }).await;
    let answer = app.get("/system").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let system = answer.json();
    assert_eq!((&system["store"]["is_available"], &system["bus"]["is_available"]), (&json!(false), &json!(false)));
    assert_eq!((&system["store"]["answered_in_ms"], &system["bus"]["answered_in_ms"]), (&json!(null), &json!(null)));
    let problems = system["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
}
