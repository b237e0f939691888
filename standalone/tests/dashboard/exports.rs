//! The export of whole lists.

use serde_json::{Value, json};

use crate::open;
use crate::support::eventually;

/// Catches files in the page, since a browser without a window stores none.
const CATCH_FILES: &str = "window.saved = []; let file; \
    const make = URL.createObjectURL; URL.createObjectURL = (it) => make.call(URL, (file = it)); \
    HTMLAnchorElement.prototype.click = function () { file.text().then((text) => saved.push([this.download, text])); }";

#[tokio::test]
async fn whole_list_is_exported_in_each_format_with_the_filters_of_the_view() {
    let (tern, browser) = open(&["--sample"], "/admin/").await;
    let tagged = "tag=docs&state=active";
    let count = tern.get(&tern.api, &format!("/urls?{tagged}")).await.headers()["x-total-count"].clone();
    let count: usize = count.to_str().unwrap().parse().unwrap();
    assert!(count > 50, "one page is no whole list");
    browser.goto(&format!("http://{}/admin/?{tagged}&sort=title", tern.api)).await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 50").await;
    browser.run(CATCH_FILES).await;
    for (number, (label, end)) in [
        ("CSV for a spreadsheet", "csv"),
        ("CSV for Tern and programs", "csv"),
        ("JSON", "json"),
        ("NDJSON, an object a line", "ndjson"),
    ]
    .into_iter()
    .enumerate()
    {
        browser.click(".tools button", "Export links").await;
        if number == 0 {
            browser.wait("document.querySelector('[role=menuitem]')").await;
            browser.screenshot("links-export").await;
        }
        browser.click("[role=menuitem]", label).await;
        let file = browser.wait(&format!("saved[{number}]")).await;
        let (name, text) = (file[0].as_str().unwrap(), file[1].as_str().unwrap());
        assert!(name.starts_with("tern-urls-") && name.ends_with(&format!(".{end}")), "{name}");
        let rows = match end {
            "csv" => text.lines().count() - 1,
            "json" => serde_json::from_str::<Vec<Value>>(text).unwrap().len(),
            _ => text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(),
        };
        assert_eq!(rows, count, "{label}");
    }
    browser.wait_text("Saved tern-urls-").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn export_that_ends_early_is_not_saved_and_one_that_takes_long_can_be_stopped() {
    let (tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("2,000 links").await;
    browser.run(CATCH_FILES).await;
    let broken = "window.whole = fetch; window.fetch = async (path, ...rest) => !path.includes('/export') ? whole(path, ...rest) \
        : new Response(new ReadableStream({start(it) { it.enqueue(new Uint8Array(9)); it.error(new TypeError('cut off')); }}))";
    browser.run(broken).await;
    let export = async || {
        browser.click(".tools button", "Export links").await;
        browser.click("[role=menuitem]", "JSON").await;
    };
    export().await;
    browser.wait_text("The export of links ended early, so nothing was saved.").await;
    browser.inspect("links-export-error").await;
    let endless = "window.fetch = async (path, options) => !path.includes('/export') ? whole(path, options) \
        : new Response(new ReadableStream({start(it) { options.signal.addEventListener('abort', () => { window.isStopped = true; it.error(options.signal.reason); }); }}))";
    browser.run(endless).await;
    export().await;
    browser.click(".toast button", "Stop").await;
    browser.wait("window.isStopped && ![...document.querySelectorAll('.toast')].some((it) => it.innerText.includes('Exporting'))").await;
    assert_eq!(browser.run("return saved").await, json!([]));
    browser.run("window.fetch = () => Promise.resolve(Response.json({message: 'This token has 16 exports already'}, {status: 429}))").await;
    export().await;
    browser.wait_text("This token has 16 exports already").await;
    drop(tern);
}

#[tokio::test]
async fn clicks_of_a_link_are_exported() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/first").await;
    let other = tern.create_link(owner, "https://example.com/other").await;
    for code in [&link, &link, &link, &other].map(|link| link["short_code"].as_str().unwrap()) {
        assert_eq!(tern.follow(&tern.fast, code).await.0, 302);
    }
    eventually("the clicks are events", async || tern.count_events("clicked").await == 4).await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("About this link").await;
    browser.run(CATCH_FILES).await;
    browser.click("main button", "Export clicks").await;
    browser.click("[role=menuitem]", "JSON").await;
    let file = browser.wait("saved[0]").await;
    let events: Vec<Value> = serde_json::from_str(file[1].as_str().unwrap()).unwrap();
    assert!(
        events.len() == 3
            && events.iter().all(|event| event["url_id"] == link["id"] && event["event_type"] == "clicked"),
        "{file}"
    );
    browser.check_faults().await;
}
