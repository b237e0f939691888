//! The screen of tokens.

use serde_json::json;

use crate::open;
use crate::session::{log_in, start_with_token};
use crate::support::eventually;

#[tokio::test]
async fn first_token_closes_the_api_and_the_browser_goes_on_with_it() {
    let (tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("Every program on this machine may change everything here").await;
    browser.click("#open-banner a", "Create a token").await;
    browser.wait_text("The first token closes the API").await;
    browser.inspect("tokens-open").await;
    browser.press("n").await;
    browser.fill("#ask-name", "a b").await;
    browser.click("dialog button", "Create it and close the API").await;
    browser.wait("document.querySelector('dialog .error').innerText.includes('name')").await;
    browser.fill("#ask-name", "ops").await;
    browser.click("dialog button", "Create it and close the API").await;
    browser.wait_text("never shows it again").await;
    let token = browser.wait("document.querySelector('.once input')?.value").await;
    let token = token.as_str().unwrap();
    browser.click(".once button", "Copy").await;
    browser.wait_text("Copied.").await;
    assert_eq!(browser.clipboard().await, token);
    browser.inspect("tokens-once").await;
    // A key must not take away what is shown only once.
    browser.press("Escape").await;
    assert_eq!(browser.run("return document.querySelector('.once input')?.value").await, json!(token));
    browser.click("dialog button", "I have stored it").await;
    browser.wait("!document.querySelector('dialog') && !document.querySelector('#open-banner')").await;
    assert_eq!(tern.get(&tern.api, "/users").await.status(), 401);
    let authorization = format!("Bearer {token}");
    let by_token = tern.get_with(&[("authorization", &authorization)], &tern.api, "/tokens").await;
    assert_eq!(by_token.status(), 200);
    let stored = browser.run("return JSON.stringify(localStorage) + document.cookie + document.body.innerHTML").await;
    assert!(!stored.as_str().unwrap().contains(token), "the page still has the token");
    browser.run("location.reload()").await;
    browser.wait_text("in use here").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn token_is_made_with_owner_and_end_and_revoked_after_undo() {
    let (tern, admin) = start_with_token("admin").await;
    let browser = crate::browser::Browser::open(&format!("http://{}/admin/tokens", tern.api)).await;
    log_in(&browser, &admin).await;
    browser.click("button", "Create a token").await;
    browser.fill("#ask-name", "reader").await;
    browser.fill("#ask-user_id", "1").await;
    browser.fill("#ask-end", "30").await;
    browser.inspect("tokens-create").await;
    browser.click("dialog button", "Create").await;
    browser.wait_text("never shows it again").await;
    browser.click("dialog button", "I have stored it").await;
    browser.wait("document.querySelectorAll('.tokens tbody tr').length === 2").await;
    browser.inspect("tokens").await;
    let bearer = format!("Bearer {admin}");
    let list = async || -> serde_json::Value {
        let answer = tern.get_with(&[("authorization", &bearer)], &tern.api, "/tokens").await;
        answer.json().await.unwrap()
    };
    let reader = &list().await[1];
    let made = (&reader["name"], &reader["role"], &reader["user_id"], &reader["created_by"]);
    assert_eq!(made, (&json!("reader"), &json!("viewer"), &json!(1), &json!("ci")));
    assert!(reader["expires_at"].is_string(), "{reader}");
    let shown = "[...document.querySelectorAll('.tokens tbody tr')].filter((row) => !row.hidden).length";
    browser.click(".tokens button", "Revoke reader").await;
    browser.wait(&format!("{shown} === 1")).await;
    browser.click(".toast button", "Undo").await;
    browser.wait(&format!("{shown} === 2")).await;
    assert_eq!(list().await[1]["state"], "valid");
    browser.click(".tokens button", "Revoke reader").await;
    browser.click(".toast button", "Revoke now").await;
    eventually("the token is revoked", async || list().await[1]["revoked_by"] == "ci").await;
    browser.click(".tools button", "Ended (1)").await;
    browser.wait_text("by ci").await;
    browser.inspect("tokens-ended").await;
    // A token that revokes itself ends its session.
    browser.click(".tools button", "Valid (1)").await;
    browser.click(".tokens button", "Revoke ci").await;
    browser.wait_text("which ends this session").await;
    browser.click(".toast button", "Revoke now").await;
    browser.wait_text("The session has ended").await;
}

#[tokio::test]
async fn editor_sees_neither_tokens_nor_system() {
    let (tern, token) = start_with_token("editor").await;
    let browser = crate::browser::Browser::open(&format!("http://{}/admin/", tern.api)).await;
    log_in(&browser, &token).await;
    browser.wait_text("2,000 links").await;
    let names = "return [...document.querySelectorAll('.shell nav a')].map((it) => it.innerText)";
    assert_eq!(browser.run(names).await, json!(["Links", "Overview", "Tags", "Users", "Import", "Audit"]));
    browser.goto(&format!("http://{}/admin/tokens", tern.api)).await;
    browser.wait_text("The role of this token does not allow this").await;
}
