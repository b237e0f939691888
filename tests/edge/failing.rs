//! Failures behind nginx: redirectors are killed, admins drop requests, and nginx reloads, while clients see no
//! failure.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Client, Method};
use tern_testkit::nginx::{Nginx, Site};
use tern_tests::{Visitors, eventually};

use crate::listener::Listener;
use crate::{configuration, site_of, start_fleet_behind_nginx};

/// Requests a second of all clients.
const RATE: u32 = 1_000;

/// Counter of redirects of a redirector.
const FOLLOWED: &str = r#"tern_redirects_total{outcome="redirect"}"#;

/// Longest time from a killed redirector's start until it is ready and nginx uses it again, after a pause of a second.
/// The demand is two seconds; a debug build on a busy machine needs more.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// The link is newer than the snapshot files of the killed redirectors.
#[tokio::test(flavor = "multi_thread")]
async fn redirector_killed_under_load_fails_no_request() {
    let (mut fleet, nginx) = start_fleet_behind_nginx(1).await;
    let code = fleet.code(1).await;
    let visitors = Visitors::start(&nginx.address(), &code, RATE);
    let mut slowest = Duration::ZERO;
    for round in 0..4 {
        let killed = round % 2;
        visitors.wait_for_answers(500).await;
        fleet.redirectors[killed].signal(Signal::SIGKILL);
        visitors.wait_for_answers(500).await;
        let started = Instant::now();
        fleet.restart_redirector_in_place(killed, Signal::SIGKILL).await;
        let ready = started.elapsed();
        eventually("nginx asks it again", async || fleet.metric(killed, FOLLOWED).await > 0.0).await;
        let back = started.elapsed();
        println!("redirector {killed} is ready {ready:?} after its start, and back after {back:?}");
        slowest = slowest.max(back);
    }
    visitors.wait_for_answers(500).await;
    let history = visitors.finish().await;
    println!("a redirector killed 4 times: {history}");
    assert!(history.failed() == 0, "{history:?}");
    assert!(slowest < BACK_WITHIN, "back after {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_reloaded_under_load_fails_no_request() {
    let (fleet, nginx) = start_fleet_behind_nginx(1).await;
    let code = fleet.code(1).await;
    let visitors = Visitors::start(&nginx.address(), &code, RATE);
    let both = site_of(&fleet);
    let one = Site { redirectors: both.redirectors[..1].to_vec(), ..both.clone() };
    for site in [&one, &both, &one, &both, &both] {
        visitors.wait_for_answers(300).await;
        nginx.reload(site);
    }
    visitors.wait_for_answers(500).await;
    let history = visitors.finish().await;
    println!("nginx reloaded 5 times: {history}");
    assert!(history.failed() == 0, "{history:?}");
    eventually("workers of before a reload end", async || nginx.workers().len() <= cores()).await;
}

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Without redirectors the answer is an error in Tern's form with `Retry-After`.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_without_redirectors_still_serves_the_api() {
    let (fleet, nginx) = start_fleet_behind_nginx(1).await;
    for redirector in &fleet.redirectors {
        redirector.signal(Signal::SIGKILL);
    }
    let client = fleet.client();
    let answer = client.get(format!("http://{}/nope", nginx.address())).send().await.unwrap();
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body, serde_json::json!({"error": "Bad Gateway", "message": "No server of this service is available"}));
    assert_eq!(client.get(format!("http://{}/urls", nginx.address())).send().await.unwrap().status(), 200);
}

/// The rules and the words are those of a redirector's pages (`redirector/src/accept.rs`, `redirector/src/pages.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn short_code_that_nginx_cannot_serve_is_answered_to_browsers_with_a_page() {
    let nobody = || vec!["127.0.0.1:9".to_owned()];
    let site = Site { redirectors: nobody(), admins: nobody(), is_behind_proxy: false };
    let nginx = Nginx::start(&configuration(), &site);
    let ask = async |path: &str, accept: &str| {
        let request = Client::new().get(format!("http://{}{path}", nginx.address())).header("Accept", accept);
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (502, &"1".parse().unwrap()));
        let media_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let policy = answer.headers().get("content-security-policy").map(|value| value.to_str().unwrap().to_owned());
        (media_type, policy, answer.text().await.unwrap())
    };
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for accept in [
        BROWSER,
        "text/html",
        "TEXT/HTML",
        "text/html ; charset=utf-8 ; q=0.1",
        "text/html;q=1.000",
        "application/xml, text/html;q=0.001, application/json",
        "application/jsonp, text/html",
        "text/html;q=0, text/html",
    ] {
        let (media_type, policy, page) = ask("/CODE12", accept).await;
        assert_eq!(media_type, "text/html; charset=utf-8", "{accept}");
        assert!(policy.is_some_and(|policy| policy.starts_with("default-src 'none'; ")));
        assert!(page.contains("<h1>One moment, please</h1><p>No server of this service is available.</p>"), "{page}");
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    }
    for accept in [
        "",
        "*/*",
        "text/*",
        "text/htmlx, xtext/html, text/plain",
        "application/xhtml+xml",
        "application/json, text/html",
        "application/json;q=0.1, text/html;q=0.9",
        "application/problem+JSON, text/html",
        "text/html;q=0",
        "text/html; q=0.0, application/json",
        "text/html; charset=utf-8 ;q=0.000",
    ] {
        let (media_type, _, body) = ask("/CODE12", accept).await;
        assert_eq!(media_type, "application/json", "{accept}");
        assert!(body.starts_with("{\"error\":\"Bad Gateway\""), "{body}");
    }
    assert_eq!(ask("/urls", BROWSER).await.0, "application/json");
    let changed = Client::new().post(format!("http://{}/urls", nginx.address())).header("Accept", BROWSER).send().await;
    assert_eq!(changed.unwrap().headers()["content-type"], "application/json");
}

/// Each of two admins reads the request and closes the connection.
#[tokio::test(flavor = "multi_thread")]
async fn request_dropped_by_an_admin_is_repeated_if_idempotent() {
    for (method, times) in [
        (Method::GET, 2),
        (Method::HEAD, 2),
        (Method::POST, 1),
        // Each admin twice, since each is also its own backup.
        (Method::PUT, 4),
        (Method::DELETE, 4),
        (Method::PATCH, 1),
    ] {
        let admins = [Listener::start(None), Listener::start(None)];
        let addresses = admins.iter().map(|admin| admin.address.clone()).collect();
        let site = Site { redirectors: vec!["127.0.0.1:9".into()], admins: addresses, is_behind_proxy: false };
        let nginx = Nginx::start(&configuration(), &site);
        let answer = Client::new().request(method.clone(), format!("http://{}/urls/7", nginx.address())).send().await;
        assert_eq!(answer.unwrap().status(), 502, "{method}");
        let requests: usize = admins.iter().map(|admin| admin.requests().len()).sum();
        assert_eq!(requests, times, "{method}");
        // The log has the client's method, although nginx answers the error as for a GET.
        eventually("the request is in the log", async || !nginx.access_log().is_empty()).await;
        let entry: serde_json::Value = serde_json::from_str(nginx.access_log().lines().next().unwrap()).unwrap();
        assert_eq!(entry["method"], method.as_str());
    }
}

/// nginx gives up a frozen redirector after two seconds, and the other one answers.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_redirector_behind_nginx_fails_no_request() {
    let (fleet, nginx) = start_fleet_behind_nginx(1).await;
    let code = fleet.code(1).await;
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    fleet.redirectors[0].signal(Signal::SIGSTOP);
    let ask = async || {
        let answer = client.get(format!("http://{}/{code}", nginx.address()));
        answer.timeout(Duration::from_secs(10)).send().await.unwrap().status()
    };
    for _ in 0..20 {
        assert_eq!(ask().await, 302);
    }
    fleet.redirectors[0].signal(Signal::SIGCONT);
    assert_eq!(ask().await, 302);
}
