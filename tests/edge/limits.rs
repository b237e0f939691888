//! Limits, the access log, TLS and the status page.

use std::process::Command;

use reqwest::{Client, redirect};
use serde_json::Value;
use tern_testkit::nginx::{Nginx, Site};

use crate::configuration;
use crate::listener::{Listener, REDIRECT};

fn nginx_in_front_of(redirector: &Listener, is_behind_proxy: bool) -> Nginx {
    let redirectors = vec![redirector.address.clone()];
    Nginx::start(&configuration(), &Site { redirectors, admins: vec!["127.0.0.1:9".into()], is_behind_proxy })
}

fn client() -> Client {
    Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

/// The flood of one client is refused, and another client is not affected.
#[tokio::test(flavor = "multi_thread")]
async fn flood_of_one_client_is_refused_and_others_are_served() {
    let redirector = Listener::start(Some(REDIRECT));
    let nginx = nginx_in_front_of(&redirector, true);
    let client = client();
    let ask = async |from: &str, path: &str| {
        let request = client.get(format!("http://{}{path}", nginx.address())).header("X-Forwarded-For", from);
        request.send().await.unwrap()
    };
    let mut refused = None;
    for _ in 0..5_000 {
        let answer = ask("198.51.100.7", "/health").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        // There is no admin, so a forwarded request is answered 502.
        assert_eq!(answer.status(), 502);
    }
    let refused = refused.expect("no request of the flood was refused");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.json::<Value>().await.unwrap()["error"], "Too Many Requests");
    assert_eq!(ask("198.51.100.8", "/health").await.status(), 502);
    // Short codes have a higher limit of their own.
    assert_eq!(ask("198.51.100.7", "/CODE12").await.status(), 302);
}

/// All addresses of a /64 count as one client.
#[tokio::test(flavor = "multi_thread")]
async fn flood_from_an_ipv6_network_is_refused_and_its_neighbour_is_not() {
    let redirector = Listener::start(Some(REDIRECT));
    let nginx = nginx_in_front_of(&redirector, true);
    let client = client();
    let ask = async |from: &str| {
        let request = client.get(format!("http://{}/health", nginx.address())).header("X-Forwarded-For", from);
        request.send().await.unwrap().status().as_u16()
    };
    let mut statuses = Vec::new();
    for n in 0..3_000 {
        statuses.push(ask(&format!("2001:db8:a:a0a::{n:x}")).await);
        if statuses.ends_with(&[429]) {
            break;
        }
    }
    assert!(statuses.ends_with(&[429]), "a /64 is refused");
    assert_eq!(ask("2001:db8:a:a0b::1").await, 502);
}

/// The log has each request, without client addresses and queries.
#[tokio::test(flavor = "multi_thread")]
async fn access_log_is_json_without_whole_addresses_and_queries() {
    let redirector = Listener::start(Some(REDIRECT));
    let nginx = nginx_in_front_of(&redirector, true);
    for (before, (from, network)) in [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("2001:db8::7", "2001:db8::/48"),
        ("2001::7", "2001::/48"),
        ("::7", "::/48"),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("http://{}/CODE12?token=secret&quote=\"", nginx.address());
        let request = client().get(url).header("X-Forwarded-For", from).header("User-Agent", "a \"quoted\" \\ one");
        assert_eq!(request.send().await.unwrap().status(), 302);
        tern_tests::eventually("the request is in the log", async || nginx.access_log().lines().count() == before + 1)
            .await;
        let entry: Value = serde_json::from_str(nginx.access_log().lines().last().unwrap()).unwrap();
        assert_eq!(
            (&entry["status"], &entry["path"], &entry["client"]),
            (&302.into(), &"/CODE12".into(), &network.into())
        );
        assert_eq!(entry["upstream"], redirector.address);
    }
    let log = nginx.access_log();
    for secret in ["secret", "198.51.100.7", "::7", "5:6"] {
        assert!(!log.contains(secret), "{log}");
    }
    // Clients choose the paths.
    let weird = client().get(format!("http://{}/%22%0a%5c%00", nginx.address())).send().await.unwrap();
    assert_ne!(weird.status(), 500);
    tern_tests::eventually("each line is JSON", async || {
        nginx.access_log().lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
    })
    .await;
}

/// TLS with HTTP/2 and HTTP/1.1; old versions are refused. The client is curl, for an independent implementation.
#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_http_1_and_2_and_refuses_old_versions() {
    let redirector = Listener::start(Some(REDIRECT));
    let nginx = nginx_in_front_of(&redirector, false);
    let url = format!("https://{}/CODE12", nginx.tls_address());
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-D", "-", "-w", "%{http_version}", "--cacert"]).arg(nginx.authority());
        String::from_utf8(curl.args(arguments).arg(&url).output().unwrap().stdout).unwrap()
    };
    for (argument, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let answer = curl(&[argument]).to_lowercase();
        assert!(answer.starts_with(&format!("http/{version} 302")) && answer.ends_with(version), "{answer}");
        assert!(answer.contains("\r\nlocation: https://example.com/\r\n"), "{answer}");
        assert!(answer.contains("\r\nstrict-transport-security: max-age="), "{answer}");
        assert!(answer.contains("\r\nserver: nginx\r\n"), "the answer shows the version of nginx: {answer}");
    }
    assert_eq!(curl(&["--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn stub_status_is_on_its_own_port_only() {
    let redirector = Listener::start(Some(REDIRECT));
    let nginx = nginx_in_front_of(&redirector, false);
    let figures = client().get(format!("http://{}/stub_status", nginx.status_address())).send().await.unwrap();
    assert!(figures.text().await.unwrap().starts_with("Active connections: "));
    assert_eq!(client().get(format!("http://{}/", nginx.status_address())).send().await.unwrap().status(), 404);
    // On the public port it is a path like any other.
    assert_eq!(client().get(format!("http://{}/stub_status", nginx.address())).send().await.unwrap().status(), 302);
}

/// A redirector accepts every head that nginx accepts; larger ones have a status of their own.
#[tokio::test(flavor = "multi_thread")]
async fn too_large_head_is_answered_414_or_431() {
    let redirector = Listener::start(Some(REDIRECT));
    let nginx = nginx_in_front_of(&redirector, false);
    let check = async |path: usize, fields: &[usize], status: u16| {
        let url = format!("http://{}/{}", nginx.address(), "c".repeat(path));
        let request = fields.iter().enumerate().fold(client().get(url), |request, (number, length)| {
            request.header(format!("x-{number}"), "v".repeat(*length))
        });
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path} {fields:?}");
        if status != 302 {
            let error = if status == 414 { "URI Too Long" } else { "Request Header Fields Too Large" };
            assert_eq!(answer.json::<Value>().await.unwrap()["error"], error);
        }
    };
    check(6, &[13 * 1024], 302).await;
    check(6, &[6 * 1024, 6 * 1024], 302).await;
    check(20 * 1024, &[], 414).await;
    check(6, &[20 * 1024], 431).await;
    check(6, &[12 * 1024, 12 * 1024], 431).await;
    check(6, &[3 * 1024; 20], 431).await;
    for head in redirector.requests() {
        assert!(head.len() <= 16 * 1024, "{}", head.len());
    }
}
