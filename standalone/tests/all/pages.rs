//! Answers of short codes for people, on both ports: pages in place of JSON, previews, and other addresses.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::Tern;

/// The header `Accept` of Firefox.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn create(tern: &Tern, target: &str) -> (Value, String) {
    let owner = tern.create_user(&format!("user{}", target.len())).await;
    let link = tern.create_link(owner, target).await;
    let code = link["short_code"].as_str().unwrap().to_owned();
    (link["id"].clone(), code)
}

async fn send(tern: &Tern, method: Method, address: &str, path: &str, accept: &str) -> Response {
    tern.send_with(method, &[("accept", accept)], address, path).await
}

/// Checks the head of a page or of a preview.
fn check_head(headers: &HeaderMap, content_type: &str) {
    assert_eq!(headers["content-type"], content_type);
    assert_eq!(headers["x-robots-tag"], "noindex");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers.get_all("x-content-type-options").iter().count(), 1);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
}

/// Returns the fields of an answer that do not differ between two requests.
fn fields(headers: &HeaderMap) -> HeaderMap {
    let differing = ["date", "x-request-id"];
    headers
        .iter()
        .filter(|(name, _)| !differing.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

#[tokio::test]
async fn browser_gets_a_page_and_other_clients_get_json() {
    let tern = Tern::start(&[]);
    let (id, code) = create(&tern, "https://example.com/").await;
    assert_eq!(tern.change_link(&id, json!({"is_active": false})).await.status(), 200);
    let not_found = "<p>Short code &#39;nope&#39; not found.</p>";
    let gone = "<p>This shortened URL has been deactivated.</p>";
    for address in [&tern.api, &tern.fast] {
        for (path, status, paragraph) in [("/nope", 404, not_found), (&format!("/{code}"), 410, gone)] {
            let answer = send(&tern, Method::GET, address, path, BROWSER).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["cache-control"]),
                (status, &"no-store".parse().unwrap())
            );
            check_head(answer.headers(), "text/html; charset=utf-8");
            let get_fields = fields(answer.headers());
            let page = answer.text().await.unwrap();
            assert!(page.contains(paragraph) && !page.contains("<script"), "{page}");
            let head = send(&tern, Method::HEAD, address, path, BROWSER).await;
            assert_eq!((head.status().as_u16(), fields(head.headers())), (status, get_fields), "HEAD {path}");
            assert_eq!(head.text().await.unwrap(), "");
            for accept in ["*/*", "application/json", "application/json, text/html", "text/html;q=0", "text/plain"] {
                let answer = send(&tern, Method::GET, address, path, accept).await;
                assert_eq!(answer.headers()["content-type"], "application/json", "{accept}");
                assert!(answer.headers().get("content-security-policy").is_none());
                assert_eq!(answer.status(), status);
                assert!(answer.json::<Value>().await.unwrap()["message"].is_string());
            }
        }
        let malformed = send(&tern, Method::GET, address, "/%3Cscript%3Ealert(1)%3C/script%3E", BROWSER).await;
        assert_eq!(malformed.status(), 404);
        let page = malformed.text().await.unwrap();
        assert!(page.contains("<p>No short code has this form.</p>") && !page.contains("alert"), "{page}");
        let other = send(&tern, Method::POST, address, &format!("/{code}"), BROWSER).await;
        assert_eq!(
            (other.status().as_u16(), &other.headers()["content-type"]),
            (405, &"application/json".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn path_of_the_api_is_answered_with_json_to_a_browser() {
    let tern = Tern::start_with(&[], &[("NOT_FOUND_URL", "https://www.example.com/help")]);
    for path in ["/urls/999", "/users/999/nothing", "/urls/7/no/such/route", "/events/x", "/favicon.ico", "/login"] {
        let answer = send(&tern, Method::GET, &tern.api, path, BROWSER).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (404, &"application/json".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn client_over_its_budget_of_misses_gets_a_page_in_a_browser() {
    let settings = [("TRUSTED_PROXIES", "127.0.0.1"), ("MISS_BURST", "2"), ("MISSES_PER_SECOND", "1")];
    for not_found_url in ["", "https://www.example.com/help?a=1&b=2"] {
        let tern = Tern::start_with(&[], &[&settings[..], &[("NOT_FOUND_URL", not_found_url)]].concat());
        for (address, client) in [(&tern.api, "203.0.113.7"), (&tern.fast, "198.51.100.7")] {
            let mut statuses = Vec::new();
            for path in ["/nope", "/nope+", "/a/b", "/nope", "/nope"] {
                let fields = [("accept", BROWSER), ("x-forwarded-for", client)];
                let answer = tern.get_with(&fields, address, path).await;
                let status = answer.status().as_u16();
                match status {
                    302 => {
                        assert_eq!(answer.headers()["location"], not_found_url);
                        assert_eq!(answer.headers()["cache-control"], "no-store");
                    }
                    _ => check_head(answer.headers(), "text/html; charset=utf-8"),
                }
                if status == 429 {
                    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
                    assert!(answer.text().await.unwrap().contains("<h1>Too many requests</h1>"));
                }
                statuses.push(status);
            }
            let miss = if not_found_url.is_empty() { 404 } else { 302 };
            assert_eq!((statuses[..2].to_vec(), statuses[4]), (vec![miss, miss], 429), "{address}: {statuses:?}");
        }
        assert_eq!(tern.metric("tern_clicks_accepted_total").await, 0.0);
    }
}

#[tokio::test]
async fn preview_shows_the_target_without_a_click() {
    let tern = Tern::start(&[]);
    let target = "https://example.com/?q=\"><script>alert(1)</script>&r='<img/src=x/onerror=alert(2)>";
    let (id, code) = create(&tern, target).await;
    for address in [&tern.api, &tern.fast] {
        for sign in ["+", "%2B", "+?utm_source=x"] {
            let path = format!("/{code}{sign}");
            let answer = send(&tern, Method::GET, address, &path, "*/*").await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["cache-control"]),
                (200, &"no-store".parse().unwrap())
            );
            check_head(answer.headers(), "application/json");
            assert_eq!(answer.json::<Value>().await.unwrap(), json!({"short_code": code, "original_url": target}));
            let answer = send(&tern, Method::GET, address, &path, BROWSER).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["cache-control"]),
                (200, &"no-store".parse().unwrap())
            );
            check_head(answer.headers(), "text/html; charset=utf-8");
            let get_fields = fields(answer.headers());
            let page = answer.text().await.unwrap();
            assert!(page.len() < 2048, "{}", page.len());
            let escaped = "https://example.com/?q=&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;r=&#39;&lt;img/src=x/onerror=alert(2)&gt;";
            assert!(page.contains(escaped) && !page.contains("<script") && !page.contains("<img"), "{page}");
            let head = send(&tern, Method::HEAD, address, &path, BROWSER).await;
            assert_eq!((head.status().as_u16(), fields(head.headers())), (200, get_fields));
        }
        let path = format!("/{code}+");
        assert_eq!(send(&tern, Method::POST, address, &path, BROWSER).await.status(), 405);
    }
    let ended = "2001-01-01T00:00:00";
    let elsewhere = json!({"expires_at": ended, "expired_url": "https://www.example.com/over"});
    for (change, status) in [
        (json!({"is_active": false}), 410),
        (json!({"is_active": true, "expires_at": ended}), 410),
        (elsewhere, 302),
        (json!({"expires_at": null, "starts_at": "2999-01-01T00:00:00"}), 404),
    ] {
        assert_eq!(tern.change_link(&id, change).await.status(), 200);
        for address in [&tern.api, &tern.fast] {
            for accept in ["*/*", BROWSER] {
                let link = send(&tern, Method::GET, address, &format!("/{code}"), accept).await;
                let preview = send(&tern, Method::GET, address, &format!("/{code}+"), accept).await;
                assert_eq!((link.status().as_u16(), preview.status().as_u16()), (status, status));
                assert_eq!(fields(link.headers()), fields(preview.headers()));
                assert_eq!(link.text().await.unwrap(), preview.text().await.unwrap());
            }
            let unknown = send(&tern, Method::GET, address, "/nope+", "*/*").await;
            assert_eq!(unknown.status(), 404);
            assert_eq!(unknown.json::<Value>().await.unwrap()["message"], "Short code 'nope' not found");
        }
    }
    assert_eq!(tern.metric("tern_redirects_total{outcome=\"preview\"}").await, 18.0);
    assert_eq!(tern.metric("tern_clicks_accepted_total").await, 0.0);
}

#[tokio::test]
async fn redirect_carries_the_fields_of_the_settings() {
    let policies = |headers: &HeaderMap| {
        ["x-robots-tag", "referrer-policy"]
            .map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    };
    let settings: [&[(&str, &str)]; 2] = [&[], &[("INDEXABLE", "true"), ("REFERRER_POLICY", "strict-origin")]];
    let expected = [[Some("noindex"), None], [None, Some("strict-origin")]];
    for (settings, expected) in settings.into_iter().zip(expected) {
        let tern = Tern::start_with(&[], settings);
        let (_, code) = create(&tern, "https://example.com/").await;
        for address in [&tern.api, &tern.fast] {
            for method in [Method::GET, Method::HEAD] {
                let answer = send(&tern, method, address, &format!("/{code}"), BROWSER).await;
                assert_eq!(answer.status(), 302);
                assert_eq!(policies(answer.headers()), expected.map(|value| value.map(str::to_owned)), "{settings:?}");
            }
        }
    }
}

#[tokio::test]
async fn start_page_and_unknown_codes_lead_to_the_configured_addresses() {
    let settings = [("ROOT_URL", "https://www.example.com/"), ("NOT_FOUND_URL", "https://www.example.com/h\u{e9}lp")];
    let tern = Tern::start_with(&[], &settings);
    let not_found = "https://www.example.com/h%C3%A9lp";
    for address in [&tern.api, &tern.fast] {
        // The start page of the API port is that of the API.
        let (start, root, refused) =
            if address == &tern.api { (200, None, 405) } else { (302, Some("https://www.example.com/"), 404) };
        for (method, path, status, location) in [
            (Method::GET, "/", start, root),
            (Method::HEAD, "/?utm_source=x", start, root),
            (Method::POST, "/", refused, None),
            (Method::GET, "/nope", 302, Some(not_found)),
            (Method::HEAD, "/nope+", 302, Some(not_found)),
            (Method::GET, "/a/b", 302, Some(not_found)),
            (Method::POST, "/nope", 404, None),
        ] {
            let answer = tern.send(method.clone(), address, path).await;
            assert_eq!(answer.status(), status, "{method} {path}");
            assert_eq!(answer.headers().get("location").map(|value| value.to_str().unwrap()), location, "{path}");
            assert_eq!(answer.headers()["cache-control"], "no-store");
        }
    }
    assert_eq!(tern.metric("tern_redirects_total{outcome=\"root\"}").await, 2.0);
    assert_eq!(tern.metric("tern_clicks_accepted_total").await, 0.0);

    let without = Tern::start(&[]);
    assert_eq!(send(&without, Method::GET, &without.fast, "/", BROWSER).await.status(), 404);
    let led = send(&without, Method::GET, &without.api, "/", BROWSER).await;
    assert_eq!((led.status().as_u16(), &led.headers()["location"]), (302, &HeaderValue::from_static("/admin/")));
}
