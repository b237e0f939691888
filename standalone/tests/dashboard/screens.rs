//! The overview, the audit, the tags and the users.

use reqwest::Method;
use serde_json::{Value, json};

use crate::open;
use crate::support::{Tern, eventually, run, text};

const PERSON: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// Creates a link with a code and tags.
async fn make_link(tern: &Tern, owner: i64, code: &str, tags: &[&str]) -> Value {
    let body = json!({"user_id": owner, "original_url": format!("https://example.com/{code}"), "short_code": code, "tags": tags});
    let response = reqwest::Client::new().post(format!("http://{}/urls", tern.api)).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    response.json().await.unwrap()
}

#[tokio::test]
async fn overview_shows_clicks_of_all_links_and_short_lists() {
    let (tern, browser) = open(&["--sample"], "/admin/").await;
    let links = tern.get_json("/urls?state=active&per_page=40").await;
    // The code of a link with a placeholder redirects with a further segment alone.
    let is_whole = |link: &&Value| !link["original_url"].as_str().unwrap().contains('{');
    let links: Vec<&Value> = links.as_array().unwrap().iter().filter(is_whole).take(20).collect();
    let total = async || tern.get_json("/stats").await["total"].as_u64().unwrap();
    let of_sample = total().await;
    for (place, link) in links.into_iter().enumerate() {
        for visit in 0..=place {
            let agent = ["curl/8.5.0", PERSON][usize::from(visit > 2 || place < 5)];
            let fields =
                [("user-agent", agent), ("referer", ["https://news.example/", "https://chat.example/"][visit % 2])];
            tern.get_with(&fields, &tern.fast, &format!("/{}", link["short_code"].as_str().unwrap())).await;
        }
    }
    eventually("the clicks are counted", async || total().await == of_sample + 210).await;
    browser.goto(&format!("http://{}/admin/overview", tern.api)).await;
    let stats = tern.get_json("/stats").await;
    browser.wait_text("People in 30 days").await;
    browser.wait("document.querySelectorAll('.short-list li').length >= 16").await;
    let people = browser.run("return document.querySelector('.figures dd').firstChild.data.replaceAll(',', '')").await;
    assert_eq!(people, json!(stats["humans"].to_string()));
    let first = browser.run("return document.querySelector('.short-list .mono').innerText").await;
    assert_eq!(first, tern.get_json("/urls?sort=-clicks&per_page=1").await[0]["short_code"]);
    let ending = tern.get_json("/urls?state=active&sort=expires_at&per_page=8").await;
    let ending = ending.as_array().unwrap().iter().filter(|link| !link["expires_at"].is_null()).count();
    let panel =
        "[...document.querySelectorAll('.panel')].find((it) => it.querySelector('h2')?.innerText === 'Ending next')";
    browser.wait(&format!("{panel}.querySelectorAll('.short-list li').length === {ending} || {ending} === 0")).await;
    browser.inspect("overview").await;
    browser.click(".panel-head a", "All links: Most clicks").await;
    browser.wait("location.search.includes('sort=-clicks')").await;
    browser.wait("document.querySelector('.links tbody .code')").await;
}

#[tokio::test]
async fn overview_without_links_says_so() {
    let (_tern, browser) = open(&[], "/admin/overview").await;
    browser.wait_text("No links yet.").await;
    browser.wait_text("People in 30 days").await;
    browser.inspect("overview-empty").await;
}

#[tokio::test]
async fn code_that_was_asked_for_in_vain_is_listed_and_made() {
    let (tern, browser) = open(&[], "/admin/overview").await;
    browser.wait_text("Every code that was asked for has a link.").await;
    tern.create_user("ann").await;
    for (code, times) in [("summer", 3), ("a-long-code-that-stands-on-a-poster", 1)] {
        for _ in 0..times {
            assert_eq!(tern.follow(&tern.fast, code).await.0, 404);
        }
    }
    let are_counted = async || tern.get_json("/stats/misses").await.as_array().is_some_and(|misses| misses.len() == 2);
    eventually("the misses are counted", are_counted).await;
    browser.run("location.reload()").await;
    browser.wait("document.querySelectorAll('.asked').length === 2").await;
    let first = "return document.querySelector('.short-list li:has(.asked)').innerText.split(/\\s*\\n\\s*/)";
    assert_eq!(browser.run(first).await, json!(["summer", "Make it", "3 times"]));
    browser.run("document.querySelector('.asked').scrollIntoView({block: 'center'})").await;
    browser.inspect("overview-misses").await;
    browser.click(".asked button", "Make it: summer").await;
    browser.wait("document.querySelector('#edit-short_code').value === 'summer'").await;
    browser.fill("#edit-original_url", "https://example.com/summer").await;
    browser.click("dialog button", "Make the link").await;
    browser.wait("document.querySelectorAll('.asked').length === 1").await;
    assert_eq!(tern.follow(&tern.fast, "summer").await, (302, Some("https://example.com/summer".to_owned())));
    browser.check_faults().await;
}

/// A screen that reads any of these as markup fails by its policy or by an error.
#[tokio::test]
async fn texts_from_outside_are_shown_as_texts_on_every_screen() {
    let (tern, browser) = open(&[], "/admin/").await;
    let payload = "<img src=x onerror=alert(1)>";
    let client = reqwest::Client::new();
    let user = json!({"username": payload, "email": "a@b.example"});
    assert_eq!(client.post(format!("http://{}/users", tern.api)).json(&user).send().await.unwrap().status(), 201);
    let link = make_link(&tern, 1, "one", &[payload]).await;
    let change = json!({"title": payload, "notes": payload, "original_url": "https://example.com/?\"'><script>alert(1)</script>"});
    assert_eq!(tern.change_link(&link["id"], change).await.status(), 200);
    for screen in ["overview", "tags", "users", "audit"] {
        browser.goto(&format!("http://{}/admin/{screen}", tern.api)).await;
        browser.wait_text(payload).await;
        browser.check_faults().await;
    }
    browser.click("#shell button", "Find").await;
    browser.fill(".palette input", "<img src").await;
    browser.wait("document.querySelector('.palette [aria-label=Links] [role=option]')").await;
    assert_eq!(
        browser.run("return document.querySelectorAll('main img, dialog img, main script').length").await,
        json!(0)
    );
    browser.check_faults().await;
}

#[tokio::test]
async fn viewer_sees_the_screens_without_changes() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = make_link(&tern, owner, "summer", &["sale"]).await;
    tern.change_link(&link["id"], json!({"title": "Sale"})).await;
    let arguments = ["token", "create", "reader", "--role", "viewer"];
    let made = run(&mut crate::support::tern(tern.directory.path(), &arguments));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let is_closed = async || tern.get(&tern.api, "/users").await.status() == 401;
    eventually("the API needs a token", is_closed).await;
    browser.run("location.reload()").await;
    browser.fill("#token", text(&made.stdout).trim()).await;
    browser.click("#login button", "Open the dashboard").await;
    browser.click("#shell a", "Audit").await;
    browser.wait("document.querySelectorAll('.entries > li').length === 2").await;
    browser.click("#shell a", "Tags").await;
    browser.wait("document.querySelectorAll('.rows tbody tr').length === 1").await;
    assert_eq!(browser.run("return document.querySelector('main button')").await, json!(null));
    browser.click("#shell a", "Users").await;
    browser.wait_text("1 user").await;
    browser.click(".rows button", "More for ann").await;
    let items = "return [...document.querySelectorAll('[role=menuitem]')].map((it) => it.innerText.trim())";
    assert_eq!(browser.run(items).await, json!(["Show the links", "Show the changes"]));
    browser.click("[role=menuitem]", "Show the changes").await;
    browser.wait("location.search === '?user_id=1' && document.querySelectorAll('.entries > li').length === 2").await;
    assert_eq!(browser.run("return document.querySelectorAll('.entries .button').length").await, json!(0));
    browser.click("#shell button", "Find").await;
    browser.fill(".palette input", "new").await;
    browser.wait_text("Nothing has this text").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn audit_compares_fields_and_puts_a_change_back() {
    let (tern, browser) = open(&[], "/admin/audit").await;
    browser.wait_text("No changes").await;
    browser.inspect("audit-empty").await;
    let owner = tern.create_user("ann").await;
    let link = make_link(&tern, owner, "summer", &["sale"]).await;
    tern.change_link(&link["id"], json!({"title": "Sale", "original_url": "https://example.com/new"})).await;
    browser.run("location.reload()").await;
    browser.wait("document.querySelectorAll('.entries > li').length === 2").await;
    let row =
        "[...document.querySelectorAll('.entries > li:first-child .compare tbody tr')].map((row) => row.innerText)";
    let rows = browser.run(&format!("return {row}.sort()")).await;
    assert_eq!(rows, json!(["Target\thttps://example.com/summer\thttps://example.com/new", "Title\t–\tSale"]));
    browser.inspect("audit").await;
    browser.resize(320, 640).await;
    let hidden =
        "const nav = document.querySelector('.shell nav'); return Math.max(0, nav.scrollWidth - nav.clientWidth)";
    assert_eq!(browser.run(hidden).await, json!(0), "a screen in the bar is cut off");
    browser.resize(1400, 900).await;
    browser.click(".entries button", "Put this back: summer as it was before").await;
    browser.wait_text("Put summer back").await;
    let path = format!("/urls/{}", link["id"]);
    let now = tern.get_json(&path).await;
    assert_eq!((&now["title"], &now["original_url"]), (&Value::Null, &link["original_url"]));
    browser.wait("document.querySelectorAll('.entries > li').length === 3").await;
    browser.click(".toast button", "Undo").await;
    eventually("the change is made again", async || tern.get_json(&path).await["title"] == "Sale").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn audit_makes_a_deleted_link_again_under_its_code() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    for code in ["summer", "winter"] {
        let link = make_link(&tern, owner, code, &["sale"]).await;
        tern.change_link(&link["id"], json!({"title": "Sale", "expires_at": "2020-01-01T00:00:00"})).await;
        tern.delete_link(&link["id"]).await;
    }
    browser.goto(&format!("http://{}/admin/audit?url_id=1", tern.api)).await;
    browser.wait("document.querySelectorAll('.entries > li').length === 3").await;
    browser.click(".entries button", "Put this back: summer as it was before").await;
    browser.wait_text("Made summer again").await;
    let link = &tern.get_json("/urls?short_code=summer").await[0];
    assert_eq!((&link["title"], &link["tags"]), (&json!("Sale"), &json!(["sale"])));
    assert_eq!((&link["expires_at"], &link["is_active"]), (&json!("2020-01-01T00:00:00"), &json!(true)));
    browser.click(".tools button", "Remove the filter link 1").await;
    browser.wait("location.search === '' && document.querySelectorAll('.entries > li').length >= 7").await;
    browser.fill("#audit-token", "nobody").await;
    browser.run("document.querySelector('#audit-token').dispatchEvent(new Event('change'))").await;
    browser.wait_text("No change matches these filters").await;
    browser.wait("location.search === '?token=nobody'").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn audit_is_read_page_by_page_from_the_newest_entry() {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let items: Vec<Value> =
        (0..120).map(|n| json!({"user_id": owner, "original_url": format!("https://example.com/{n}")})).collect();
    let address = format!("http://{}/urls/bulk", tern.api);
    assert_eq!(reqwest::Client::new().post(address).json(&items).send().await.unwrap().status(), 200);
    browser.goto(&format!("http://{}/admin/audit", tern.api)).await;
    browser.wait("document.querySelectorAll('.entries > li').length >= 50").await;
    browser
        .wait("(scrollTo(0, document.body.scrollHeight), document.querySelectorAll('.entries > li').length === 120)")
        .await;
    let texts = browser.run("return [...document.querySelectorAll('.entries .compare')].map((it) => /com\\/(\\d+)/.exec(it.innerText)[1])").await;
    let expected: Vec<String> = (0..120).rev().map(|n| n.to_string()).collect();
    assert_eq!(texts, json!(expected));
    browser.check_faults().await;
}

#[tokio::test]
async fn tag_is_renamed_and_deleted_over_all_of_its_links() {
    let (tern, browser) = open(&[], "/admin/tags").await;
    browser.wait_text("No tags yet").await;
    browser.inspect("tags-empty").await;
    let owner = tern.create_user("ann").await;
    for (code, tags) in [("one", &["summer", "sale"][..]), ("two", &["summer"]), ("three", &["poster"])] {
        make_link(&tern, owner, code, tags).await;
    }
    browser.run("location.reload()").await;
    browser.wait_text("3 tags").await;
    browser.inspect("tags").await;
    browser.click(".rows button", "More for summer").await;
    browser.click("[role=menuitem]", "Rename").await;
    browser.fill("#ask-tag", "Sale").await;
    browser.click("dialog button", "Rename").await;
    browser.wait_text("1 link has the tag sale already").await;
    browser.inspect("tags-rename").await;
    browser.fill("#ask-tag", "Sun").await;
    browser.click("dialog button", "Rename").await;
    browser.wait_text("Renamed summer to sun").await;
    let tags = json!([{"tag": "poster", "links": 1}, {"tag": "sale", "links": 1}, {"tag": "sun", "links": 2}]);
    assert_eq!(tern.get_json("/tags").await, tags);
    browser.click(".toast button", "Undo").await;
    eventually("the tag has its old name", async || tern.get_json("/tags").await[2]["tag"] == "summer").await;
    browser.wait_text("summer").await;
    browser.click(".rows button", "More for summer").await;
    browser.click("[role=menuitem]", "Delete").await;
    browser.click(".toast button", "Undo").await;
    browser.wait("[...document.querySelectorAll('.rows tbody tr')].filter((row) => !row.hidden).length === 3").await;
    browser.click(".rows button", "More for summer").await;
    browser.click("[role=menuitem]", "Delete").await;
    browser.click(".toast button", "Dismiss").await;
    let rest = json!([{"tag": "poster", "links": 1}, {"tag": "sale", "links": 1}]);
    eventually("the tag is gone", async || tern.get_json("/tags").await == rest).await;
    browser.click(".rows a", "sale").await;
    browser.wait("location.search === '?tag=sale' && document.querySelectorAll('.links tbody tr').length === 1").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn users_are_added_renamed_and_deleted_with_their_links() {
    let (tern, browser) = open(&[], "/admin/users").await;
    browser.wait_text("No users yet").await;
    browser.inspect("users-empty").await;
    browser.click("button", "Add a user").await;
    browser.fill("#ask-username", "ann").await;
    browser.fill("#ask-email", "no address").await;
    browser.click("dialog button", "Add").await;
    browser.wait("document.querySelector('dialog .error').innerText.includes('email')").await;
    browser.inspect("users-add-error").await;
    browser.fill("#ask-email", "ann@mail.example").await;
    browser.click("dialog button", "Add").await;
    browser.wait_text("Added ann").await;
    tern.create_user("ben").await;
    make_link(&tern, 1, "of-ann", &[]).await;
    browser.run("location.reload()").await;
    browser.wait_text("2 users").await;
    browser.inspect("users").await;
    browser.click(".rows button", "More for ann").await;
    browser.click("[role=menuitem]", "Rename").await;
    browser.fill("#ask-username", "anna").await;
    browser.click("dialog button", "Save").await;
    browser.wait_text("Saved anna").await;
    assert_eq!(tern.get_json("/users/1").await["username"], "anna");
    browser.click(".rows a", "anna").await;
    browser.wait("location.search === '?user_id=1' && document.querySelectorAll('.links tbody tr').length === 1").await;
    browser.goto(&format!("http://{}/admin/users", tern.api)).await;
    let remove = async || {
        browser.click(".rows button", "More for anna").await;
        browser.click("[role=menuitem]", "Delete with all links").await;
        browser.wait_text("Deleting anna with 1 link,").await;
    };
    remove().await;
    browser.click(".toast button", "Undo").await;
    browser.wait("[...document.querySelectorAll('.rows tbody tr')].filter((row) => !row.hidden).length === 2").await;
    assert_eq!(tern.get(&tern.api, "/users/1").await.status(), 200);
    remove().await;
    // A page that is left does not wait for the rest of the ten seconds.
    browser.goto("about:blank").await;
    eventually("the user is gone", async || tern.send(Method::GET, &tern.api, "/users/1").await.status() == 404).await;
    assert_eq!(tern.get_json("/urls").await, json!([]));
}
