//! Start, end, status and query of links, on both ports that serve short codes.

use reqwest::Method;
use reqwest::header::{CACHE_CONTROL, LOCATION};
use serde_json::{Value, json};

use crate::support::{Tern, eventually};

/// Starts Tern with one link to a target; returns it and its code.
async fn start_with_link(target: &str, variables: &[(&str, &str)]) -> (Tern, Value, String) {
    let tern = Tern::start_with(&[], variables);
    let owner = tern.create_user("ada").await;
    let link = tern.create_link(owner, target).await;
    let code = link["short_code"].as_str().unwrap().to_owned();
    (tern, link, code)
}

async fn change(tern: &Tern, link: &Value, change: Value) {
    let changed = tern.change_link(&link["id"], change).await;
    assert_eq!((changed.status().as_u16(), &changed.headers()["tern-visible"]), (200, &"1/1".parse().unwrap()));
}

/// Status, location and `Cache-Control`, which must be equal on both ports and for `GET` and `HEAD`.
async fn answer(tern: &Tern, path: &str) -> (u16, Option<String>, Option<String>) {
    let mut answers = Vec::new();
    for (address, method) in
        [(&tern.fast, Method::GET), (&tern.api, Method::GET), (&tern.fast, Method::HEAD), (&tern.api, Method::HEAD)]
    {
        let response = tern.send(method, address, path).await;
        let field = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        answers.push((response.status().as_u16(), field(LOCATION), field(CACHE_CONTROL)));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
    answers.swap_remove(0)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn link_outside_of_its_time_is_404_before_and_410_or_elsewhere_after() {
    let (tern, link, code) = start_with_link("https://example.com/", &[]).await;
    let path = format!("/{code}");
    let no_store = some("no-store");
    change(&tern, &link, json!({ "starts_at": "2090-01-01T00:00:00" })).await;
    assert_eq!(answer(&tern, &path).await, (404, None, no_store.clone()));
    let message = tern.get(&tern.fast, &path).await.json::<Value>().await.unwrap()["message"].clone();
    assert_eq!(message, format!("Short code '{code}' not found"), "it tells nothing about the link");
    assert_eq!(answer(&tern, &format!("{path}+")).await.0, 404, "a preview tells nothing either");

    change(&tern, &link, json!({ "starts_at": "2020-01-01T00:00:00", "expires_at": "2090-01-01T00:00:00" })).await;
    assert_eq!(answer(&tern, &path).await, (302, some("https://example.com/"), no_store.clone()));
    let clicks = tern.count_events("clicked").await;

    change(&tern, &link, json!({ "expires_at": "2020-01-02T00:00:00" })).await;
    assert_eq!(answer(&tern, &path).await, (410, None, no_store.clone()));
    change(&tern, &link, json!({ "expired_url": "https://example.com/ü?over=1", "forward_query": true })).await;
    let elsewhere = some("https://example.com/%C3%BC?over=1");
    assert_eq!(answer(&tern, &format!("{path}?x=1")).await, (302, elsewhere.clone(), no_store.clone()));
    assert_eq!(answer(&tern, &format!("{path}+")).await, (302, elsewhere, no_store));

    eventually("both clicks are events", async || tern.count_events("clicked").await == 2).await;
    assert!(clicks <= 2, "only redirects to the target are clicks: {clicks}");
    let outcome = async |outcome| tern.metric(&format!("tern_redirects_total{{outcome=\"{outcome}\"}}")).await;
    assert_eq!((outcome("scheduled").await, outcome("expired").await), (9.0, 12.0));
    assert_eq!((outcome("redirect").await, outcome("not_found").await), (4.0, 0.0));

    change(&tern, &link, json!({ "is_active": false })).await;
    assert_eq!(answer(&tern, &path).await.0, 410, "an inactive link leads nowhere");
}

#[tokio::test]
async fn each_status_has_its_caching() {
    let (tern, link, code) = start_with_link("https://example.com/", &[]).await;
    for (status, cache) in
        [(301, "private, max-age=30"), (302, "no-store"), (307, "no-store"), (308, "private, max-age=30")]
    {
        change(&tern, &link, json!({ "redirect_status": status })).await;
        let expected = (status, some("https://example.com/"), some(cache));
        assert_eq!(answer(&tern, &format!("/{code}")).await, expected);
    }
}

#[tokio::test]
async fn default_status_is_not_permanent_for_a_link_with_an_end() {
    let settings = [("REDIRECT_STATUS", "301"), ("REDIRECT_CACHE", "0")];
    let (tern, link, code) = start_with_link("https://example.com/", &settings).await;
    let (path, location) = (format!("/{code}"), some("https://example.com/"));
    assert_eq!(answer(&tern, &path).await, (301, location.clone(), None));
    change(&tern, &link, json!({ "expires_in": "8h" })).await;
    assert_eq!(answer(&tern, &path).await, (302, location.clone(), some("no-store")));
    change(&tern, &link, json!({ "redirect_status": 307 })).await;
    assert_eq!(answer(&tern, &path).await, (307, location.clone(), some("no-store")));
    change(&tern, &link, json!({ "redirect_status": 308, "expires_at": null })).await;
    assert_eq!(answer(&tern, &path).await, (308, location, None));
}

#[tokio::test]
async fn query_is_merged_alike_on_both_ports() {
    let (tern, link, code) = start_with_link("https://example.com/ü?a=%41+b&x=0&&y#top", &[]).await;
    let target = "https://example.com/%C3%BC?a=%41+b&x=0&&y#top";
    let location = async |query: &str| answer(&tern, &format!("/{code}{query}")).await.1.unwrap();
    assert_eq!(location("?x=1").await, target, "the default forwards no query");
    change(&tern, &link, json!({ "forward_query": true })).await;
    assert_eq!(location("").await, target);
    assert_eq!(location("?").await, target);
    for (query, merged) in [
        ("x=1", "a=%41+b&&y&x=1"),
        ("x=1&x=2&%79=%2B+&", "a=%41+b&&x=1&x=2&%79=%2B+&"),
        ("z=//evil.example/@a:b", "a=%41+b&x=0&&y&z=//evil.example/@a:b"),
        ("a", "x=0&&y&a"),
    ] {
        assert_eq!(location(&format!("?{query}")).await, format!("https://example.com/%C3%BC?{merged}#top"));
    }
    let dropped = "tern_redirect_queries_dropped_total";
    assert_eq!(tern.metric(dropped).await, 0.0);
    let long = "q".repeat(8191);
    assert_eq!(location(&format!("?{}", &long[1..])).await.len(), target.len() + 8191);
    assert_eq!(location(&format!("?{long}q")).await, target);
    assert_eq!(tern.metric(dropped).await, 4.0);
}

#[tokio::test]
async fn default_forwards_queries_of_links_that_do_not_refuse() {
    let (tern, link, code) = start_with_link("https://example.com/", &[("FORWARD_QUERY", "true")]).await;
    let path = format!("/{code}?x=1");
    assert_eq!(answer(&tern, &path).await.1, some("https://example.com/?x=1"));
    change(&tern, &link, json!({ "forward_query": false })).await;
    assert_eq!(answer(&tern, &path).await.1, some("https://example.com/"));
}
