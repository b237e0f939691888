//! What clients see while redirectors are killed, admins hang up, and nginx takes another configuration: nothing.

use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::{Client, Method};
use tern_testkit::nginx::{Nginx, Site};
use tern_tests::{Visitors, eventually};

use crate::listener::Listener;
use crate::{configuration, set, site_of};

/// Requests a second, of all clients together.
const RATE: u32 = 1_000;

/// The link is newer than the files from which the killed ones start again.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirector_killed_under_load_fails_no_request() {
    let (mut fleet, nginx) = set(1).await;
    let code = fleet.code(1).await;
    let visitors = Visitors::start(&nginx.address(), &code, RATE);
    for round in 0..4 {
        let killed = round % 2;
        visitors.have_been_answered(500).await;
        fleet.redirectors[killed].signal(Signal::SIGKILL);
        visitors.have_been_answered(500).await;
        fleet.restart_redirector_in_place(killed, Signal::SIGKILL).await;
    }
    visitors.have_been_answered(500).await;
    let history = visitors.finish().await;
    println!("a redirector killed 4 times: {history}");
    assert!(history.failed() == 0, "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_under_load_fails_no_request() {
    let (fleet, nginx) = set(1).await;
    let code = fleet.code(1).await;
    let visitors = Visitors::start(&nginx.address(), &code, RATE);
    let both = site_of(&fleet);
    let one = Site { redirectors: both.redirectors[..1].to_vec(), ..both.clone() };
    for site in [&one, &both, &one, &both, &both] {
        visitors.have_been_answered(300).await;
        nginx.reload(site);
    }
    visitors.have_been_answered(500).await;
    let history = visitors.finish().await;
    println!("nginx reloaded 5 times: {history}");
    assert!(history.failed() == 0, "{history:?}");
    eventually("workers of before a reload end", async || nginx.workers().len() <= cores()).await;
}

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// With nobody there the answer is an error of Tern's form, and says when to come again.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_redirector_the_api_goes_on() {
    let (fleet, nginx) = set(1).await;
    for redirector in &fleet.redirectors {
        redirector.signal(Signal::SIGKILL);
    }
    let client = fleet.client();
    let answer = client.get(format!("http://{}/nope", nginx.address())).send().await.unwrap();
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body, serde_json::json!({"error": "Bad Gateway", "message": "Nobody is there to answer"}));
    assert_eq!(client.get(format!("http://{}/urls", nginx.address())).send().await.unwrap().status(), 200);
}

/// Two admins that take each request and hang up: what only reads is asked of both, what changes something of one.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_reads_is_asked_twice() {
    for (method, times) in [
        (Method::GET, 2),
        (Method::HEAD, 2),
        (Method::POST, 1),
        (Method::PUT, 1),
        (Method::DELETE, 1),
        (Method::PATCH, 1),
    ] {
        let admins = [Listener::start(None), Listener::start(None)];
        let addresses = admins.iter().map(|admin| admin.address.clone()).collect();
        let site = Site { redirectors: vec!["127.0.0.1:9".into()], admins: addresses, is_behind_proxy: false };
        let nginx = Nginx::start(&configuration(), &site);
        let answer = Client::new().request(method.clone(), format!("http://{}/urls/7", nginx.address())).send().await;
        assert_eq!(answer.unwrap().status(), 502, "{method}");
        let heard: usize = admins.iter().map(|admin| admin.heard().len()).sum();
        assert_eq!(heard, times, "{method}");
    }
}

/// A redirector that stands still is left alone after two seconds, and its requests are answered by the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirector_that_stands_still_delays_and_fails_nothing() {
    let (fleet, nginx) = set(1).await;
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
