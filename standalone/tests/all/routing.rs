//! Rules and splits of links, on both ports that serve short codes, and in events and statistics.

use std::collections::HashMap;

use reqwest::Method;
use reqwest::header::LOCATION;
use serde_json::{Value, json};

use crate::support::{Tern, eventually};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/17.5 Mobile/15E148 Safari/604.1";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// Starts Tern behind a proxy on this machine, with one link; returns it and its path.
async fn start(variables: &[(&str, &str)], change: Value) -> (Tern, Value, String) {
    let proxies = [("TRUSTED_PROXIES", "127.0.0.0/8"), ("COUNTRY_HEADER", "X-Country")];
    let tern = Tern::start_with(&[], &[&proxies, variables].concat());
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://plain.example/").await;
    let changed = tern.change_link(&link["id"], change).await;
    assert_eq!((changed.status().as_u16(), &changed.headers()["tern-visible"]), (200, &"1/1".parse().unwrap()));
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    (tern, link, path)
}

/// Returns the status and the location, which must be equal on both ports, for `GET` and `HEAD`.
async fn answer(tern: &Tern, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let mut answers = Vec::new();
    for method in [Method::GET, Method::HEAD] {
        for address in [&tern.fast, &tern.api] {
            let response = tern.send_with(method.clone(), fields, address, path).await;
            let location = response.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned());
            answers.push((response.status().as_u16(), location.unwrap_or_default()));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
    answers.swap_remove(0)
}

fn rules() -> Value {
    json!([
        { "target": "https://app.example/ü", "if": [{ "type": "device", "value": "ios" }] },
        { "target": "https://at.example/", "if": [
            { "type": "country", "value": "AT" }, { "type": "language", "value": "de" },
        ] },
        { "target": "https://preview.example/", "if": [{ "type": "bot", "value": true }] },
        { "target": "https://poster.example/?a=1", "if": [{ "type": "query", "key": "from", "value": "poster" }] },
    ])
}

#[tokio::test]
async fn request_is_led_to_the_target_of_the_first_rule_that_matches() {
    let (tern, link, path) = start(&[], json!({ "rules": rules() })).await;
    let target = async |path: &str, fields: &[(&str, &str)]| {
        let (status, location) = answer(&tern, path, fields).await;
        assert_eq!(status, 302);
        location
    };
    let firefox = ("user-agent", FIREFOX);
    let in_austria = [firefox, ("x-forwarded-for", "203.0.113.7"), ("x-country", "AT"), ("accept-language", "de-AT")];
    assert_eq!(target(&path, &[firefox]).await, "https://plain.example/");
    assert_eq!(target(&path, &[("user-agent", IPHONE)]).await, "https://app.example/%C3%BC");
    assert_eq!(target(&path, &in_austria).await, "https://at.example/");
    assert_eq!(target(&path, &in_austria[..3]).await, "https://plain.example/", "all conditions must hold");
    assert_eq!(target(&path, &[("user-agent", "Slackbot 1.0")]).await, "https://preview.example/");
    let from_poster = format!("{path}?from=poster&x=1");
    assert_eq!(target(&from_poster, &[firefox]).await, "https://poster.example/?a=1");
    tern.change_link(&link["id"], json!({ "forward_query": true })).await;
    assert_eq!(target(&from_poster, &[firefox]).await, "https://poster.example/?a=1&from=poster&x=1");
}

#[tokio::test]
async fn click_has_the_number_of_its_rule_and_the_target_as_it_was_chosen() {
    let (tern, link, path) = start(&[], json!({ "rules": rules(), "forward_query": true })).await;
    let id = link["id"].as_u64().unwrap();
    for (fields, query) in
        [([("user-agent", FIREFOX)], ""), ([("user-agent", IPHONE)], "?secret=1"), ([("user-agent", "Slackbot 1")], "")]
    {
        for address in [&tern.fast, &tern.api] {
            assert_eq!(tern.get_with(&fields, address, &format!("{path}{query}")).await.status(), 302);
        }
    }
    eventually("all are events", async || tern.count_clicks(id).await == 6).await;
    let events = tern.get_json(&format!("/events?event_type=clicked&url_id={id}")).await;
    let mut seen: HashMap<(String, Option<u64>), u32> = HashMap::new();
    for event in events.as_array().unwrap() {
        let details = &event["details"];
        assert_eq!(details.get("variant"), None, "{details}");
        let target = details["original_url"].as_str().unwrap().to_owned();
        *seen.entry((target, details.get("rule").map(|rule| rule.as_u64().unwrap()))).or_default() += 1;
    }
    let expected = [
        (("https://plain.example/".to_owned(), None), 2),
        (("https://app.example/ü".to_owned(), Some(1)), 2),
        (("https://preview.example/".to_owned(), Some(3)), 2),
    ];
    assert_eq!(seen, HashMap::from(expected));

    let stats = tern.get_json(&format!("/urls/{id}/stats")).await;
    assert_eq!((&stats["humans"], &stats["bots"]), (&json!(4), &json!(2)));
    let people = json!([
        { "target": "https://app.example/ü", "clicks": 2 }, { "target": "https://plain.example/", "clicks": 2 },
    ]);
    assert_eq!(stats["targets"], people);
    let all = tern.get_json(&format!("/urls/{id}/stats?bots=include")).await;
    assert_eq!(all["targets"].as_array().unwrap().len(), 3);
    let one = tern.get_json(&format!("/urls/{id}/stats?target=https://app.example/%C3%BC")).await;
    assert_eq!((&one["humans"], &one["countries"]), (&json!(2), &Value::Null));
    // Clicks before there were rules have no target of their own.
    assert_eq!(tern.change_link(&link["id"], json!({ "rules": null })).await.status(), 200);
    assert_eq!(tern.get_with(&[("user-agent", FIREFOX)], &tern.fast, &path).await.status(), 302);
    eventually("the last is an event", async || tern.count_clicks(id).await == 7).await;
    let stats = tern.get_json(&format!("/urls/{id}/stats")).await;
    assert_eq!((&stats["humans"], &stats["targets"][2]), (&json!(5), &json!({ "target": "Other", "clicks": 1 })));
}

#[tokio::test]
async fn split_divides_clients_and_knows_each_of_them_again() {
    let split = json!([
        { "target": "https://a.example/", "weight": 30 }, { "target": "https://b.example/", "weight": 20 },
    ]);
    let (tern, link, path) = start(&[], json!({ "split": split })).await;
    let id = link["id"].as_u64().unwrap();
    let mut counts: HashMap<String, u32> = HashMap::new();
    const CLIENTS: u32 = 300;
    for n in 0..CLIENTS {
        let client = format!("198.{}.{}.{}", 18 + n / 256, n % 256, 1 + n % 200);
        let fields = [("x-forwarded-for", client.as_str()), ("user-agent", FIREFOX)];
        let mut targets = Vec::new();
        for address in [&tern.fast, &tern.api] {
            let response = tern.get_with(&fields, address, &path).await;
            targets.push(response.headers()[LOCATION].to_str().unwrap().to_owned());
        }
        assert_eq!(targets[0], targets[1], "a client that comes back");
        *counts.entry(targets.swap_remove(0)).or_default() += 1;
    }
    let share = |target: &str| f64::from(counts[target]) / f64::from(CLIENTS);
    for (target, expected) in
        [("https://a.example/", 0.3), ("https://b.example/", 0.2), ("https://plain.example/", 0.5)]
    {
        assert!((share(target) - expected).abs() < 0.12, "{counts:?}");
    }
    eventually("all are events", async || tern.count_clicks(id).await == u64::from(2 * CLIENTS)).await;
    let stats = tern.get_json(&format!("/urls/{id}/stats")).await;
    for row in stats["targets"].as_array().unwrap() {
        let target = row["target"].as_str().unwrap();
        assert_eq!(row["clicks"].as_u64().unwrap(), u64::from(2 * counts[target]), "{target}");
    }
    let events = tern.get_json(&format!("/events?event_type=clicked&url_id={id}&per_page=100")).await;
    for event in events.as_array().unwrap() {
        let details = &event["details"];
        let expected = match details["original_url"].as_str().unwrap() {
            "https://a.example/" => Some(1),
            "https://b.example/" => Some(2),
            _ => None,
        };
        assert_eq!(
            (details.get("variant").and_then(Value::as_u64), details.get("rule")),
            (expected, None),
            "{details}"
        );
    }
}

#[tokio::test]
async fn default_status_is_not_permanent_for_a_link_with_rules_or_a_split() {
    let (tern, link, path) = start(&[("REDIRECT_STATUS", "301")], json!({ "rules": rules() })).await;
    assert_eq!(answer(&tern, &path, &[("user-agent", FIREFOX)]).await, (302, "https://plain.example/".to_owned()));
    let split =
        json!([{ "target": "https://a.example/", "weight": 1 }, { "target": "https://a.example/", "weight": 99 }]);
    tern.change_link(&link["id"], json!({ "rules": [], "split": split })).await;
    assert_eq!(answer(&tern, &path, &[("user-agent", FIREFOX)]).await, (302, "https://a.example/".to_owned()));
    tern.change_link(&link["id"], json!({ "redirect_status": 307 })).await;
    assert_eq!(answer(&tern, &path, &[("user-agent", FIREFOX)]).await.0, 307);
    tern.change_link(&link["id"], json!({ "redirect_status": null, "split": [] })).await;
    assert_eq!(answer(&tern, &path, &[("user-agent", FIREFOX)]).await, (301, "https://plain.example/".to_owned()));
}

#[tokio::test]
async fn placeholders_of_the_chosen_target_are_filled() {
    let rules = json!([{ "target": "https://app.example/{1}", "if": [{ "type": "device", "value": "ios" }] }]);
    let (tern, link, path) = start(&[], json!({ "rules": rules })).await;
    let id = link["id"].as_u64().unwrap();
    let (iphone, firefox) = ([("user-agent", IPHONE)], [("user-agent", FIREFOX)]);
    let with_segment = format!("{path}/a%20b");
    assert_eq!(answer(&tern, &with_segment, &iphone).await, (302, "https://app.example/a%20b".to_owned()));
    assert_eq!(answer(&tern, &with_segment, &firefox).await.0, 404, "the plain target uses no segment");
    assert_eq!(answer(&tern, &path, &iphone).await.0, 404, "the target of the rule needs one");
    assert_eq!(answer(&tern, &path, &firefox).await, (302, "https://plain.example/".to_owned()));
    eventually("all are events", async || tern.count_clicks(id).await == 4).await;
    let events = tern.get_json(&format!("/events?event_type=clicked&url_id={id}")).await;
    let targets = events.as_array().unwrap().iter().filter(|event| event["details"]["rule"] == 1);
    assert!(targets.clone().all(|event| event["details"]["original_url"] == "https://app.example/{1}"), "{events}");
    assert_eq!(targets.count(), 2);
}

#[tokio::test]
async fn preview_shows_the_plain_target_and_that_others_may_see_another() {
    let (tern, link, path) = start(&[], json!({ "rules": rules() })).await;
    let (id, code) = (link["id"].as_u64().unwrap(), &link["short_code"]);
    for address in [&tern.fast, &tern.api] {
        let preview = tern.get_with(&[("user-agent", IPHONE)], address, &format!("{path}+")).await;
        let expected = json!({ "short_code": code, "original_url": "https://plain.example/", "varies": true });
        assert_eq!(preview.json::<Value>().await.unwrap(), expected);
        let fields = [("user-agent", IPHONE), ("accept", "text/html")];
        let page = tern.get_with(&fields, address, &format!("{path}+")).await.text().await.unwrap();
        assert!(
            page.contains("<b>https://plain.example/</b>") && page.contains("Others may be led elsewhere"),
            "{page}"
        );
    }
    assert_eq!(tern.count_clicks(id).await, 0);
}
