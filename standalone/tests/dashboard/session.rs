//! The session: its begin, its end, and what may use it.

use serde_json::json;

use crate::browser::Browser;
use crate::support::{Tern, eventually, run, tern, text};

/// Starts Tern and creates a token of a role, which closes its API.
pub async fn start_with_token(role: &str) -> (Tern, String) {
    let server = Tern::start(&["--sample"]);
    let made = run(&mut tern(server.directory.path(), &["token", "create", "ci", "--role", role]));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let is_closed = async || server.get(&server.api, "/users").await.status() == 401;
    eventually("the API needs a token", is_closed).await;
    (server, text(&made.stdout).trim().to_owned())
}

pub async fn log_in(browser: &Browser, token: &str) {
    browser.fill("#token", token).await;
    browser.click("#login button", "Open the dashboard").await;
}

#[tokio::test]
async fn token_becomes_a_session_that_ends_with_it() {
    let (server, token) = start_with_token("editor").await;
    let browser = Browser::open(&format!("http://{}/admin/", server.api)).await;
    browser.wait_text("Welcome to Tern").await;
    log_in(&browser, "tern_wrong").await;
    browser.wait_text("The token is unknown").await;
    browser.inspect("login").await;
    log_in(&browser, &token).await;
    browser.wait_text("2,000 links").await;

    // Neither half of the session is the token, and no script reads the other half.
    let stored = browser.run("return JSON.stringify(localStorage) + document.cookie").await;
    assert!(
        !stored.as_str().unwrap().contains(&token) && !stored.as_str().unwrap().contains("tern-session-"),
        "{stored}"
    );
    browser.run("location.reload()").await;
    browser.wait_text("2,000 links").await;

    assert!(run(&mut tern(server.directory.path(), &["token", "revoke", "ci"])).status.success());
    let bearer = format!("Bearer {token}");
    let is_refused =
        async || server.get_with(&[("authorization", &bearer)], &server.api, "/users").await.status() == 401;
    eventually("the token is refused", is_refused).await;
    browser.fill("#compose", "https://example.com/typed").await;
    browser.run("document.querySelector('form.compose').requestSubmit()").await;
    browser.wait_text("The session has ended").await;
    assert_eq!(
        browser.run("return document.querySelector('#compose').value").await,
        json!("https://example.com/typed")
    );
    browser.inspect("session-ended").await;
}

#[tokio::test]
async fn log_out_removes_the_session_and_what_the_page_shows() {
    let (server, token) = start_with_token("viewer").await;
    let browser = Browser::open(&format!("http://{}/admin/", server.api)).await;
    log_in(&browser, &token).await;
    browser.wait_text("2,000 links").await;
    assert_eq!(browser.run("return document.querySelector('.row-edit, .compose button')").await, json!(null));
    browser.click(".links tbody .target", "").await;
    browser.wait_text("About this link").await;
    browser.click("#shell button", "Account").await;
    browser.screenshot("account-menu").await;
    browser.click("[role=menuitem]", "Log out").await;
    browser.wait_text("Welcome to Tern").await;
    assert_eq!(browser.run("return localStorage.getItem('tern-session')").await, json!(null));
    browser.run("history.back()").await;
    browser.wait_text("Welcome to Tern").await;
    assert_eq!(browser.run("return document.querySelector('.links')").await, json!(null));
}
