//! Tokens that an operator creates and revokes on the command line beside a running server.

use reqwest::StatusCode;

use crate::support::{Tern, run, tern, text};

#[tokio::test(flavor = "multi_thread")]
async fn public_port_requires_tokens_and_short_codes_stay_open() {
    let settings = [("ADMIN_LISTEN", "0.0.0.0:0"), ("ADMIN_AUTH", "tokens"), ("LOG_FILE", "app.log")];
    let server = Tern::start_with(&["--sample"], &settings);
    let address = server.api.replace("0.0.0.0", "127.0.0.1");
    let directory = server.directory.path().to_owned();
    let status = async |token: &str, path: &str| {
        let authorization = format!("Bearer {token}");
        server.get_with(&[("authorization", &authorization)], &address, path).await.status()
    };
    assert_eq!(server.get(&address, "/users").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.get(&address, "/health").await.status(), StatusCode::OK);
    let code = server.announced_code.clone().unwrap();
    assert_eq!(server.follow(&address, &code).await.0, 302);

    let first = std::fs::read_to_string(directory.join("data/admin.token")).unwrap();
    assert_eq!(status(first.trim(), "/users").await, StatusCode::OK);
    let made = run(&mut tern(&directory, &["token", "create", "ci", "--role", "viewer"]));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let made = text(&made.stdout);
    assert_eq!(status(made.trim(), "/users").await, StatusCode::OK);
    assert_eq!(status(made.trim(), "/logs").await, StatusCode::FORBIDDEN);
    let listed = text(&run(&mut tern(&directory, &["token", "list"])).stdout);
    assert!(listed.contains("first") && listed.contains("ci"), "{listed}");
    assert!(run(&mut tern(&directory, &["token", "revoke", "ci"])).status.success());
    crate::support::eventually("the token is refused", async || {
        status(made.trim(), "/users").await == StatusCode::UNAUTHORIZED
    })
    .await;

    // Each log entry of a request has its token's name.
    let entries: serde_json::Value = serde_json::from_str(
        &server
            .get_with(&[("authorization", &format!("Bearer {}", first.trim()))], &address, "/logs?lines=1000")
            .await
            .text()
            .await
            .unwrap(),
    )
    .unwrap();
    let named = |name: &str, message: &str| {
        entries.as_array().unwrap().iter().any(|entry| entry["token"] == name && entry["message"] == message)
    };
    for name in ["first", "ci"] {
        assert!(named(name, "request started") && named(name, "request finished"), "{name}: {entries}");
    }

    // The tokens themselves appear neither in the log nor in any answer.
    let log = std::fs::read_to_string(directory.join("app.log")).unwrap();
    let bearer = format!("Bearer {}", first.trim());
    let logs = server.get_with(&[("authorization", &bearer)], &address, "/logs?lines=1000").await.text().await.unwrap();
    for token in [first.trim(), made.trim()] {
        assert!(!log.contains(token) && !logs.contains(token) && !listed.contains(token));
    }
    assert!(log.contains("/users"));
}

#[test]
fn start_on_public_port_without_tokens_reports_it_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(tern(directory.path(), &["serve"]).env("ADMIN_LISTEN", "0.0.0.0:0"));
    let error_output = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error_output}");
    assert!(error_output.contains("other machines can reach") && error_output.lines().count() == 1, "{error_output}");
}
