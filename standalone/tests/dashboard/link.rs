//! The page of one link: its statistics, its history, its QR code and its live clicks.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::open;
use crate::support::{Tern, eventually};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Starts Tern with one link, and opens a page.
async fn start() -> (Tern, Browser, Value) {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/first").await;
    (tern, browser, link)
}

/// Follows a link as people and as a bot.
async fn click(tern: &Tern, link: &Value, people: u64, bots: u64) {
    let before = tern.count_events("clicked").await;
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    let person = [("user-agent", FIREFOX), ("referer", "https://news.example/today"), ("accept-language", "de-DE")];
    for _ in 0..people {
        assert_eq!(tern.get_with(&person, &tern.fast, &path).await.status(), 302);
    }
    for _ in 0..bots {
        assert_eq!(tern.get_with(&[("user-agent", "curl/8.0")], &tern.fast, &path).await.status(), 302);
    }
    let are_stored = async || tern.count_events("clicked").await == before + people + bots;
    eventually("the clicks are events", are_stored).await;
}

/// The figures on the page, in their order.
const FIGURES: &str = "[...document.querySelectorAll('.figures dd')].map((it) => parseInt(it.innerText)).join(' ')";

/// The sum of the chart's table.
const SERIES: &str = "[...document.querySelectorAll('details.table td:nth-child(2)')].reduce((sum, it) => sum + Number(it.textContent), 0)";

/// The sum of a breakdown.
fn breakdown(title: &str) -> String {
    format!(
        "[...document.querySelectorAll('.bars')].find((it) => it.caption.textContent === '{title}')?.querySelectorAll('td')?.values().reduce((sum, it) => sum + parseInt(it.textContent), 0)"
    )
}

#[tokio::test]
async fn figures_series_and_breakdowns_agree_for_people_and_for_all_clicks() {
    let (tern, browser, link) = start().await;
    click(&tern, &link, 3, 2).await;
    browser.goto(&format!("http://{}/admin/links/{}?range=7d", tern.api, link["id"])).await;
    browser.wait(&format!("{FIGURES}.startsWith('3 2 5')")).await;
    browser.wait("document.querySelectorAll('.chart .bar').length === 7").await;
    browser.wait_text("news.example").await;
    browser.wait_text("German").await;
    assert_eq!(browser.run(&format!("return {SERIES}")).await, json!(3));
    for title in ["Referrers", "Countries", "Devices", "Systems", "Browsers", "Languages", "Sources"] {
        assert_eq!(browser.run(&format!("return {}", breakdown(title))).await, json!(3), "{title}");
    }
    browser.inspect("link-clicks").await;
    browser.click(".segments button", "People and bots").await;
    browser.wait("location.search.includes('bots=include')").await;
    browser.wait(&format!("{SERIES} === 5")).await;
    for title in ["Referrers", "Browsers", "Sources"] {
        assert_eq!(browser.run(&format!("return {}", breakdown(title))).await, json!(5), "{title}");
    }
    assert_eq!(browser.run(&format!("return {FIGURES}")).await, json!("3 2 5 0"));
    browser.run("location.reload()").await;
    browser.wait(&format!("{SERIES} === 5")).await;
}

#[tokio::test]
async fn each_range_is_read_by_the_clocks_of_the_browser() {
    let (tern, browser, link) = start().await;
    browser.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": "Asia/Kolkata"})).await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("No clicks in this time").await;
    browser.inspect("link-no-clicks").await;
    for (name, points) in [("24 hours", 24), ("7 days", 7), ("90 days", 90), ("30 days", 30)] {
        browser.click(".segments button", name).await;
        // The hour that has begun by local clocks may be two by the clocks of hours of UTC.
        browser.wait(&format!("document.querySelectorAll('details.table tbody tr').length === {points}")).await;
        browser.wait_text("Period before").await;
    }
    browser.click(".segments button", "All time").await;
    browser.wait("!document.body.innerText.includes('Period before')").await;
    browser.click(".segments button", "Custom").await;
    browser.wait("document.querySelectorAll('details.table tbody tr').length === 14").await;
    browser.inspect("link-custom").await;
    browser.fill(".dates input", "2026-01-01").await;
    browser.fill(".dates input:last-child", "2026-01-31").await;
    browser.wait("document.querySelectorAll('details.table tbody tr').length === 31").await;
    browser.wait("location.search.includes('to=2026-01-31')").await;
    browser.fill(".dates input", "2026-03-01").await;
    browser.wait_text("The last day is before the first one").await;
    let asked = "return performance.getEntriesByType('resource').filter((it) => it.name.includes('/stats?')).every((it) => it.name.includes('timezone=Asia%2FKolkata') || it.name.includes('timezone=Asia%2FCalcutta'))";
    assert_eq!(browser.run(asked).await, json!(true));
}

#[tokio::test]
async fn period_before_is_beside_the_figure_with_the_change_in_percent() {
    let (tern, browser, link) = start().await;
    click(&tern, &link, 3, 1).await;
    let page = format!("http://{}/admin/links/{}", tern.api, link["id"]);
    // The clicks of today are in the period before tomorrow.
    let tomorrow =
        "return new Date(Date.now() - new Date().getTimezoneOffset() * 60000 + 86400000).toISOString().slice(0, 10)";
    let tomorrow = browser.run(tomorrow).await;
    let day = tomorrow.as_str().unwrap();
    browser.goto(&format!("{page}?range=custom&from={day}&to={day}")).await;
    browser.wait(&format!("{FIGURES} === '0 0 0 3'")).await;
    assert_eq!(browser.run("return document.querySelector('.figures .change').innerText").await, json!("−100 %"));
    browser.wait("document.querySelector('.chart .before')").await;
    browser.inspect("link-before").await;
    browser.click(".segments button", "People and bots").await;
    browser.wait(&format!("{FIGURES} === '0 0 0 4'")).await;
    browser.goto(&format!("{page}?range=7d")).await;
    browser.wait(&format!("{FIGURES} === '3 1 4 0'")).await;
    assert_eq!(browser.run("return document.querySelector('.figures .change').innerText").await, json!("new"));
}

#[tokio::test]
async fn change_in_the_history_can_be_put_back() {
    let (tern, browser, link) = start().await;
    let path = format!("/urls/{}", link["id"]);
    assert_eq!(tern.change_link(&link["id"], json!({"title": "Spring", "tags": ["a"]})).await.status(), 200);
    let second = json!({"original_url": "https://example.com/second", "title": "Summer", "tags": []});
    assert_eq!(tern.change_link(&link["id"], second).await.status(), 200);
    browser.goto(&format!("http://{}/admin{}", tern.api, path.replace("urls", "links"))).await;
    browser.wait("document.querySelectorAll('.history > li').length === 3").await;
    browser.inspect("link-history").await;
    browser.click(".history > li:first-child button", "").await;
    browser.wait_text("Put ").await;
    browser.wait("document.querySelectorAll('.history > li').length === 4").await;
    let now = tern.get_json(&path).await;
    assert_eq!(
        (&now["original_url"], &now["title"], &now["tags"]),
        (&json!("https://example.com/first"), &json!("Spring"), &json!(["a"]))
    );
    browser.click(".toast button", "Undo").await;
    eventually("the change is back", async || tern.get_json(&path).await["title"] == "Summer").await;
    // A change by another one is not lost.
    browser.wait("document.querySelectorAll('.history > li').length === 5").await;
    assert_eq!(tern.change_link(&link["id"], json!({"notes": "new"})).await.status(), 200);
    browser.click(".history > li:nth-child(2) button, .history > li:nth-child(3) button", "").await;
    browser.wait_text("was changed meanwhile").await;
    assert_eq!(tern.get_json(&path).await["notes"], "new");
    browser.run("location.reload()").await;
    browser.wait("document.querySelectorAll('.history > li').length === 5").await;
    browser.click("a.button", "All changes").await;
    browser.wait("document.querySelectorAll('.entries > li').length === 6").await;
}

#[tokio::test]
async fn qr_code_counts_scans_apart_if_asked() {
    let (tern, browser, link) = start().await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("About this link").await;
    browser.press("q").await;
    browser.wait("document.querySelector('.qr img')?.naturalWidth > 0").await;
    browser.wait("document.querySelector('.qr .mono').innerText.endsWith('?qr')").await;
    browser.inspect("qr").await;
    browser.click(".qr input", "").await;
    browser.wait("!document.querySelector('.qr .mono').innerText.endsWith('?qr')").await;
    let path = format!("/urls/{}/qr", link["id"]);
    let [plain, tracked] = [path.clone(), format!("{path}?track=1")]
        .map(async |path| tern.get(&tern.api, &path).await.text().await.unwrap());
    assert_ne!(plain.await, tracked.await);
}

#[tokio::test]
async fn qr_code_has_the_chosen_colours_and_is_saved_as_svg_and_png() {
    let (tern, browser, link) = start().await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("About this link").await;
    browser.press("q").await;
    browser.wait("document.querySelector('.qr img')?.naturalWidth === 1024").await;
    // Files are caught in the page, since a browser without a window stores none.
    let catch = "window.saved = []; HTMLAnchorElement.prototype.click = function () { \
                 saved.push(`${this.download} ${this.href.startsWith('blob:')}`); }";
    browser.run(catch).await;
    browser.click(".qr summary", "").await;
    let choose = |selector: &str, value: &str| {
        format!(
            "const input = document.querySelector('{selector}'); input.value = '{value}'; \
             input.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
    };
    browser.run(&choose(".qr .option select", "256")).await;
    browser.wait("document.querySelector('.qr img').naturalWidth === 256").await;
    browser.run(&choose(".qr .option input", "#1a2b3c")).await;
    browser.inspect("qr-options").await;
    browser.click(".qr .actions button", "Save as SVG").await;
    browser.wait("saved.length === 1").await;
    browser.click(".qr .actions button", "Save as PNG").await;
    browser.wait("saved.length === 2").await;
    let code = link["short_code"].as_str().unwrap();
    let saved = browser.run("return saved").await;
    assert_eq!(saved, json!([format!("{code}.svg true"), format!("{code}.png true")]));
    // A pale colour is refused with the reason, and nothing can be saved.
    browser.run(&choose(".qr .option input", "#eeeeee")).await;
    browser.wait_text("has a contrast of 1.1:1").await;
    browser.wait("[...document.querySelectorAll('.qr .actions button')].every((button) => button.disabled)").await;
    browser.run(&choose(".qr .option input", "#000000")).await;
    browser.wait("[...document.querySelectorAll('.qr .actions button')].every((button) => !button.disabled)").await;
}

#[tokio::test]
async fn link_that_is_not_there_says_so_with_a_way_on() {
    let (_tern, browser, _link) = start().await;
    browser.run("history.pushState(null, '', '/admin/links/999'); location.reload()").await;
    browser.wait_text("This cannot be shown").await;
    browser.inspect("link-missing").await;
    browser.run("history.pushState(null, '', '/admin/nothing'); location.reload()").await;
    browser.wait_text("There is no such page").await;
    browser.inspect("no-such-page").await;
}

#[tokio::test]
async fn live_click_appears_and_moves_the_figures() {
    let (tern, browser, link) = start().await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait("document.querySelector('.live-state.on')").await;
    click(&tern, &link, 2, 1).await;
    browser.wait("document.querySelectorAll('.live li').length === 3").await;
    browser.wait_text("Bot: curl").await;
    browser.wait(&format!("{FIGURES}.startsWith('2 1 3')")).await;
    browser.inspect("link-live").await;
    // A tab that nobody sees gives its connection back.
    let hide = |is_hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {is_hidden}}}); document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.run(&hide(true)).await;
    browser.wait("document.querySelector('.live-state:not(.on)')").await;
    click(&tern, &link, 1, 0).await;
    assert_eq!(browser.run("return document.querySelectorAll('.live li').length").await, json!(3));
    browser.run(&hide(false)).await;
    browser.wait("document.querySelector('.live-state.on')").await;
    browser.wait(&format!("{FIGURES}.startsWith('3 1 4')")).await;
    click(&tern, &link, 1, 0).await;
    // The click before it may be among them: the stream may begin a moment before the connection.
    browser.wait("document.querySelectorAll('.live li').length >= 4").await;
    browser.wait(&format!("{FIGURES}.startsWith('4 1 5')")).await;
    browser.check_faults().await;
}

#[tokio::test]
async fn click_on_a_bar_filters_figures_series_and_the_other_bars() {
    let (tern, browser, link) = start().await;
    click(&tern, &link, 3, 2).await;
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    let mobile = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    assert_eq!(tern.get_with(&[("user-agent", mobile)], &tern.fast, &path).await.status(), 302);
    eventually("the click is an event", async || tern.count_events("clicked").await == 6).await;
    browser.goto(&format!("http://{}/admin/links/{}?bots=include", tern.api, link["id"])).await;
    browser.wait(&format!("{FIGURES}.startsWith('4 2 6')")).await;
    browser.click(".bars button", "Firefox").await;
    browser.wait("location.search.includes('browser=Firefox')").await;
    browser.wait(&format!("{FIGURES}.startsWith('3 0 3') && {SERIES} === 3")).await;
    browser.wait(&format!("{} === 3", breakdown("Systems"))).await;
    browser.wait_text("Referrers, sources and targets are counted apart from visitors").await;
    assert_eq!(browser.run(&format!("return {}", breakdown("Referrers"))).await, json!(null));
    browser.inspect("link-filtered").await;
    // Parts of a visitor are counted together, and another referrer or source is not.
    browser.click(".bars button", "Desktop").await;
    browser.wait("location.search.includes('device=desktop') && location.search.includes('browser=Firefox')").await;
    browser.run("location.reload()").await;
    browser.wait(&format!("{FIGURES}.startsWith('3 0 3')")).await;
    browser.click(".bar-tools button", "Remove the filter browser Firefox").await;
    browser.click(".bar-tools button", "Remove the filter device Desktop").await;
    browser.wait(&format!("{FIGURES}.startsWith('4 2 6')")).await;
    browser.click(".bars button", "Safari").await;
    browser.wait("location.search.includes('browser=Safari')").await;
    browser.click(".bars button", "Safari").await;
    browser.wait("!location.search.includes('browser=')").await;
    browser.click(".bars button", "news.example").await;
    browser.wait(&format!("{FIGURES}.startsWith('3 0 3')")).await;
    browser.wait_text("are not counted by visitor").await;
    assert_eq!(browser.run("return document.querySelectorAll('.bars').length").await, json!(1));
    browser.check_faults().await;
}
