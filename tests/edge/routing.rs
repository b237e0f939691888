//! What reaches whom, and what of it.

use std::collections::BTreeSet;
use std::fs;

use reqwest::{Client, Method, redirect};
use serde_json::{Value, json};
use tern_testkit::nginx::{Nginx, Site};
use tern_tests::Fleet;

use crate::listener::{Listener, REDIRECT};
use crate::{configuration, set, site_of};

fn client() -> Client {
    Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

/// The API's paths that nginx knows, in the router's words.
fn paths_of_nginx() -> BTreeSet<String> {
    let text = fs::read_to_string(configuration().join("admin-paths.conf")).unwrap();
    let patterns = text.lines().filter_map(|line| line.strip_prefix("location ~ ^")?.split_once("/?$ "));
    patterns.map(|(pattern, _)| pattern.replace("[^/]+", "{id}").replace("\\.", ".")).collect()
}

#[test]
fn nginx_knows_the_paths_of_the_api_and_no_others() {
    let router: BTreeSet<String> = tern_admin::paths().collect();
    assert_eq!(paths_of_nginx(), router);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_path_reaches_its_plane() {
    let (fleet, nginx) = set(2).await;
    let client = fleet.client();
    let code = fleet.code(1).await;

    // What an admin says is what nginx says, with and without the slash.
    for path in paths_of_nginx().iter().flat_map(|path| [path.clone(), format!("{path}/")]) {
        let path = path.replace("{id}", "1");
        let direct = client.get(format!("http://{}{path}", fleet.admin.addresses[0])).send().await.unwrap();
        let answer = client.get(format!("http://{}{path}", nginx.address())).send().await.unwrap();
        assert_eq!(answer.status(), direct.status(), "{path}");
        assert_eq!(answer.headers().get("content-type"), direct.headers().get("content-type"), "{path}");
        assert_eq!(answer.headers().get("x-total-count"), direct.headers().get("x-total-count"), "{path}");
        let (answer, direct) = (answer.text().await.unwrap(), direct.text().await.unwrap());
        if !path.starts_with("/metrics") && !path.starts_with("/logs") {
            assert_eq!(answer, direct, "{path}");
        }
    }

    // What a redirector says is what nginx says. None of the operations port's paths is there.
    let get = async |address: &str, path: &str| {
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        let location = answer.headers().get("location").cloned();
        (answer.status().as_u16(), location, answer.text().await.unwrap())
    };
    let others =
        ["/nope", "/", "/live", "/dropped", "/stub_status", "/users/1/nope", "//users", "/users//1", "/health.x"];
    for path in others.into_iter().chain([&*format!("/{code}"), &*format!("/{code}?x=y")]) {
        let answer = get(&nginx.address(), path).await;
        assert_eq!(answer, get(&fleet.redirectors[0].addresses[0], path).await, "{path}");
        assert_eq!(answer.0, if path.contains(&code) { 302 } else { 404 }, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_uploads_reach_an_admin() {
    let (fleet, nginx) = set(1).await;
    let client = fleet.client();
    let call = async |method: Method, path: &str, body: &Value| {
        let answer = client.request(method, format!("http://{}{path}", nginx.address())).json(body).send().await;
        let answer = answer.unwrap();
        let visible = answer.headers().get("tern-visible").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), visible, answer.json().await.unwrap_or(Value::Null))
    };
    let body = json!({"user_id": 1, "original_url": "https://example.com/new"});
    let (status, visible, url) = call(Method::POST, "/urls", &body).await;
    assert_eq!((status, visible.as_deref()), (201, Some("2/2")), "{url}");
    let path = format!("/urls/{}", url["id"]);
    let (status, _, url) = call(Method::PUT, &path, &json!({"is_active": false})).await;
    assert_eq!((status, &url["is_active"]), (200, &json!(false)));
    let code = url["short_code"].as_str().unwrap();
    assert_eq!(client.get(format!("http://{}/{code}", nginx.address())).send().await.unwrap().status(), 410);
    assert_eq!(call(Method::DELETE, &path, &Value::Null).await.0, 204);
    assert_eq!(call(Method::PATCH, "/urls", &Value::Null).await.0, 405);

    // A page of our own origin may write, since the admin is told which host was asked.
    let from_page = |origin: String| {
        let request = client.post(format!("http://{}/urls", nginx.address())).header("Origin", origin);
        request.json(&body).send()
    };
    assert_eq!(from_page(format!("http://{}", nginx.address())).await.unwrap().status(), 201);
    assert_eq!(from_page("http://evil.example".into()).await.unwrap().status(), 403);

    // More than a request may have otherwise, and more than that.
    let rows: String = (0..6_000).map(|n| format!("{n:0>200},user{n}@mail.example\n")).collect();
    assert!(rows.len() > 1 << 20);
    let file = reqwest::multipart::Part::text(format!("username,email\n{rows}")).file_name("users.csv");
    let form = reqwest::multipart::Form::new().part("file", file);
    let answer = client.post(format!("http://{}/users/bulk", nginx.address())).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Value>().await.unwrap()["imported"], 6_000);
    let answer = client.post(format!("http://{}/urls", nginx.address())).body("x".repeat(2 << 20)).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "Payload Too Large");

    // Whoever comes through nginx is somebody from elsewhere, and needs a token.
    let stranger = Client::new().get(format!("http://{}/urls", nginx.address())).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert!(stranger.headers().contains_key("www-authenticate"));
}

/// The longest target there may be, three times as long once it is percent-encoded.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_target_comes_through() {
    let (fleet, nginx) = set(0).await;
    let longest = format!("https://example.com/{}", "\u{e9}".repeat(4_086));
    let url = json!({"user_id": 1, "original_url": longest});
    let (status, _, url) = fleet.call(Method::POST, "/urls", &url).await;
    assert_eq!(status, 201, "{url}");
    let link = format!("http://{}/{}", nginx.address(), url["short_code"].as_str().unwrap());
    let answer = fleet.client().get(link).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].len()), (302, 20 + 6 * 4_086));
}

/// A query as long as nginx takes it: the links of a list would repeat it twice.
#[tokio::test(flavor = "multi_thread")]
async fn list_with_a_long_query_comes_through() {
    let (fleet, nginx) = set(25).await;
    let get = async |query: String| {
        fleet.client().get(format!("http://{}/urls?{query}", nginx.address())).send().await.unwrap()
    };
    assert!(get("x=y".into()).await.headers().contains_key("link"));
    for length in [1_000, 3_000, 8_000, 15_000] {
        let answer = get(format!("x={}", "y".repeat(length))).await;
        assert_eq!(answer.status(), 200, "{length}");
        assert_eq!(answer.headers()["x-total-count"], "25", "{length}");
    }
}

/// To a redirector goes what it uses, and nothing that a client says of itself is believed.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_request_for_a_code_only_what_a_redirector_uses_goes_on() {
    let redirector = Listener::start(Some(REDIRECT));
    let site =
        Site { redirectors: vec![redirector.address.clone()], admins: vec!["127.0.0.1:9".into()], ..Site::default() };
    let nginx = Nginx::start(&configuration(), &site);
    let url = format!("http://{}/CODE12?x=y", nginx.address());
    let request = client().get(&url).header("User-Agent", "me").header("Referer", "https://from.example/");
    let request = request.header("Cookie", "a=b").header("Authorization", "Bearer secret").header("Accept", "*/*");
    let request = request.header("X-Forwarded-For", "198.51.100.7").header("Content-Length", "5").body("hello");
    assert_eq!(request.send().await.unwrap().status(), 302);
    let heard = redirector.heard().join("");
    let mut lines: Vec<&str> = heard.lines().collect();
    assert_eq!(lines.remove(0), "GET /CODE12?x=y HTTP/1.1");
    lines.sort_unstable();
    let host = format!("Host: {}", nginx.address());
    assert_eq!(lines, ["", &host, "Referer: https://from.example/", "User-Agent: me", "X-Forwarded-For: 127.0.0.1"]);

    // Another method goes on without its body: only a redirector knows whether there is a link to refuse it.
    assert_eq!(client().post(&url).body("hello").send().await.unwrap().status(), 302);
    let heard = redirector.heard().pop().unwrap();
    assert!(heard.starts_with("POST /CODE12?x=y HTTP/1.1\r\n"), "{heard}");
    assert!(heard.ends_with("\r\n\r\n") && !heard.to_lowercase().contains("content-length"), "{heard}");

    // nginx refuses a large body, and a client that waits to be asked for one, by itself.
    let send = async |method: Method, bytes: usize, expect: Option<&str>| {
        let request = client().request(method, &url).body("x".repeat(bytes));
        let request = expect.into_iter().fold(request, |request, expect| request.header("Expect", expect));
        request.send().await.unwrap().status().as_u16()
    };
    let (count, waits) = (redirector.heard().len(), Some("100-continue"));
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(send(method, 1_025, None).await, 413);
    }
    for method in [Method::POST, Method::DELETE] {
        assert_eq!(send(method, 5, waits).await, 405);
    }
    assert_eq!(redirector.heard().len(), count);
    assert_eq!([send(Method::POST, 1_024, None).await, send(Method::GET, 5, waits).await], [302, 302]);
}

#[tokio::test(flavor = "multi_thread")]
async fn method_other_than_get_is_405_at_a_link_and_404_where_nothing_is() {
    let (fleet, nginx) = set(1).await;
    let code = fleet.code(1).await;
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for (path, status) in [(&*format!("/{code}"), 405), ("/nope", 404), ("/a/b", 404), ("/api/v1/urls", 404)] {
            let url = format!("http://{}{path}", nginx.address());
            let answer = client().request(method.clone(), url).body("{}").send().await.unwrap();
            assert_eq!(answer.status(), status, "{method} {path}");
            assert_eq!(answer.headers().contains_key("allow"), status == 405, "{method} {path}");
            assert!(answer.json::<Value>().await.unwrap()["message"].is_string(), "{method} {path}");
        }
    }
}

/// A client that misses too often is refused by the redirectors, which learn from nginx which client it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_say_that_it_is_another() {
    let settings = [("TRUSTED_PROXIES", "127.0.0.1"), ("MISS_BURST", "2"), ("MISSES_PER_SECOND", "1")];
    let fleet = Fleet::start(1, &settings).await;
    let site = site_of(&fleet);
    let misses = async |nginx: &Nginx, forwarded_for: &str| {
        let mut answers = Vec::new();
        for _ in 0..20 {
            let request = client().get(format!("http://{}/nope", nginx.address()));
            let request = request.header("X-Forwarded-For", forwarded_for).header("X-Real-IP", "198.51.100.8");
            answers.push(request.header("Forwarded", "for=198.51.100.9").send().await.unwrap().status().as_u16());
        }
        answers
    };
    let nginx = Nginx::start(&configuration(), &site);
    for forged in ["198.51.100.7", "198.51.100.7, 127.0.0.1", "unknown"] {
        assert!(misses(&nginx, forged).await.contains(&429), "{forged}");
    }
    // Behind a proxy that nginx was told to believe, the client is whom the proxy names, and not whom the client does.
    let nginx = Nginx::start(&configuration(), &Site { is_behind_proxy: true, ..site });
    assert!(misses(&nginx, "198.51.100.7").await.contains(&429));
    assert!(misses(&nginx, "198.51.100.7, 127.0.0.9").await.contains(&429));
}
