//! A page whose API or whose database is away.

use serde_json::json;
use tern_common::store::PostgresConfig;
use tern_common::store::postgres::migrate;
use tern_testkit::postgres::{Options, Postgres};

use crate::browser::Browser;
use crate::open;
use crate::support::Tern;

const SHORTEN: &str = "document.querySelector('form.compose').requestSubmit()";
const TYPED: &str = "https://example.com/kept";

#[tokio::test]
async fn page_waits_for_an_api_that_is_away_and_keeps_what_was_typed() {
    let (_tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("2,000 links").await;
    let network =
        |offline: bool| json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.emulateNetworkConditions", network(true)).await;
    browser.fill("#compose", TYPED).await;
    browser.run(SHORTEN).await;
    browser.wait_text("Tern does not answer").await;
    browser.inspect("links-away").await;
    assert_eq!(browser.run("return document.querySelector('#compose').value").await, json!(TYPED));
    browser.devtools("Network.emulateNetworkConditions", network(false)).await;
    browser.wait("!document.querySelector('#away-banner')").await;
    browser.run(SHORTEN).await;
    browser.wait_text("Copied http://").await;
}

#[tokio::test]
async fn page_names_a_stopped_database_keeps_what_was_typed_and_goes_on_by_itself() {
    let postgres = Postgres::start_new(&Options::default());
    let url = postgres.create_database();
    migrate(&PostgresConfig::new(url.clone())).await.unwrap();
    let tern = Tern::start_with(&["--sample"], &[("DATABASE_URL", &url)]);
    let browser = Browser::open(&format!("http://{}/admin/", tern.api)).await;
    browser.wait_text("2,000 links").await;
    postgres.stop();
    browser.fill("#compose", TYPED).await;
    browser.run(SHORTEN).await;
    browser.wait("document.querySelector('#away-banner')?.innerText.startsWith('Database is unavailable.')").await;
    browser.inspect("links-without-database").await;
    assert_eq!(browser.run("return document.querySelector('#compose').value").await, json!(TYPED));
    postgres.start();
    browser.wait("!document.querySelector('#away-banner')").await;
    assert_eq!(browser.run("return document.querySelector('#compose').value").await, json!(TYPED));
    browser.run(SHORTEN).await;
    browser.wait_text("Copied http://").await;
    // A screen that is opened while the database is stopped is shown once it is back.
    postgres.stop();
    browser.goto(&format!("http://{}/admin/users", tern.api)).await;
    browser.wait_text("Database is unavailable.").await;
    postgres.start();
    browser.wait("document.querySelectorAll('tbody tr').length >= 20").await;
    browser.wait("!document.querySelector('#away-banner')").await;
    browser.check_faults().await;
}
