//! The pictures of `README.md`. `make screenshots` copies them from `target/screenshots` to `docs/images`.

use serde_json::json;

use crate::browser::{Browser, target};
use crate::session::{log_in, start_with_token};

/// The most bytes of a picture, since each clone of the repository has them.
const MOST_BYTES: u64 = 150_000;

#[tokio::test]
async fn pictures_of_the_readme_show_the_list_and_a_link_and_are_small() {
    let (tern, token) = start_with_token("admin").await;
    let browser = Browser::open(&format!("http://{}/admin/", tern.api)).await;
    log_in(&browser, &token).await;
    browser.wait_text("2,000 links").await;
    browser.resize(1280, 800).await;
    browser.goto(&format!("http://{}/admin/?sort=-clicks", tern.api)).await;
    browser.wait("document.querySelectorAll('.links svg.sparkline').length >= 8").await;
    browser.screenshot("readme-links").await;
    browser.click(".links tbody .target", "").await;
    browser.wait("document.querySelectorAll('.bars').length >= 6").await;
    browser.set_scheme("dark").await;
    browser.wait("document.querySelector('.live-state.on')").await;
    browser.screenshot("readme-link").await;
    for name in ["readme-links", "readme-link"] {
        let bytes = std::fs::metadata(target().join(format!("screenshots/{name}.png"))).unwrap().len();
        assert!((10_000..MOST_BYTES).contains(&bytes), "{name} has {bytes} bytes");
    }
    assert_eq!(browser.run("return Boolean(document.querySelector('#open-banner'))").await, json!(false));
    browser.check_faults().await;
}
