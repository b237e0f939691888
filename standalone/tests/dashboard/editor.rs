//! The editor of a link.

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
    browser.wait("document.querySelector('#edit-original_url')").await;
    browser.inspect("editor-new").await;
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
    browser.fill("#edit-redirect_status", "301").await;
    let theirs = json!({"title": "Theirs", "notes": "new", "expires_at": "2090-01-01T00:00:07"});
    assert_eq!(tern.change_link(&link["id"], theirs).await.status(), 200);
    browser.click("dialog button", "Save").await;
    browser.wait_text("This link was changed meanwhile").await;
    browser.wait_text("Theirs").await;
    browser.inspect("conflict").await;
    // What one change set and what the other set may be refused together; every field can still be changed then.
    browser.click("dialog button", "Save mine over it").await;
    browser.wait("[...document.querySelectorAll('dialog.sheet .error')].some((it) => it.textContent)").await;
    assert_eq!(browser.run("return document.querySelector('#edit-notes').value").await, json!("new"));
    browser.fill("#edit-notes", "newer").await;
    browser.fill("#edit-redirect_status", "307").await;
    browser.click("dialog button", "Save").await;
    browser.wait_text("Saved").await;
    let path = format!("/urls/{}", link["id"]);
    let is_saved = async || {
        let saved = tern.get_json(&path).await;
        (&saved["title"], &saved["notes"], &saved["expires_at"])
            == (&json!("Mine"), &json!("newer"), &json!("2090-01-01T00:00:07"))
    };
    eventually("the fields of the user are saved", is_saved).await;
}

#[tokio::test]
async fn editor_switches_a_link_off() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/first").await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("About this link").await;
    browser.press("e").await;
    browser.click("#edit-is_active", "").await;
    browser.inspect("editor").await;
    browser.click("dialog summary", "More").await;
    browser.run("document.querySelector('#edit-external_id').scrollIntoView()").await;
    browser.inspect("editor-more").await;
    browser.click("dialog button", "Save").await;
    browser.wait_text("Saved").await;
    browser.wait("document.querySelector('.head .state.inactive')").await;
    let saved = tern.get_json(&format!("/urls/{}", link["id"])).await;
    assert_eq!((&saved["is_active"], &saved["revision"]), (&json!(false), &json!(2)));
    browser.click(".toast button", "Undo").await;
    browser.wait("document.querySelector('.head .state.active')").await;
}

#[tokio::test]
async fn limit_is_set_by_a_preset_used_up_and_raised() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/first").await;
    let page = format!("http://{}/admin/links/{}", tern.api, link["id"]);
    browser.goto(&page).await;
    browser.wait_text("About this link").await;
    browser.press("e").await;
    browser.fill("#edit-max_clicks", "0").await;
    browser.click("dialog button", "Save").await;
    browser.wait("document.querySelector('#edit-max_clicks-error').innerText.startsWith('max_clicks')").await;
    browser.click("dialog .chip", "100").await;
    assert_eq!(browser.run("return document.querySelector('#edit-max_clicks').value").await, json!("100"));
    browser.click("dialog .chip", "once").await;
    browser.click("dialog button", "Save").await;
    browser.wait_text("1 of 1").await;
    let code = link["short_code"].as_str().unwrap();
    assert_eq!(tern.follow(&tern.fast, code).await.0, 302);
    eventually("the link is used up", async || tern.follow(&tern.fast, code).await.0 == 410).await;
    browser.goto(&page).await;
    browser.wait("document.querySelector('.head .state.exhausted')?.innerText === 'Used up'").await;
    browser.wait_text("0 of 1").await;
    browser.inspect("link-exhausted").await;
    browser.press("e").await;
    browser.wait_text("Used 1 of 1. A greater number revives the link.").await;
    browser.run("document.querySelector('#edit-max_clicks').scrollIntoView()").await;
    browser.inspect("editor-limit").await;
    browser.fill("#edit-max_clicks", "3").await;
    browser.click("dialog button", "Save").await;
    browser.wait("document.querySelector('.head .state.active')").await;
    browser.wait_text("2 of 3").await;
    browser.click(".toast button", "Undo").await;
    browser.wait("document.querySelector('.head .state.exhausted')").await;
    // The list finds the links that are used up.
    browser.goto(&format!("http://{}/admin/?state=exhausted", tern.api)).await;
    browser.wait("document.querySelector('.links .state.exhausted')").await;
    assert_eq!(browser.run("return document.querySelector('.tools select').value").await, json!("exhausted"));
    browser.check_faults().await;
}
