//! The list of links.

use serde_json::json;

use crate::open;
use crate::support::eventually;

#[tokio::test]
async fn list_of_the_sample_is_shown_and_accessible() {
    let (_tern, browser) = open(&["--sample"], "/").await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 50").await;
    browser.wait_text("2,000 links").await;
    browser.inspect("links").await;
}

#[tokio::test]
async fn pasted_address_becomes_a_link_on_the_clipboard_and_can_be_undone() {
    let (tern, browser) = open(&[], "/admin/").await;
    browser.wait_text("No links yet").await;
    browser.inspect("links-empty").await;
    browser.paste("https://example.com/a/page?x=1").await;
    browser.wait_text("Copied http://").await;
    let link = &tern.get_json("/urls").await[0];
    assert_eq!(link["original_url"], "https://example.com/a/page?x=1");
    assert_eq!(browser.clipboard().await, link["short_url"].as_str().unwrap());
    browser.wait("document.querySelectorAll('.links tbody tr').length === 1").await;
    browser.inspect("links-toast").await;
    browser.click(".toast button", "Undo").await;
    browser.wait("[...document.querySelectorAll('.links tbody tr')].every((row) => row.hidden)").await;
    eventually("the link is gone", async || tern.get_json("/urls").await == json!([])).await;
}

#[tokio::test]
async fn link_deleted_by_key_comes_back_by_undo() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    for page in ["one", "two"] {
        tern.create_link(owner, &format!("https://example.com/{page}")).await;
    }
    browser.run("location.reload()").await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 2").await;
    for key in ["j", "j", "x"] {
        browser.press(key).await;
    }
    browser.wait_text("1 selected").await;
    browser.inspect("links-selected").await;
    browser.press("Delete").await;
    browser.wait("document.querySelectorAll('.links tbody tr:not([hidden])').length === 1").await;
    browser.click(".toast button", "Undo").await;
    browser.wait("document.querySelectorAll('.links tbody tr:not([hidden])').length === 2").await;
    assert_eq!(tern.get_json("/urls").await.as_array().unwrap().len(), 2);
    browser.press("?").await;
    browser.wait_text("Previous link").await;
    browser.inspect("keys").await;
}

#[tokio::test]
async fn search_lives_in_the_address_and_survives_a_reload() {
    let (_tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("2,000 links").await;
    browser.press("/").await;
    browser.fill("#compose", "lagoon/1952").await;
    browser.wait_text("1 link").await;
    browser.wait("location.search.includes('search=lagoon%2F1952')").await;
    browser.run("location.reload()").await;
    browser.wait("document.querySelector('#compose')?.value === 'lagoon/1952'").await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 1").await;
    browser.fill("#compose", "nothing has this text").await;
    browser.wait_text("No link matches").await;
    browser.check_faults().await;
}

/// A page that reads any of these as markup fails by its policy or by an error.
#[tokio::test]
async fn texts_from_outside_are_shown_as_texts() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let payload = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}${7*7}";
    let link = tern.create_link(owner, "https://example.com/?a=\"'><svg/onload=alert(1)>").await;
    let fields = json!({"title": payload, "notes": payload, "external_id": payload, "tags": [&payload[..49]]});
    assert_eq!(tern.change_link(&link["id"], fields).await.status(), 200);
    for path in ["/admin/", &format!("/admin/links/{}", link["id"])] {
        browser.goto(&format!("http://{}{path}", tern.api)).await;
        browser.wait_text(payload).await;
        browser.check_faults().await;
        let elements = "return document.querySelectorAll('main script, main img, [onload], [onerror]').length";
        assert_eq!(browser.run(elements).await, json!(0), "{path}");
    }
}

#[tokio::test]
async fn page_waits_for_an_api_that_is_away_and_keeps_what_was_typed() {
    let (_tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("2,000 links").await;
    let network =
        |offline: bool| json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.emulateNetworkConditions", network(true)).await;
    browser.fill("#compose", "https://example.com/kept").await;
    browser.run("document.querySelector('form.compose').requestSubmit()").await;
    browser.wait_text("Tern does not answer").await;
    browser.screenshot("links-away").await;
    assert_eq!(browser.run("return document.querySelector('#compose').value").await, json!("https://example.com/kept"));
    browser.devtools("Network.emulateNetworkConditions", network(false)).await;
    browser.run("document.querySelector('form.compose').requestSubmit()").await;
    browser.wait_text("Copied http://").await;
    browser.wait("!document.querySelector('#away-banner')").await;
}
