//! The editor of a link, and the page of one link.

use serde_json::json;

use crate::open;
use crate::support::eventually;

#[tokio::test]
async fn editor_shows_an_error_at_its_field_and_makes_the_link() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    tern.create_link(owner, "https://example.com/first").await;
    browser.wait("document.querySelector('#compose')").await;
    browser.press("n").await;
    browser.fill("#edit-original_url", "javascript:alert(1)").await;
    browser.click("dialog button", "Make the link").await;
    browser.wait("document.querySelector('#edit-original_url-error').innerText.startsWith('original_url')").await;
    assert_eq!(browser.run("return document.activeElement.id").await, json!("edit-original_url"));
    browser.inspect("editor-error").await;
    browser.fill("#edit-original_url", "https://example.com/shop").await;
    browser.fill("#edit-short_code", "summer").await;
    browser.wait_text("summer is free").await;
    browser.fill("#edit-title", "Summer sale").await;
    browser.fill("#edit-tags", "Summer, poster").await;
    browser.click("dialog button", "Make the link").await;
    browser.wait_text("Copied http://").await;
    let link = &tern.get_json("/urls?short_code=summer").await[0];
    assert_eq!((&link["title"], &link["tags"]), (&json!("Summer sale"), &json!(["summer", "poster"])));
    browser.press("n").await;
    browser.fill("#edit-original_url", "https://example.com/other").await;
    browser.fill("#edit-short_code", "summer").await;
    browser.wait_text("is taken").await;
}

#[tokio::test]
async fn editor_shows_both_versions_after_another_change() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/first").await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("About this link").await;
    browser.inspect("link").await;
    browser.press("e").await;
    browser.fill("#edit-title", "Mine").await;
    assert_eq!(tern.change_link(&link["id"], json!({"title": "Theirs", "notes": "new"})).await.status(), 200);
    browser.click("dialog button", "Save").await;
    browser.wait_text("This link was changed meanwhile").await;
    browser.wait_text("Theirs").await;
    browser.inspect("conflict").await;
    browser.click("dialog button", "Save mine over it").await;
    browser.wait_text("Saved").await;
    let path = format!("/urls/{}", link["id"]);
    let is_saved = async || {
        let saved = tern.get_json(&path).await;
        (&saved["title"], &saved["notes"]) == (&json!("Mine"), &json!("new"))
    };
    eventually("the field of the user is saved, and the other one is retained", is_saved).await;
}

#[tokio::test]
async fn page_of_a_link_shows_its_clicks_and_its_qr_code() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/first").await;
    let code = link["short_code"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(tern.follow(&tern.fast, code).await.0, 302);
    }
    eventually("the clicks are events", async || tern.count_events("clicked").await == 3).await;
    browser.goto(&format!("http://{}/admin/links/{}?range=7d", tern.api, link["id"])).await;
    browser.wait("document.querySelector('.figures dd')?.innerText.startsWith('3')").await;
    browser.wait("document.querySelectorAll('.chart .bar').length === 7").await;
    browser.inspect("link-clicks").await;
    browser.press("q").await;
    browser.wait("document.querySelector('.qr img')?.naturalWidth > 0").await;
    browser.inspect("qr").await;
}
