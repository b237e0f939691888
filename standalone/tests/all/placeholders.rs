//! Targets with placeholders, on both ports that serve short codes.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Tern, eventually, run, tern, text};

/// Status and location of an answer.
type Answer = (u16, Option<String>);

/// Starts Tern with one link to a target; returns it, its row and its code.
async fn start_with_link(target: &str) -> (Tern, Value, String) {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, target).await;
    let code = link["short_code"].as_str().unwrap().to_owned();
    (tern, link, code)
}

/// Answer to a path, which must be equal on both ports and for `GET` and `HEAD`.
async fn answer(tern: &Tern, path: &str) -> Answer {
    let mut answers = Vec::new();
    for (address, method) in
        [(&tern.fast, Method::GET), (&tern.api, Method::GET), (&tern.fast, Method::HEAD), (&tern.api, Method::HEAD)]
    {
        let response = tern.send(method, address, path).await;
        if matches!(response.status().as_u16(), 302 | 404) {
            assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        }
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        answers.push((response.status().as_u16(), location));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
    answers.swap_remove(0)
}

/// Answer to a path that is sent as it is, since a client would resolve dots and escape characters. Equal on both ports.
async fn answer_unchanged(tern: &Tern, path: &str) -> Answer {
    let mut answers = Vec::new();
    for address in [&tern.fast, &tern.api] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        stream.read_to_end(&mut head).await.unwrap();
        let head = text(&head);
        let fields = || head.lines().filter_map(|line| line.split_once(": "));
        let location = fields().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        answers.push((status, location.map(|(_, value)| value.to_owned())));
    }
    assert_eq!(answers[0], answers[1], "{path}");
    answers.swap_remove(0)
}

/// Runs `tern link add` against a server.
fn add(server: &Tern, arguments: &[&str]) -> Output {
    let mut command = tern(server.directory.path(), &[&["link", "add"], arguments].concat());
    run(command.env("TERN_URL", format!("http://{}", server.api)))
}

fn to(location: &str) -> Answer {
    (302, Some(location.to_owned()))
}

const NOT_FOUND: Answer = (404, None);

async fn change(tern: &Tern, link: &Value, change: Value) {
    let changed = tern.change_link(&link["id"], change).await;
    assert_eq!((changed.status().as_u16(), &changed.headers()["tern-visible"]), (200, &"1/1".parse().unwrap()));
}

#[tokio::test]
async fn segments_and_parameters_fill_a_target_alike_on_both_ports() {
    let target = "https://jira.example.com/ü/{1}?q={query:q}#{path}";
    let (tern, link, code) = start_with_link(target).await;
    assert_eq!(link["original_url"], target, "it is returned as it was sent");
    let base = "https://jira.example.com/%C3%BC";
    for (request, location) in [
        ("/ABC-1/x?q=y", "/ABC-1?q=y#x"),
        ("/a%2Fb/c/d%20e?q=a+b%2Bc&q=2", "/a%2Fb?q=a+b%2Bc#c/d%20e"),
        ("/%C3%A4/..%2F..?q=", "/%C3%A4?q=#..%2F.."),
        ("/@evil.example/x?q=%0A", ""),
        ("/a&b/c;d?q=//evil.example/%26", "/a&b?q=//evil.example/%26#c%3Bd"),
    ] {
        let expected = if location.is_empty() { NOT_FOUND } else { to(&format!("{base}{location}")) };
        assert_eq!(answer(&tern, &format!("/{code}{request}")).await, expected, "{request}");
    }
    for request in ["", "?q=x", "/", "/a?q=x", "/a/?q=x", "/a//b?q=x", "/a/b", "/a/%0d%0ab?q=x", "/a/%7f?q=x"] {
        assert_eq!(answer(&tern, &format!("/{code}{request}")).await, NOT_FOUND, "{request}");
    }
    for dots in ["/a/..?q=x", "/./b?q=x", "/a/%2e?q=x", "/a/%2e%2E?q=x", "/a/.%2e/b?q=x"] {
        assert_eq!(answer_unchanged(&tern, &format!("/{code}{dots}")).await, NOT_FOUND, "{dots}");
    }
    for (sent, location) in [("/a'b/{1}?q=x", "/a'b?q=x#%7B1%7D"), ("/a%zz/...?q=%", "/a%25zz?q=%25#...")] {
        assert_eq!(answer_unchanged(&tern, &format!("/{code}{sent}")).await, to(&format!("{base}{location}")));
    }
    change(&tern, &link, json!({"original_url": "https://example.com/{2}"})).await;
    assert_eq!(answer(&tern, &format!("/{code}/a/b")).await, to("https://example.com/b"));
    for request in ["/a", "/a/b/", "/a/b/c"] {
        assert_eq!(answer(&tern, &format!("/{code}{request}")).await, NOT_FOUND, "{request}");
    }
}

#[tokio::test]
async fn answers_follow_the_order_of_decisions() {
    let (tern, link, code) = start_with_link("https://example.com/{1}").await;
    let path = format!("/{code}/x");
    assert_eq!(answer(&tern, &path).await, to("https://example.com/x"));
    let message = |body: Value| body["message"].as_str().unwrap().to_owned();
    let unfilled = format!("/{code}");
    for address in [&tern.fast, &tern.api] {
        let body = tern.get(address, &unfilled).await.json().await.unwrap();
        assert!(message(body).starts_with(&format!("Short code '{code}' leads nowhere with this path and query")));
        let other = tern.send(Method::POST, address, &path).await;
        assert_eq!(other.status(), 405, "a link is there");
    }
    change(&tern, &link, json!({"starts_at": "2090-01-01T00:00:00"})).await;
    assert_eq!(answer(&tern, &path).await, NOT_FOUND);
    let ended = json!({"starts_at": null, "expires_at": "2020-01-01T00:00:00"});
    change(&tern, &link, ended).await;
    assert_eq!(answer(&tern, &path).await, (410, None));
    change(&tern, &link, json!({"expired_url": "https://example.com/over"})).await;
    assert_eq!(answer(&tern, &path).await, to("https://example.com/over"));
    change(&tern, &link, json!({"expires_at": null})).await;
    assert_eq!(answer(&tern, &unfilled).await, NOT_FOUND, "the address after the end is not used");
    change(&tern, &link, json!({"is_active": false})).await;
    assert_eq!(answer(&tern, &path).await, (410, None));
    change(&tern, &link, json!({"is_active": true, "redirect_status": 307})).await;
    assert_eq!(answer(&tern, &path).await, (307, Some("https://example.com/x".to_owned())));

    // Without placeholders, a path behind the code is no short code, as for a code that no link has.
    change(&tern, &link, json!({"original_url": "https://example.com/"})).await;
    for path in [&path, &format!("/{code}/"), "/nope/x"] {
        assert_eq!(answer(&tern, path).await, NOT_FOUND, "{path}");
        let body = tern.get(&tern.fast, path).await.json().await.unwrap();
        assert_eq!(message(body), "No short code has this form", "{path}");
    }
    change(&tern, &link, json!({"expires_at": "2020-01-01T00:00:00"})).await;
    assert_eq!(answer(&tern, &path).await, NOT_FOUND, "its end makes no difference");
}

#[tokio::test]
async fn request_that_fills_nothing_is_counted_apart_and_costs_no_budget() {
    let (tern, _, code) = start_with_link("https://example.com/{1}").await;
    for _ in 0..3 {
        assert_eq!(answer(&tern, &format!("/{code}/a/b")).await, NOT_FOUND);
    }
    let outcome = async |outcome| tern.metric(&format!("tern_redirects_total{{outcome=\"{outcome}\"}}")).await;
    assert_eq!((outcome("unfilled").await, outcome("not_found").await), (12.0, 0.0));
    // Without a proxy's word for it, a client of another address would be on its budget.
    let tern =
        Tern::start_with(&[], &[("MISS_BURST", "1"), ("MISSES_PER_SECOND", "1"), ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, "https://example.com/{1}").await;
    let code = link["short_code"].as_str().unwrap();
    for _ in 0..50 {
        let status = tern.get_as("203.0.113.7", &tern.fast, &format!("/{code}")).await.status();
        assert_eq!(status, 404);
    }
}

#[tokio::test]
async fn parameter_that_filled_a_placeholder_is_not_forwarded() {
    let (tern, link, code) = start_with_link("https://example.com/{query:q}?l=en&x=1#top").await;
    change(&tern, &link, json!({"forward_query": true})).await;
    for (query, location) in [
        ("q=a", "a?l=en&x=1#top"),
        ("q=a&l=de&q=b&%71=c&y=%41+", "a?x=1&l=de&y=%41+#top"),
        ("x=2&q=a", "a?l=en&x=2#top"),
        ("qr&q=a", "a?l=en&x=1#top"),
    ] {
        assert_eq!(answer(&tern, &format!("/{code}?{query}")).await, to(&format!("https://example.com/{location}")));
    }
    let dropped = "tern_redirect_queries_dropped_total";
    assert_eq!(tern.metric(dropped).await, 0.0);
    let long = "y".repeat(8_300);
    assert_eq!(answer(&tern, &format!("/{code}?q=a&{long}")).await, to("https://example.com/a?l=en&x=1#top"));
    assert_eq!(tern.metric(dropped).await, 4.0);
    assert_eq!(answer(&tern, &format!("/{code}?q={long}")).await, NOT_FOUND, "there is no target alone");
}

#[tokio::test]
async fn click_has_the_target_before_it_was_filled() {
    let (tern, link, code) = start_with_link("https://example.com/{1}?q={query:q}").await;
    for address in [&tern.fast, &tern.api] {
        let path = format!("/{code}/x?q=secret");
        assert_eq!(tern.send(Method::HEAD, address, &path).await.status(), 302);
        assert_eq!(tern.get(address, &path).await.status(), 302);
        assert_eq!(tern.get(address, &format!("/{code}")).await.status(), 404);
    }
    eventually("both clicks are events", async || tern.count_events("clicked").await == 2).await;
    for event in tern.get_json("/events?event_type=clicked").await.as_array().unwrap() {
        assert_eq!(event["details"]["original_url"], link["original_url"]);
        assert!(!event.to_string().contains("secret"), "{event}");
    }
}

#[tokio::test]
async fn chosen_target_decides_what_a_request_needs() {
    let (tern, link, code) = start_with_link("https://example.com/").await;
    let condition = json!([{"type": "query", "key": "to", "value": "jira"}]);
    let rules = json!([{"target": "https://jira.example.com/ü/{1}?q={query:q}", "if": condition}]);
    change(&tern, &link, json!({"rules": rules})).await;
    for (request, expected) in [
        ("/ABC-1?to=jira&q=a%2Fb", to("https://jira.example.com/%C3%BC/ABC-1?q=a%2Fb")),
        ("/ABC-1?to=jira", NOT_FOUND),
        ("?to=jira&q=x", NOT_FOUND),
        ("/x/y?to=jira&q=x", NOT_FOUND),
        ("", to("https://example.com/")),
        ("/ABC-1", NOT_FOUND),
        ("/", NOT_FOUND),
    ] {
        assert_eq!(answer(&tern, &format!("/{code}{request}")).await, expected, "{request}");
    }
    let outcome = async |outcome| tern.metric(&format!("tern_redirects_total{{outcome=\"{outcome}\"}}")).await;
    assert_eq!((outcome("unfilled").await, outcome("not_found").await), (20.0, 0.0));
    eventually("each click is an event", async || tern.count_events("clicked").await == 4).await;
    let events = tern.get_json("/events?event_type=clicked").await;
    let of_rule: Vec<_> = events.as_array().unwrap().iter().filter(|event| event["details"]["rule"] == 1).collect();
    assert_eq!(of_rule.len(), 2);
    assert!(of_rule.iter().all(|event| event["details"]["original_url"] == rules[0]["target"]), "{events}");

    let split = json!([{"target": "https://a.example/{path}", "weight": 50}, {"target": "https://b.example/{path}", "weight": 50}]);
    change(&tern, &link, json!({"rules": [], "split": split})).await;
    let (status, location) = answer_unchanged(&tern, &format!("/{code}/x/y")).await;
    assert_eq!(
        (status, location.map(|location| location.replace("https://b", "https://a"))),
        to("https://a.example/x/y")
    );
    for target in ["https://{1}.example/", "https://a.example/{0}"] {
        let rules = json!([{"target": target, "if": condition}]);
        let split = json!([{"target": target, "weight": 50}, {"target": target, "weight": 50}]);
        for (field, value) in [("rules", rules), ("split", split)] {
            let refused = tern.change_link(&link["id"], json!({ field: value })).await;
            assert_eq!(refused.status(), 400);
            let message = refused.text().await.unwrap();
            assert!(message.contains(&format!("{field}[0].target must not h")), "{message}");
        }
    }
}

#[tokio::test]
async fn source_of_a_click_is_what_filled_the_target() {
    let (tern, link, code) = start_with_link("https://example.com/?utm_source={query:from}").await;
    assert_eq!(tern.get(&tern.fast, &format!("/{code}?from=News+Letter%21")).await.status(), 302);
    assert_eq!(tern.get(&tern.api, &format!("/{code}?from=")).await.status(), 302);
    eventually("both clicks are events", async || tern.count_events("clicked").await == 2).await;
    let events = tern.get_json("/events?event_type=clicked").await;
    let mut sources: Vec<_> =
        events.as_array().unwrap().iter().map(|event| event["details"]["source"].as_str()).collect();
    sources.sort_unstable();
    assert_eq!(sources, [None, Some("News Letter!")]);
    let stats = tern.get_json(&format!("/urls/{}/stats?bots=include", link["id"])).await;
    assert!(!stats.to_string().contains("{query"), "{stats}");
}

#[tokio::test]
async fn preview_shows_the_filled_target_where_the_link_would_redirect() {
    let (tern, link, code) = start_with_link("https://example.com/ü/{1}?q={query:q}").await;
    for address in [&tern.fast, &tern.api] {
        let answer = tern.get(address, &format!("/{code}/c++?q=a")).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
        let expected = json!({"short_code": code, "original_url": "https://example.com/%C3%BC/c+?q=a"});
        assert_eq!(answer.json::<Value>().await.unwrap(), expected);
        let page = tern.get_with(&[("accept", "text/html")], address, &format!("/{code}/c++?q=a!(b)")).await;
        let page = page.text().await.unwrap();
        assert!(page.contains("<b>https://example.com/%C3%BC/c+?q=a!(b)</b>"), "{page}");
        let long = "x".repeat(1_500);
        let page = tern.get_with(&[("accept", "text/html")], address, &format!("/{code}/{long}+?q=a")).await;
        let page = page.text().await.unwrap();
        assert!(page.len() < 2_048 && page.contains("(the rest is not shown)"), "{page}");
        // An escaped plus belongs to the value.
        let followed = tern.get(address, &format!("/{code}/c%2B%2B?q=a")).await;
        assert_eq!(followed.headers()["location"], "https://example.com/%C3%BC/c++?q=a");
        for unfilled in
            [format!("/{code}+"), format!("/{code}/x+"), format!("/{code}/+?q=a"), format!("/{code}/x/y+?q=a")]
        {
            assert_eq!(tern.get(address, &unfilled).await.status(), 404, "{unfilled}");
        }
    }
    assert_eq!(tern.metric("tern_clicks_accepted_total").await, 2.0);
    change(&tern, &link, json!({"original_url": "https://example.com/"})).await;
    assert_eq!(answer(&tern, &format!("/{code}/x+")).await, NOT_FOUND);
}

#[tokio::test]
async fn reserved_words_stay_paths_of_the_api() {
    let tern = Tern::start(&[]);
    for path in ["/admin/x/y/z", "/urls/x", "/urls/1/nope", "/users/1/x/y"] {
        for address in [&tern.api, &tern.fast] {
            let answer = tern.get_with(&[("accept", "text/html")], address, path).await;
            assert_eq!(answer.status(), 404, "{path}");
            assert_eq!(answer.headers()["content-type"], "application/json", "{path}");
        }
    }
}

#[tokio::test]
async fn link_with_placeholders_survives_a_restart_a_list_and_the_command_line() {
    let (tern, link, code) = start_with_link("https://jira.example.com/browse/{1}").await;
    let found = tern.get_json("/urls?host=jira.example.com").await;
    assert_eq!(found[0]["id"], link["id"]);
    assert_eq!(tern.get_json("/urls?search=browse/%7B1").await[0]["id"], link["id"]);
    let qr = tern.get(&tern.api, &format!("/urls/{}/qr", link["id"])).await;
    assert_eq!(qr.status(), 200);
    let made = add(&tern, &["https://wiki.example.com/{path}", "--code", "wiki"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert_eq!(answer(&tern, "/wiki/a/b").await, to("https://wiki.example.com/a/b"));
    let refused = add(&tern, &["https://{1}.example.com/"]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(text(&refused.stderr).contains("original_url must not have a placeholder in its scheme, host or port"));

    let (status, directory) = tern.end(nix::sys::signal::Signal::SIGTERM);
    assert!(status.success());
    let tern = Tern::start_in(directory, &[], &[]);
    assert_eq!(answer(&tern, &format!("/{code}/ABC-1")).await, to("https://jira.example.com/browse/ABC-1"));
}
