//! The list of links.

use serde_json::{Value, json};

use crate::open;
use crate::support::eventually;

#[tokio::test]
async fn list_of_the_sample_is_shown_and_accessible() {
    let (_tern, browser) = open(&["--sample"], "/").await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 50").await;
    browser.wait_text("2,000 links").await;
    // The first screen of a first start is alive.
    browser.wait("document.querySelectorAll('.links svg.sparkline').length >= 9").await;
    browser.inspect("links").await;
    browser.click(".links tbody button[aria-haspopup]", "").await;
    browser.wait("document.querySelector('[role=menuitem]')").await;
    browser.screenshot("links-menu").await;
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
    browser.run("document.querySelector('.toast button').focus()").await;
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

/// Counts the requests of the page to addresses that match an expression.
fn requests(pattern: &str) -> String {
    format!(
        "performance.getEntriesByType('resource').filter((it) => /{pattern}/.test(it.name.slice(location.origin.length))).length"
    )
}

#[tokio::test]
async fn selected_links_change_with_one_request_and_come_back_by_undo() {
    let (tern, browser) = open(&["--sample"], "/admin/").await;
    let person = [("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")];
    let path = format!("/{}", tern.announced_code.as_ref().unwrap());
    assert_eq!(tern.get_with(&person, &tern.fast, &path).await.status(), 302);
    let is_stored = async || {
        tern.get_json("/urls?sort=-last_clicked_at&per_page=1").await[0]["short_code"].as_str() == Some(&path[1..])
    };
    eventually("the click is stored", is_stored).await;
    browser.goto(&format!("http://{}/admin/?sort=-last_clicked_at", tern.api)).await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 50").await;
    browser.wait("document.querySelector('.links tbody tr svg.sparkline')").await;
    assert_eq!(browser.run(&format!("return {}", requests(r"\/stats"))).await, json!(1));
    let inactive = tern.get_json("/urls?sort=-last_clicked_at&per_page=50").await;
    let inactive = inactive.as_array().unwrap().iter().filter(|link| link["is_active"] == false).count();
    browser.click(".links thead input", "").await;
    browser.wait_text("50 selected").await;
    browser.click(".bulk button", "Change").await;
    browser.click("[role=menuitem]", "Switch off").await;
    browser.wait_text("Switched 50 links off").await;
    browser.wait("document.querySelectorAll('.links .state.inactive').length === 50").await;
    // A message stays while it has the focus.
    browser.run("document.querySelector('.toast button').focus()").await;
    browser.inspect("links-switched").await;
    browser.click(".toast button", "Undo").await;
    browser.wait(&format!("document.querySelectorAll('.links .state.inactive').length === {inactive}")).await;
    assert_eq!(browser.run(&format!("return {}", requests(r"^\/urls\/[0-9]+$"))).await, json!(0));
    // Of two links that another one had tags, each has its own again.
    let before = tern.get_json("/urls?sort=-last_clicked_at&per_page=2").await;
    for key in ["j", "x", "j", "x"] {
        browser.press(key).await;
    }
    browser.wait_text("2 selected").await;
    browser.click(".bulk button", "Tag").await;
    browser.fill("#ask-tags", &"x".repeat(51)).await;
    browser.click("dialog button", "Add the tags").await;
    browser.wait("document.querySelector('dialog .error').innerText.includes('50')").await;
    browser.inspect("links-tag-error").await;
    browser.fill("#ask-tags", "Both").await;
    browser.click("dialog button", "Add the tags").await;
    browser.wait_text("Tagged 2 links").await;
    assert_eq!(tern.get_json("/urls?tag=both").await.as_array().unwrap().len(), 2);
    browser.wait("[...document.querySelectorAll('.chip')].filter((it) => it.innerText === 'both').length === 2").await;
    browser.run("[...document.querySelectorAll('.toast')].find((it) => it.innerText.includes('Tagged')).querySelector('button').click()").await;
    eventually("the tags are as before", async || {
        let now = tern.get_json("/urls?sort=-last_clicked_at&per_page=2").await;
        (0..2).all(|at| now[at]["tags"] == before[at]["tags"])
    })
    .await;
}

#[tokio::test]
async fn selected_links_are_deleted_with_one_request() {
    let (tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("2,000 links").await;
    browser.click(".links thead input", "").await;
    browser.press("Delete").await;
    browser.wait_text("1,950 links").await;
    // A link that is gone meanwhile does not keep the others.
    let newest = tern.get_json("/urls?sort=-id&per_page=1").await;
    assert_eq!(tern.delete_link(&newest[0]["id"]).await.status(), 204);
    browser.click(".toast button", "Dismiss").await;
    eventually("the links are gone", async || {
        let rest = tern.get(&tern.api, "/urls?per_page=1").await;
        rest.headers()["x-total-count"] == "1950"
    })
    .await;
    browser.run("location.reload()").await;
    browser.wait("document.querySelectorAll('.links tbody tr:not([hidden])').length === 50").await;
    browser.click(".links thead input", "").await;
    browser.press("Delete").await;
    browser.click(".toast button", "Dismiss").await;
    eventually("more links are gone", async || {
        let rest = tern.get(&tern.api, "/urls?per_page=1").await;
        rest.headers()["x-total-count"] == "1900"
    })
    .await;
    assert_eq!(browser.run(&format!("return {}", requests(r"^\/urls\/[0-9]+$"))).await, json!(0));
    browser.check_faults().await;
}

/// Scrolls through a list to its end, and waits at each step until the rows in view are drawn and few others are.
///
/// A step that waits for ten seconds in vain is in `unmet`. A busy machine makes steps longer, and none of them fail.
const WALK: &str = r"
const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
const until = async (isMet) => {
    for (const start = performance.now(); performance.now() - start < 10_000; await frame()) if (isMet()) return true;
    return false;
};
window.walk = async (by) => {
    const rows = () => [...document.querySelectorAll('.links tbody tr[data-id]')];
    const inView = () => !document.elementFromPoint(700, 500)?.classList.contains('gap');
    const seen = new Set(), unmet = [];
    let doubles = 0;
    for (;;) {
        if (!(await until(inView))) unmet.push(`gap at ${scrollY}`);
        if (!(await until(() => rows().length < 400))) unmet.push(`${rows().length} rows at ${scrollY}`);
        const ids = rows().map((row) => row.dataset.id);
        doubles += ids.length - new Set(ids).size;
        ids.forEach((id) => seen.add(id));
        const at = scrollY;
        scrollBy(0, by);
        if (scrollY !== at) continue;
        // At the end the list has no more rows, or has more of them soon.
        const isDone = () => by < 0 || document.querySelector('.more').innerText === '';
        const isLonger = () => by > 0 && document.documentElement.scrollHeight > at + innerHeight + 1;
        if (!(await until(() => isDone() || isLonger()))) unmet.push(`end at ${at}`);
        if (!isLonger() || unmet.length > 20) return {seen: seen.size, doubles, unmet, end: at};
    }
};";

#[tokio::test]
async fn hundred_pages_have_each_link_once_and_few_rows_in_the_document() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let make = "const links = Array.from({length: 5000}, (_, at) => ({user_id: OWNER, original_url: `https://example.com/${at}`, title: at % 3 ? `Page ${at}` : null})); \
        window.made = null; fetch('/urls/bulk', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(links)}).then((it) => (window.made = it.status))";
    browser.run(&make.replace("OWNER", &owner.to_string())).await;
    assert_eq!(browser.wait("window.made").await, json!(200));
    browser.run("location.reload()").await;
    browser.wait_text("5,000 links").await;
    browser.run(WALK).await;
    let expected = |found: &Value| json!({"seen": 5000, "doubles": 0, "unmet": [], "end": found["end"]});
    for (by, name) in [(700, "down"), (-700, "up")] {
        browser.run(&format!("window.{name} = null; walk({by}).then((found) => (window.{name} = found))")).await;
        let found = browser.wait_long(&format!("window.{name}")).await;
        assert_eq!(found, expected(&found), "{name}");
    }
    browser.inspect("links-walked").await;
}

#[tokio::test]
async fn repeated_pastes_have_one_toast() {
    let (tern, browser) = open(&[], "/admin/").await;
    browser.wait_text("No links yet").await;
    for page in ["one", "two", "three"] {
        browser.paste(&format!("https://example.com/{page}")).await;
    }
    browser.wait("document.querySelectorAll('.links tbody tr').length === 3").await;
    browser.wait("document.querySelectorAll('.toast').length === 1").await;
    browser.click(".toast button", "Undo").await;
    eventually("the last link is gone", async || tern.get_json("/urls").await.as_array().unwrap().len() == 2).await;
}

#[tokio::test]
async fn search_lives_in_the_address_and_survives_a_reload() {
    let (_tern, browser) = open(&["--sample"], "/admin/").await;
    browser.wait_text("2,000 links").await;
    browser.press("/").await;
    browser.fill("#compose", "/1952").await;
    browser.wait_text("1 link").await;
    browser.wait("location.search.includes('search=%2F1952')").await;
    browser.run("location.reload()").await;
    browser.wait("document.querySelector('#compose')?.value === '/1952'").await;
    browser.wait("document.querySelectorAll('.links tbody tr').length === 1").await;
    browser.fill("#compose", "nothing has this text").await;
    browser.wait_text("No link matches").await;
    browser.inspect("links-no-match").await;
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
