//! The dashboard without a mouse.

use serde_json::json;

use crate::browser::Browser;
use crate::open;
use crate::support::eventually;

/// The element that has the focus, by its name for people.
const FOCUSED: &str = "(document.activeElement.ariaLabel ?? document.activeElement.innerText ?? '')";

/// Presses Tab until an element with this name has the focus, and checks on the way that each focus can be seen.
async fn tab_to(browser: &Browser, name: &str) {
    for _ in 0..40 {
        browser.press("Tab").await;
        let seen = "const it = document.activeElement; return it === document.body || it.matches(':focus-visible') && getComputedStyle(it).outlineStyle !== 'none'";
        assert_eq!(browser.run(seen).await, json!(true), "a focus is not seen");
        if browser.run(&format!("return {FOCUSED}.startsWith({})", json!(name))).await == json!(true) {
            return;
        }
    }
    panic!("no Tab leads to {name}");
}

#[tokio::test]
async fn each_key_of_the_list_does_what_its_help_says() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    for page in ["one", "two"] {
        tern.create_link(owner, &format!("https://example.com/{page}")).await;
    }
    let links = tern.get_json("/urls?sort=-id").await;
    browser.run("location.reload()").await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 2").await;
    browser.press("/").await;
    assert_eq!(browser.run("return document.activeElement.id").await, json!("compose"));
    browser.press("Escape").await;
    let row = "document.activeElement.closest('tr')?.dataset.id";
    for (key, at) in [("j", 0), ("j", 1), ("k", 0)] {
        browser.press(key).await;
        browser.wait(&format!("{row} === '{}'", links[at]["id"])).await;
    }
    browser.press("c").await;
    browser.wait_text("Copied http://").await;
    assert_eq!(browser.clipboard().await, links[0]["short_url"].as_str().unwrap());
    browser.press("q").await;
    browser.wait("document.querySelector('dialog .qr img')?.complete").await;
    browser.press("Escape").await;
    browser.wait(&format!("!document.querySelector('dialog') && {row} === '{}'", links[0]["id"])).await;
    browser.press("e").await;
    browser.wait("document.activeElement.id === 'edit-original_url'").await;
    browser.press("Escape").await;
    browser.wait(&format!("!document.querySelector('dialog') && {row} === '{}'", links[0]["id"])).await;
    browser.press("n").await;
    browser.wait("document.querySelector('dialog #edit-short_code')").await;
    browser.press("Escape").await;
    browser.wait("!document.querySelector('dialog')").await;
    browser.press("x").await;
    browser.wait_text("1 selected").await;
    browser.press("x").await;
    browser.wait("document.querySelector('.bulk').hidden").await;
    browser.press("Enter").await;
    browser.wait(&format!("location.pathname === '/admin/links/{}'", links[0]["id"])).await;
    browser.wait_text("About this link").await;
    browser.press("c").await;
    browser.press("q").await;
    browser.wait("document.querySelector('dialog .qr img')").await;
    browser.press("Escape").await;
    browser.press("Delete").await;
    browser.wait("location.pathname === '/admin/'").await;
    browser.click(".toast button", "Undo").await;
    browser.wait("document.querySelectorAll('.links tbody tr:not([hidden])').length === 2").await;
    assert_eq!(tern.get_json("/urls").await.as_array().unwrap().len(), 2);
    browser.check_faults().await;
}

#[tokio::test]
async fn whole_dashboard_is_reached_by_tab_and_enter() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/one").await;
    browser.run("location.reload()").await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 1").await;
    // A menu opens with its first item, moves by arrows, and closes by Escape to its button.
    tab_to(&browser, "More for ").await;
    browser.press("Enter").await;
    browser.wait(&format!("{FOCUSED} === 'Edit'")).await;
    browser.press("ArrowUp").await;
    browser.wait(&format!("{FOCUSED} === 'Delete'")).await;
    browser.press("ArrowUp").await;
    browser.wait(&format!("{FOCUSED} === 'Switch off'")).await;
    browser.press("Enter").await;
    browser.wait_text("Switched").await;
    eventually("the link is off", async || tern.get_json("/urls").await[0]["is_active"] == json!(false)).await;
    tab_to(&browser, "Undo").await;
    browser.press("Enter").await;
    eventually("the link is on", async || tern.get_json("/urls").await[0]["is_active"] == json!(true)).await;
    // The first Tab of a screen leads past the bar.
    for (screen, text) in
        [("Overview", "People in 30 days"), ("Tokens", "Create a token"), ("System", "Everything works.")]
    {
        tab_to(&browser, screen).await;
        browser.press("Enter").await;
        browser.wait_text(text).await;
        browser.run("document.activeElement.blur()").await;
    }
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("About this link").await;
    browser.press("Tab").await;
    browser.wait(&format!("{FOCUSED} === 'Skip to the content'")).await;
    browser.press("Enter").await;
    tab_to(&browser, "Edit").await;
    browser.press("Enter").await;
    browser.wait("document.activeElement.id === 'edit-original_url'").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn text_that_is_typed_while_a_link_is_made_stays() {
    let (tern, browser) = open(&[], "/admin/").await;
    browser.wait_text("No links yet").await;
    browser.fill("#compose", "https://example.com/slow").await;
    let slow = "const fetch = window.fetch; window.fetch = async (...all) => { const answer = await fetch(...all); if (all[1]?.method === 'POST' && all[0] === '/urls') await new Promise((done) => (window.goOn = done)); return answer; }; document.querySelector('form.compose').requestSubmit()";
    browser.run(slow).await;
    browser.wait("window.goOn").await;
    browser.fill("#compose", "https://example.com/next").await;
    browser.run("window.goOn()").await;
    browser.wait_text("Copied http://").await;
    assert_eq!(browser.run("return document.querySelector('#compose').value").await, json!("https://example.com/next"));
    assert_eq!(tern.get_json("/urls").await[0]["original_url"], "https://example.com/slow");
    browser.check_faults().await;
}
