//! Limited links: what uses up a click, and what a redirector does without the store.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::HeaderValue;
use tern_common::store::{AdminStore, ClickSink};
use tern_common::url::UrlChange;
use tern_common::{ClickLimit, ClickTake, Id, LinkOptionsChange, TakenClicks, TargetUrl};
use tern_redirector::Redirector;

use crate::fixture::{Fixture, drain};
use crate::links::eventually;

/// Header fields of a request.
type Fields = &'static [(&'static str, &'static str)];

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";

async fn limit(fixture: &Fixture, link: Id, clicks: i64) {
    let max_clicks = Some(ClickLimit::try_from(clicks).ok());
    let options = LinkOptionsChange { max_clicks, ..LinkOptionsChange::default() };
    fixture.store.update_url(link, UrlChange { options, ..UrlChange::default() }).await.unwrap();
}

/// Starts a redirector that serves CODE12 with a limit.
async fn start(fixture: &Fixture, clicks: i64) -> (Id, Redirector, SocketAddr) {
    let link = fixture.insert("CODE12").await;
    limit(fixture, link, clicks).await;
    let redirector = fixture.start().await;
    redirector.loaded().await;
    let fast = redirector.local_addr();
    (link, redirector, fast)
}

async fn left(fixture: &Fixture, link: Id) -> Option<i64> {
    fixture.store.find_url(link).await.unwrap().unwrap().clicks_left
}

#[tokio::test(flavor = "multi_thread")]
async fn limited_link_redirects_as_often_as_its_limit_and_is_revived_by_a_higher_one() {
    let fixture = Fixture::create().await;
    let (link, redirector, fast) = start(&fixture, 3).await;
    let follow = async || fixture.status(fast, "/CODE12").await.0;
    assert_eq!([follow().await, follow().await, follow().await], [302; 3]);
    assert_eq!([follow().await, follow().await], [410; 2]);
    assert_eq!(left(&fixture, link).await, Some(0));
    let asked = "tern_limited_take_seconds_count";
    eventually("the map has its end", async || {
        let before = fixture.metric(&redirector, asked).await;
        follow().await == 410 && fixture.metric(&redirector, asked).await == before
    })
    .await;
    let over = TargetUrl::parse("https://example.com/over").unwrap();
    let options = LinkOptionsChange { expired_url: Some(Some(over)), ..LinkOptionsChange::default() };
    fixture.store.update_url(link, UrlChange { options, ..UrlChange::default() }).await.unwrap();
    let elsewhere = (302, Some("https://example.com/over".to_owned()));
    eventually("its other address is served", async || fixture.follow(fast, "/CODE12").await == elsewhere).await;
    limit(&fixture, link, 4).await;
    let target = (302, Some("https://example.com/".to_owned()));
    eventually("the link is revived", async || fixture.follow(fast, "/CODE12").await == target).await;
    eventually("it is used up again", async || fixture.follow(fast, "/CODE12").await == elsewhere).await;
    assert_eq!(fixture.metric(&redirector, "tern_limited_clicks_total{event=\"taken\"}").await, 4.0);
    assert!(fixture.metric(&redirector, "tern_redirects_total{outcome=\"exhausted\"}").await >= 4.0);
    assert_eq!(drain(redirector).await, 0);
    assert_eq!(fixture.store.find_url(link).await.unwrap().unwrap().clicks_left, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_prefetches_and_heads_use_up_no_click_and_see_no_target() {
    let fixture = Fixture::create().await;
    let (link, redirector, fast) = start(&fixture, 5).await;
    let ask = async |method: Method, path: &str, fields: Fields| {
        let request = fixture.client.request(method, format!("http://{fast}{path}"));
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    };
    let withheld: [(Method, &str, Fields); 9] = [
        (Method::HEAD, "/CODE12", &[("user-agent", BROWSER)]),
        (Method::GET, "/CODE12+", &[("accept", "application/json")]),
        (Method::GET, "/CODE12", &[("user-agent", BROWSER), ("sec-purpose", "prefetch;prerender")]),
        (Method::GET, "/CODE12", &[("user-agent", BROWSER), ("purpose", "prefetch")]),
        (Method::GET, "/CODE12", &[("user-agent", BROWSER), ("x-moz", "prefetch")]),
        (Method::GET, "/CODE12", &[("user-agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)")]),
        (Method::GET, "/CODE12", &[("user-agent", "facebookexternalhit/1.1")]),
        (Method::GET, "/CODE12", &[("user-agent", "WhatsApp/2.23.20.0")]),
        (Method::GET, "/CODE12", &[("user-agent", "Mozilla/5.0 (via ggpht.com GoogleImageProxy)")]),
    ];
    for (method, path, fields) in withheld {
        let answer = ask(method.clone(), path, fields).await;
        let headers = answer.headers().clone();
        assert_eq!((answer.status().as_u16(), headers.get("location")), (200, None), "{method} {path} {fields:?}");
        assert_eq!(
            (&headers["cache-control"], &headers["x-robots-tag"]),
            (&HeaderValue::from_static("no-store"), &HeaderValue::from_static("noindex"))
        );
        let page = answer.text().await.unwrap();
        assert!(page.len() < 2_048 && !page.contains("example.com"), "{page}");
        assert_eq!(page.contains("limited number of visits"), method == Method::GET);
    }
    assert_eq!(left(&fixture, link).await, Some(5));
    let counted: [Fields; 5] = [
        &[("user-agent", BROWSER)],
        &[("user-agent", "curl/8.5.0")],
        &[("user-agent", "Googlebot/2.1")],
        &[("user-agent", "")],
        &[],
    ];
    for fields in counted {
        let answer = ask(Method::GET, "/CODE12", fields).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["cache-control"]),
            (302, &HeaderValue::from_static("no-store")),
            "{fields:?}"
        );
    }
    assert_eq!(left(&fixture, link).await, Some(0));
    assert_eq!(fixture.metric(&redirector, "tern_redirects_total{outcome=\"withheld\"}").await, 9.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn limited_link_without_the_store_is_answered_503_in_time_and_others_are_not_affected() {
    let fixture = Fixture::create().await;
    fixture.insert("PLAIN1").await;
    let (link, redirector, fast) = start(&fixture, 5).await;
    let lock = rusqlite::Connection::open(fixture.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = Instant::now();
    assert_eq!(fixture.status(fast, "/CODE12").await, (503, Some("1".to_owned())));
    let took = asked.elapsed();
    // Half a second is the promise; the rest is for a busy machine.
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    assert_eq!(fixture.status(fast, "/PLAIN1").await.0, 302);
    assert_eq!(fixture.metric(&redirector, "tern_redirects_total{outcome=\"limit_unavailable\"}").await, 1.0);
    drop(lock);
    eventually("clicks are granted again", async || fixture.status(fast, "/CODE12").await.0 == 302).await;
    // A call under way when the lock ended may have taken a click for the request that was answered 503.
    eventually("the link is used up", async || fixture.status(fast, "/CODE12").await.0 == 410).await;
    assert_eq!(left(&fixture, link).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_redirectors_racing_for_the_last_clicks_grant_no_more() {
    let fixture = Fixture::create().await;
    let (link, first, fast) = start(&fixture, 40).await;
    let other = Fixture { directory: tempfile::tempdir().unwrap(), client: fixture.client.clone(), ..fixture };
    let second = other.start().await;
    second.loaded().await;
    let mut visitors = Vec::new();
    for n in 0..16 {
        let client = other.client.clone();
        let address = if n % 2 == 0 { fast } else { second.local_addr() };
        visitors.push(tokio::spawn(async move {
            let mut redirects = 0;
            for _ in 0..10 {
                let answer = client.get(format!("http://{address}/CODE12")).send().await.unwrap();
                redirects += usize::from(answer.status() == 302);
            }
            redirects
        }));
    }
    let mut redirects = 0;
    for visitor in visitors {
        redirects += visitor.await.unwrap();
    }
    assert_eq!(redirects, 40);
    assert_eq!(left(&other, link).await, Some(0));
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_taken_ahead_are_returned_when_nobody_asks_and_at_the_end() {
    let fixture = Fixture::create().await;
    let (link, redirector, fast) = start(&fixture, 1_000_000).await;
    let ask_often = async || {
        let mut asks = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let ask = fixture.client.get(format!("http://{fast}/CODE12"));
            asks.spawn(async move { ask.send().await.unwrap().status().as_u16() });
        }
        assert_eq!(asks.join_all().await, [302; 200]);
    };
    ask_often().await;
    let unused = "tern_limited_clicks_unused";
    eventually("some are taken ahead", async || fixture.metric(&redirector, unused).await > 0.0).await;
    eventually("unused clicks are returned", async || fixture.metric(&redirector, unused).await == 0.0).await;
    eventually("the store has them", async || left(&fixture, link).await == Some(1_000_000 - 200)).await;
    ask_often().await;
    drain(redirector).await;
    assert_eq!(left(&fixture, link).await, Some(1_000_000 - 400));
}

/// A kill after the take and before the answer: another process takes clicks, and answers none of them.
#[tokio::test(flavor = "multi_thread")]
async fn click_of_a_process_that_ended_between_take_and_answer_is_wasted() {
    let fixture = Fixture::create().await;
    let (link, _redirector, fast) = start(&fixture, 5).await;
    let take = ClickTake { url_id: link, needed: 2, ahead: 0 };
    assert_eq!(fixture.store.take_clicks(&[take]).await.unwrap(), [TakenClicks::Granted(2)]);
    let follow = async || fixture.status(fast, "/CODE12").await.0;
    assert_eq!([follow().await, follow().await, follow().await, follow().await], [302, 302, 302, 410]);
}
