//! The redirect part of the contract, on both ports that serve short codes.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::conformance::{Differences, run_all};
use crate::support::{Tern, eventually, run, tern, text};

/// Starts Tern with an active and a deactivated link; returns their codes.
async fn start_with_links() -> (Tern, String, String) {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let active = tern.create_link(owner, "https://example.com/a?b=c#d").await;
    let gone = tern.create_link(owner, "https://example.com/gone").await;
    assert_eq!(tern.change_link(&gone["id"], json!({"is_active": false})).await.status(), 200);
    let code = |link: &Value| link["short_code"].as_str().unwrap().to_owned();
    let (active, gone) = (code(&active), code(&gone));
    (tern, active, gone)
}

#[tokio::test]
async fn redirect_outcomes_have_their_status_and_message() {
    let (tern, active, gone) = start_with_links().await;
    for address in [&tern.api, &tern.fast] {
        let check = async |method: Method, path: &str, status: u16, expected: Option<(&str, &str)>| {
            let response = tern.send(method.clone(), address, path).await;
            assert_eq!(response.status(), status, "{method} {path}");
            let headers = response.headers().clone();
            let location = (status == 302).then_some("https://example.com/a?b=c#d");
            assert_eq!(headers.get("location").map(|value| value.to_str().unwrap()), location, "{path}");
            if matches!(status, 302 | 404 | 410) {
                assert_eq!(headers["cache-control"], "no-store", "{path}");
            }
            if status == 405 {
                let allow = headers["allow"].to_str().unwrap();
                assert!(allow.contains("GET") && allow.contains("HEAD"), "{allow}");
            }
            let body = response.text().await.unwrap();
            match expected {
                None => assert_eq!(body, "", "{method} {path}"),
                Some((error, message)) => {
                    assert_eq!(headers["content-type"], "application/json");
                    let body: Value = serde_json::from_str(&body).unwrap();
                    assert_eq!((body["error"].as_str(), body["message"].as_str()), (Some(error), Some(message)));
                }
            }
        };
        check(Method::GET, &format!("/{active}"), 302, None).await;
        check(Method::HEAD, &format!("/{active}"), 302, None).await;
        check(Method::GET, &format!("/{active}?url=https://else.example/"), 302, None).await;
        check(Method::GET, &format!("/{active}?"), 302, None).await;
        check(Method::GET, &format!("/%{:02x}{}", active.as_bytes()[0], &active[1..]), 302, None).await;
        let deactivated = Some(("Gone", "This shortened URL has been deactivated"));
        check(Method::GET, &format!("/{gone}"), 410, deactivated).await;
        check(Method::HEAD, &format!("/{gone}"), 410, None).await;
        check(Method::GET, "/nope", 404, Some(("Not Found", "Short code 'nope' not found"))).await;
        check(Method::HEAD, "/nope", 404, None).await;
        let no_form = Some(("Not Found", "No short code has this form"));
        for path in ["//", "/a/b", "/no%20code", "/%3Cscript%3E", "/%00", "/a.b"] {
            check(Method::GET, path, 404, no_form).await;
        }
        check(Method::GET, &format!("/{active}/"), 404, no_form).await;
        let response = tern.send(Method::POST, address, &format!("/{active}")).await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.json::<Value>().await.unwrap()["error"], "Method Not Allowed");
    }
}

#[tokio::test]
async fn other_method_is_405_on_a_link_and_404_elsewhere() {
    let (tern, active, gone) = start_with_links().await;
    let other = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    for (address, method) in [&tern.api, &tern.fast].into_iter().flat_map(|port| other.iter().map(move |it| (port, it)))
    {
        let check = async |path: &str, status: u16, message: &str| {
            let response = tern.send(method.clone(), address, path).await;
            let (allow, cache) =
                (response.headers().get("allow").cloned(), response.headers()["cache-control"].clone());
            assert_eq!((response.status().as_u16(), allow.is_some()), (status, status == 405), "{method} {path}");
            assert_eq!(cache, "no-store", "{method} {path}");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["message"], message, "{method} {path}");
        };
        check(&format!("/{active}"), 405, "Only GET and HEAD are served here").await;
        check(&format!("/{gone}"), 405, "Only GET and HEAD are served here").await;
        check("/nope", 404, "Short code 'nope' not found").await;
        for path in ["//", "/a/b", "/api/v1/urls", "/no%20code"] {
            check(path, 404, "No short code has this form").await;
        }
        check(&format!("/{active}/"), 404, "No short code has this form").await;
    }
    assert_eq!(tern.metric("tern_redirects_total{outcome=\"other_method\"}").await, 20.0);
    assert_eq!(tern.metric("tern_clicks_accepted_total").await, 0.0);
}

#[tokio::test]
async fn short_codes_are_case_sensitive() {
    let (tern, active, _) = start_with_links().await;
    let swapped: String = active
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    if swapped != active {
        for address in [&tern.api, &tern.fast] {
            assert_eq!(tern.follow(address, &swapped).await.0, 404);
        }
    }
}

#[tokio::test]
async fn only_a_get_answered_302_counts_as_a_click() {
    let (tern, active, gone) = start_with_links().await;
    for address in [&tern.api, &tern.fast] {
        tern.send(Method::HEAD, address, &format!("/{active}")).await;
        tern.send(Method::POST, address, &format!("/{active}")).await;
        tern.follow(address, &gone).await;
        tern.follow(address, "nope").await;
    }
    tern.follow(&tern.fast, &active).await;
    eventually("the one click is an event", async || tern.count_events("clicked").await >= 1).await;
    assert_eq!(tern.metric("tern_clicks_accepted_total").await, 1.0);
    assert_eq!(tern.count_events("clicked").await, 1);
}

#[tokio::test]
async fn location_is_visible_ascii_and_otherwise_unchanged() {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let check = async |target: &str, location: &str| {
        let link = tern.create_link(owner, target).await;
        assert_eq!(link["original_url"], target, "it is returned as it was sent");
        for address in [&tern.api, &tern.fast] {
            let code = link["short_code"].as_str().unwrap();
            assert_eq!(tern.follow(address, code).await, (302, Some(location.to_owned())), "{target}");
        }
    };
    check("https://example.com", "https://example.com").await;
    check("HTTP://EXAMPLE.com/a/../b?{c}|d", "HTTP://EXAMPLE.com/a/../b?{c}|d").await;
    check("https://münchen.example/ü?ß#☃", "https://xn--mnchen-3ya.example/%C3%BC?%C3%9F#%E2%98%83").await;
    let long = format!("https://example.com/{}", "a".repeat(8192 - 20));
    check(&long, &long).await;
}

#[tokio::test]
async fn misses_are_limited_per_client_and_hits_are_not() {
    let tern = Tern::start_with(
        &["--sample"],
        &[("TRUSTED_PROXIES", "127.0.0.1"), ("MISS_BURST", "20"), ("MISSES_PER_SECOND", "1")],
    );
    let code = tern.announced_code.clone().unwrap();
    for (address, client) in [(&tern.api, "203.0.113.7"), (&tern.fast, "198.51.100.7")] {
        let mut refused = 0;
        for n in 0..40 {
            let response = tern.get_as(client, address, &format!("/nope{n}")).await;
            if response.status() == 429 {
                refused += 1;
                assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
                assert_eq!(response.json::<Value>().await.unwrap()["error"], "Too Many Requests");
            } else {
                assert_eq!(response.status(), 404);
            }
        }
        assert!((15..=20).contains(&refused), "{refused}");
        assert_eq!(tern.get_as(client, address, &format!("/{code}")).await.status(), 302);
        assert_eq!(tern.get_as("192.0.2.99", address, "/nope").await.status(), 404, "others have their own budget");
        for _ in 0..50 {
            assert_eq!(tern.follow(address, "nope").await.0, 404, "loopback is exempt");
        }
        let forwarded = "X-Forwarded-For: 203.0.113.99\r\n";
        assert!(is_any_refused(address, "POST /nope HTTP/1.1", forwarded).await, "no method finds codes by trying");
    }
}

/// Returns whether any of 25 requests for an unknown code is refused.
async fn is_any_refused(address: &str, request_line: &str, field: &str) -> bool {
    let request = format!("{request_line}\r\nHost: localhost\r\nConnection: close\r\n{field}\r\n");
    for _ in 0..25 {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        match answer.split(' ').nth(1).unwrap() {
            "429" => return true,
            status => assert_eq!(status, "404", "{answer}"),
        }
    }
    false
}

#[tokio::test]
async fn misses_forwarded_by_a_local_proxy_are_limited() {
    let tern = Tern::start_with(
        &["--sample"],
        &[("TRUSTED_PROXIES", "127.0.0.2"), ("MISS_BURST", "20"), ("MISSES_PER_SECOND", "1")],
    );
    for address in [&tern.api, &tern.fast] {
        const GET: &str = "GET /nope HTTP/1.1";
        assert!(!is_any_refused(address, GET, "").await, "a program on this machine");
        for field in ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 203.0.113.7", "Via: 1.1 x", "X-Real-IP: ::1"] {
            assert!(is_any_refused(address, GET, &format!("{field}\r\n")).await, "{field}");
        }
        assert!(is_any_refused(address, "GET /nope HTTP/1.0", "").await, "a proxy that adds nothing");
        assert!(!is_any_refused(address, GET, "").await, "a program on this machine, later");
    }
}

#[tokio::test]
async fn misses_behind_a_trusted_proxy_are_limited_by_network() {
    let tern = Tern::start_with(
        &["--sample"],
        &[("TRUSTED_PROXIES", "127.0.0.1"), ("MISS_BURST", "20"), ("MISSES_PER_SECOND", "1")],
    );
    for address in [&tern.api, &tern.fast] {
        let mut passed = 0;
        for n in 0..500 {
            let status = tern.get_as(&format!("2001:db8:0:{n:x}::1"), address, "/nope").await.status().as_u16();
            assert!([404, 429].contains(&status), "{status}");
            passed += usize::from(status == 404);
        }
        // Both ports share one budget, which refills while the test runs.
        assert!(passed < 20 * 16 + 200, "{passed} of one /48");
    }
    let mut statuses = Vec::new();
    for _ in 0..25 {
        statuses.push(tern.get_as("127.0.0.1", &tern.fast, "/nope").await.status().as_u16());
    }
    assert!(statuses.contains(&429), "a client that a proxy names as loopback: {statuses:?}");
}

#[tokio::test]
async fn api_requests_are_logged_twice_and_redirects_never() {
    let tern = Tern::start(&["--sample"]);
    let code = tern.announced_code.clone().unwrap();
    for path in [code.as_str(), "nope", "no/such/path"] {
        tern.follow(&tern.fast, path).await;
        let answer = tern.get(&tern.api, &format!("/{path}")).await;
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers()["x-request-id"].len(), 32, "{path}");
    }
    tern.get(&tern.api, "/users/1").await;
    eventually("the requests are in the log", async || {
        let entries = tern.get_json("/logs?lines=1000").await;
        let of = |path: &str| entries.as_array().unwrap().iter().filter(|entry| entry["path"] == path).count();
        [&format!("/{code}"), "/nope", "/no/such/path", "/users/1"].map(of) == [2; 4]
    })
    .await;
}

/// The HTTP vectors against the whole redirector, in place of the small service of the redirector's own tests.
#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_answered_as_expected_by_the_whole_redirector() {
    let target = "https://target.example/path?q=1&r=%20#part";
    let directory = tempfile::tempdir().unwrap();
    let users = "username,email\nada,ada@mail.example\n";
    let urls = format!("user_id,short_code,original_url,is_active\n1,CODE12,{target},True\n1,GONE12,{target},False\n");
    std::fs::write(directory.path().join("users.csv"), users).unwrap();
    std::fs::write(directory.path().join("urls.csv"), urls).unwrap();
    let loaded = run(&mut tern(directory.path(), &["load", "users.csv", "urls.csv"]));
    assert!(loaded.status.success(), "{}", text(&loaded.stderr));
    let tern = Tern::start_in(directory, &[], &[("HEADER_TIMEOUT", "3s")]);
    let address = tern.fast.parse().unwrap();
    tokio::task::spawn_blocking(move || run_all(address, target, &Differences::default())).await.unwrap();

    let redirects = tern.metric("tern_redirects_total{outcome=\"redirect\"}").await;
    assert!(redirects > 300.0, "{redirects}");
    let clicks = tern.metric("tern_clicks_accepted_total").await;
    eventually("each click is one event", async || tern.count_events("clicked").await as f64 == clicks).await;
}

#[tokio::test]
async fn client_in_any_forwarded_form_has_a_budget_of_its_own() {
    let settings = [("TRUSTED_PROXIES", "127.0.0.1"), ("MISS_BURST", "1"), ("MISSES_PER_SECOND", "1")];
    let tern = Tern::start_with(&[], &settings);
    for (address, n) in [(&tern.api, 1), (&tern.fast, 2)] {
        for client in [
            format!("[2001:db8:{n}::1]"),
            format!("[2001:db8:{n}:1::1]:4711"),
            format!("\"[2001:db8:{n}:2::1]:4711\""),
            format!("198.51.{n}.1:4711"),
            format!(", 198.51.1{n}.1"),
            format!("198.51.2{n}.1 ,, "),
        ] {
            assert_eq!(tern.get_as(&client, address, "/nope").await.status(), 404, "{client}");
        }
    }
    // Clients without a known address share a larger budget.
    let mut misses = 0;
    while tern.get_as("unknown", &tern.fast, "/nope").await.status() == 404 {
        misses += 1;
        assert!(misses < 1_000, "even unknown clients have a limit");
    }
    assert!(misses >= 16, "{misses}");
    assert_eq!(tern.get_as("203.0.113.7", &tern.fast, "/nope").await.status(), 404);
}
