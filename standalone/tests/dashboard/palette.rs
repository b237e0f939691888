//! The command palette and the bar on top.

use serde_json::json;

use crate::browser::Browser;
use crate::open;

async fn press_ctrl_k(browser: &Browser) {
    browser.run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'k', ctrlKey: true, bubbles: true, cancelable: true}))").await;
}

const SELECTED: &str = "document.querySelector('.palette [aria-selected=true] .what')?.innerText";

#[tokio::test]
async fn palette_finds_links_screens_and_actions_by_keyboard_alone() {
    let (tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("2,000 links").await;
    press_ctrl_k(&browser).await;
    browser.wait(&format!("{SELECTED} === 'Links'")).await;
    browser.inspect("palette").await;
    browser.press("ArrowDown").await;
    browser.wait(&format!("{SELECTED} === 'Overview'")).await;
    browser.press("ArrowUp").await;
    browser.press("ArrowUp").await;
    let last = browser.wait(SELECTED).await;
    assert_eq!(last, json!("API documentation"));
    let active = "document.getElementById(document.querySelector('.palette input').getAttribute('aria-activedescendant')).innerText.trim()";
    assert_eq!(browser.run(&format!("return {active}")).await, last);

    browser.fill(".palette input", "/1952").await;
    browser.wait("document.querySelector('.palette [aria-label=Links] [role=option]')").await;
    browser.inspect("palette-search").await;
    let link = &tern.get_json("/urls?search=/1952").await[0];
    let enter = "{key: 'Enter', shiftKey: true, bubbles: true, cancelable: true}";
    browser.run(&format!("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {enter}))")).await;
    browser.wait_text("Copied http://").await;
    assert_eq!(browser.clipboard().await, link["short_url"].as_str().unwrap());
    press_ctrl_k(&browser).await;
    browser.fill(".palette input", "/1952").await;
    browser.wait("document.querySelector('.palette [aria-label=Links] [role=option]')").await;
    browser.press("Enter").await;
    browser.wait(&format!("location.pathname === '/admin/links/{}'", link["id"])).await;
    assert_eq!(browser.run("return document.querySelector('.palette')").await, json!(null));

    press_ctrl_k(&browser).await;
    browser.fill(".palette input", "audi").await;
    browser.press("Enter").await;
    browser.wait("location.pathname === '/admin/audit'").await;
    assert_eq!(browser.run("return document.activeElement.id").await, json!("main"));
    press_ctrl_k(&browser).await;
    browser.fill(".palette input", "new li").await;
    browser.press("Enter").await;
    browser.wait("document.querySelector('#edit-original_url')").await;
    press_ctrl_k(&browser).await;
    assert_eq!(browser.run("return document.querySelector('.palette')").await, json!(null));
    browser.press("Escape").await;
    browser.wait("!document.querySelector('dialog')").await;
    press_ctrl_k(&browser).await;
    browser.fill(".palette input", "no link has this text").await;
    browser.wait_text("Nothing has this text").await;
    browser.inspect("palette-nothing").await;
    press_ctrl_k(&browser).await;
    browser.wait("!document.querySelector('dialog')").await;
    browser.press("?").await;
    browser.wait_text("Find links, screens and actions").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn palette_shortens_an_address_and_changes_the_theme() {
    let (tern, browser) = open(&[], "/admin/users").await;
    browser.wait_text("No users yet").await;
    browser.click("#shell button", "Find").await;
    browser.fill(".palette input", "https://example.com/from/the/palette").await;
    browser.press("Enter").await;
    browser.wait_text("Copied http://").await;
    assert_eq!(tern.get_json("/urls").await[0]["original_url"], "https://example.com/from/the/palette");
    press_ctrl_k(&browser).await;
    browser.fill(".palette input", "dark").await;
    browser.press("Enter").await;
    browser.wait("document.documentElement.dataset.theme === 'dark'").await;
    browser.check_faults().await;
}
