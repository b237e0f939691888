//! Rules and splits: their editor, "try it", and the page of a link that has them.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::open;
use crate::support::{Tern, eventually};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";

/// Starts Tern with one link, and opens the editor of the link.
async fn edit() -> (Tern, Browser, Value) {
    let (tern, browser) = open(&[], "/admin/").await;
    let owner = tern.create_user("ann").await;
    let link = tern.create_link(owner, "https://example.com/first").await;
    browser.goto(&format!("http://{}/admin/links/{}", tern.api, link["id"])).await;
    browser.wait_text("About this link").await;
    browser.press("e").await;
    browser.click("dialog summary", "Rules and split").await;
    (tern, browser, link)
}

/// Chooses an option of the element that has the focus, or of the first one of a selector.
async fn choose(browser: &Browser, selector: &str, value: &str) {
    let find = format!("document.querySelector({})", json!(selector));
    browser.wait(&format!("Boolean({find})")).await;
    let set = format!(
        "const it = {find}; it.value = {}; for (const name of ['input', 'change']) it.dispatchEvent(new Event(name, {{bubbles: true}}))",
        json!(value)
    );
    browser.run(&set).await;
}

fn of(rule: usize, part: &str) -> String {
    format!(".rules > li:nth-child({rule}) {part}")
}

#[tokio::test]
async fn rules_and_split_are_made_tried_and_saved() {
    let (tern, browser, link) = edit().await;
    browser.click("dialog button", "Add a rule").await;
    browser.fill(&of(1, ".leads input"), "https://apps.example.com/hello").await;
    browser.click("dialog button", "Add a condition to rule 1").await;
    // A condition has the inputs of its type alone.
    for (kind, inputs) in [
        ("query", json!(["Parameter", "Value"])),
        ("query_any", json!(["Parameter"])),
        ("before", json!(["Time"])),
        ("referrer", json!(["Host"])),
        ("browser", json!(["Browser"])),
        ("bot", json!(["Bots or people"])),
        ("country", json!(["Country"])),
        ("language", json!(["Language"])),
    ] {
        choose(&browser, &of(1, ".condition:nth-of-type(2) select"), kind).await;
        let names = "return [...document.querySelectorAll('.condition:nth-of-type(2) .inputs > [aria-label]')].map((it) => it.ariaLabel.split(' of ')[0])";
        assert_eq!(browser.run(names).await, inputs, "{kind}");
    }
    browser.fill(&of(1, ".condition:nth-of-type(2) input"), "de").await;
    browser.wait_text("German").await;
    browser.click("dialog button", "Split the visitors").await;
    let first = browser.run("return document.querySelector('.variants input').value").await;
    assert_eq!(first, "https://example.com/first", "a split begins with the target of the link");
    browser.fill(".variants li:nth-child(2) input", "https://example.com/b").await;
    browser.fill(".variants li:nth-child(2) input[type=number]", "20").await;
    browser.wait_text("The rest, 30 %, is led to the target of the link.").await;
    browser.click("dialog summary", "Try it").await;
    choose(&browser, ".try select[name=device]", "ios").await;
    browser.fill(".try input[name=language]", "de-AT").await;
    browser.wait_text("Rule 1 wins.").await;
    browser.wait("document.querySelector('.rules > li.won')").await;
    browser.wait("document.querySelector('.result .mono').innerText === 'https://apps.example.com/hello'").await;
    browser.run("document.querySelector('.try').scrollIntoView({block: 'end'})").await;
    browser.inspect("editor-try").await;
    browser.run("document.querySelector('.rules').scrollIntoView({block: 'start'})").await;
    browser.inspect("editor-rules").await;
    // Placeholders are filled from the path.
    browser.fill(&of(1, ".leads input"), "https://apps.example.com/{1}").await;
    browser.wait_text("404: the path or the query does not fit the placeholders of the target.").await;
    browser.fill(".try input[name=path]", "ABC 1").await;
    browser.wait("document.querySelector('.result .mono')?.innerText === 'https://apps.example.com/ABC%201'").await;
    browser.fill(&of(1, ".leads input"), "https://apps.example.com/hello").await;
    browser.fill(".try input[name=path]", "").await;
    // What is tried is what is typed: another condition, and another visitor.
    browser.fill(&of(1, ".condition:nth-of-type(2) input"), "fr").await;
    browser.wait("!document.querySelector('.result').innerText.includes('Rule') && !document.querySelector('.rules > li.won')").await;
    let seen = "window.seen ??= new Set(); seen.add(document.querySelector('.result b')?.innerText); document.querySelector('.try .presets button').click()";
    browser.wait(&format!("((() => {{ {seen} }})(), seen.size >= 3)")).await;
    browser.fill(&of(1, ".condition:nth-of-type(2) input"), "de").await;
    browser.click("dialog button", "Save").await;
    browser.wait_text("Saved").await;
    let path = format!("/urls/{}", link["id"]);
    let saved = tern.get_json(&path).await;
    let rules = json!([{
        "target": "https://apps.example.com/hello",
        "if": [{"type": "device", "value": "ios"}, {"type": "language", "value": "de"}],
    }]);
    let split = json!([
        {"target": "https://example.com/first", "weight": 50}, {"target": "https://example.com/b", "weight": 20}
    ]);
    assert_eq!((&saved["rules"], &saved["split"]), (&rules, &split));
    // The page of the link has them, with the clicks of each target.
    browser.wait_text("Where visitors go").await;
    let visit = [("user-agent", IPHONE), ("accept-language", "de")];
    let code = format!("/{}", link["short_code"].as_str().unwrap());
    let answer = tern.get_with(&visit, &tern.fast, &code).await;
    assert_eq!(answer.headers()["location"], "https://apps.example.com/hello");
    eventually("the click is an event", async || tern.count_events("clicked").await == 1).await;
    browser.wait("document.querySelector('.routes li:first-child .number')?.innerText.startsWith('1')").await;
    browser.wait_text("iPhone or iPad").await;
    browser.inspect("link-rules").await;
    browser.click(".toast button", "Undo").await;
    eventually("nothing is left", async || {
        let link = tern.get_json(&path).await;
        (&link["rules"], &link["split"]) == (&json!([]), &json!([]))
    })
    .await;
    browser.wait("document.querySelector('.routing').hidden").await;
    browser.check_faults().await;
}

#[tokio::test]
async fn errors_of_rules_and_splits_are_at_their_inputs() {
    let (_tern, browser, _link) = edit().await;
    browser.click("dialog button", "Add a rule").await;
    browser.fill(&of(1, ".leads input"), "https://apps.example.com/").await;
    browser.click("dialog button", "Add a rule").await;
    browser.fill(&of(2, ".leads input"), "no address").await;
    let focused = |name: &str| {
        format!("document.activeElement.ariaLabel === '{name}' && document.activeElement.ariaInvalid === 'true'")
    };
    browser.click("dialog button", "Save").await;
    browser.wait(&focused("Target of rule 2")).await;
    browser
        .wait("document.querySelector('.rules li:nth-child(2) .leads .error').innerText.startsWith('rules[1].target')")
        .await;
    browser.inspect("editor-rules-error").await;
    browser.fill(&of(2, ".leads input"), "https://apps.example.com/2").await;
    browser.wait("!document.querySelector('.rules [aria-invalid]')").await;
    choose(&browser, &of(2, ".condition select"), "country").await;
    browser.fill(&of(2, ".condition input"), "xx").await;
    browser.click("dialog button", "Save").await;
    browser.wait(&focused("Country of condition 1 of rule 2")).await;
    browser
        .wait("document.querySelector('.rules li:nth-child(2) .condition .error').innerText.includes('ISO 3166')")
        .await;
    browser.fill(&of(2, ".condition input"), "at").await;
    browser.wait_text("Austria").await;
    browser.click("dialog button", "Split the visitors").await;
    browser.fill(".variants li:nth-child(2) input", "https://example.com/b").await;
    browser.fill(".variants li:nth-child(2) input[type=number]", "60").await;
    browser.wait_text("The shares are 10 % more than 100 %.").await;
    browser.click("dialog button", "Save").await;
    browser.wait("[...document.querySelectorAll('[aria-label=Split] .error')].some((it) => it.innerText.includes('at most 100 percent'))").await;
    browser.fill(".variants li:nth-child(2) input[type=number]", "100").await;
    browser.click("dialog button", "Save").await;
    browser.wait(&focused("Share of variant 2 in percent")).await;
    browser.inspect("editor-split-error").await;
    browser.click("dialog button", "No split").await;
    browser.click("dialog button", "Save").await;
    browser.wait_text("Saved").await;
    browser.check_faults().await;
}

/// Presses Tab until an element has the focus.
async fn tab_to(browser: &Browser, name: &str) {
    for _ in 0..60 {
        if browser.run("return document.activeElement.ariaLabel ?? document.activeElement.innerText ?? ''").await
            == json!(name)
        {
            return;
        }
        browser.press("Tab").await;
    }
    panic!("no Tab leads to {name}");
}

#[tokio::test]
async fn rules_are_added_moved_and_removed_by_keyboard_alone() {
    let (tern, browser, link) = edit().await;
    for target in ["https://example.com/1", "https://example.com/2", "https://example.com/3"] {
        tab_to(&browser, "Add a rule").await;
        browser.press("Enter").await;
        let number = target.rsplit('/').next().unwrap();
        browser.wait(&format!("document.activeElement.ariaLabel === 'Type of condition 1 of rule {number}'")).await;
        tab_to(&browser, &format!("Target of rule {number}")).await;
        for character in target.chars() {
            browser.press(&character.to_string()).await;
        }
    }
    browser.run("document.querySelector('[aria-label=\"Move rule 3 up\"]').focus()").await;
    browser.press("Enter").await;
    browser.wait("document.activeElement.ariaLabel === 'Move rule 2 up'").await;
    browser.press("Enter").await;
    browser.wait("document.activeElement.ariaLabel === 'Move rule 1 down'").await;
    tab_to(&browser, "Remove rule 1").await;
    tab_to(&browser, "Remove rule 2").await;
    browser.press("Enter").await;
    browser.wait("document.activeElement.ariaLabel === 'Type of condition 1 of rule 2'").await;
    tab_to(&browser, "Save").await;
    browser.press("Enter").await;
    browser.wait_text("Saved").await;
    let saved = tern.get_json(&format!("/urls/{}", link["id"])).await;
    let targets: Vec<_> = saved["rules"].as_array().unwrap().iter().map(|rule| rule["target"].clone()).collect();
    assert_eq!(targets, ["https://example.com/3", "https://example.com/2"]);
    browser.check_faults().await;
}
