//! The end of the log over HTTP.

use serde_json::{Value, json};

use crate::support::spawn_app;

#[tokio::test]
async fn last_log_entries_are_listed_oldest_first() {
    let app = spawn_app().await;
    let lines: String = (1..=1200).map(|n| format!("{{\"message\":\"entry {n}\",\"a\":1}}\n")).collect();
    app.write_log(&lines);
    let check = async |query: &str, first: u64, count: usize| {
        let answer = app.get(&format!("/logs{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        let entries = answer.json();
        assert_eq!(entries.as_array().unwrap().len(), count, "{query}");
        assert_eq!(entries[0], json!({ "message": format!("entry {first}"), "a": 1 }), "{query}");
        assert_eq!(entries[count - 1]["message"], "entry 1200", "{query}");
    };
    check("", 1101, 100).await;
    check("?lines=5", 1196, 5).await;
    check("?lines=1000", 201, 1000).await;
    check("?lines=1001", 201, 1000).await;
    check("?lines=99999999999999999999", 201, 1000).await;
    for not_a_number in ["abc", "", "-5", "1.5"] {
        check(&format!("?lines={not_a_number}"), 1101, 100).await;
    }
    assert_eq!(app.get("/logs?lines=0").await.json(), json!([]));
    assert!(app.get("/logs?lines=1").await.body.starts_with(r#"[{"message""#), "fields are out of order");
}

#[tokio::test]
async fn log_line_that_is_no_object_is_shown_as_a_message() {
    let app = spawn_app().await;
    assert_eq!(app.get("/logs").await.json(), json!([]), "no file, no entries");
    app.write_log("plain \"text\"\n\n[1]\n{\"level\":\"INFO\"}\n{broken\n");
    assert_eq!(
        app.get("/logs").await.json(),
        json!([{ "message": "plain \"text\"" }, { "message": "[1]" }, { "level": "INFO" }, { "message": "{broken" }])
    );
    std::fs::write(&app.log_file, b"caf\xe9\n").unwrap();
    let entries: Value = app.get("/logs").await.json();
    assert_eq!(entries[0]["message"], "caf\u{fffd}");
}

#[tokio::test]
async fn log_that_is_no_regular_file_is_empty_without_waiting() {
    let app = spawn_app().await;
    let check = async |what: &str| {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(5), app.get("/logs?lines=10")).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: GET /logs waits"));
        assert_eq!((answer.status, answer.json()), (200, json!([])), "{what}");
    };
    check("no file").await;
    let made = std::process::Command::new("mkfifo").arg(&app.log_file).status().unwrap();
    assert!(made.success());
    check("a pipe without a writer").await;
    std::fs::remove_file(&app.log_file).unwrap();
    for (target, what) in [("/dev/null", "a device"), ("/", "a directory"), ("app.log", "a link to itself")] {
        std::os::unix::fs::symlink(target, &app.log_file).unwrap();
        check(what).await;
        std::fs::remove_file(&app.log_file).unwrap();
    }
}
