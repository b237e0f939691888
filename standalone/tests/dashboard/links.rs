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
