//! Routing of paths, methods and header fields to the two planes.

use std::collections::BTreeSet;
use std::fs;

use reqwest::{Client, Method, redirect};
use serde_json::{Value, json};
use tern_testkit::nginx::{Nginx, Site};
use tern_tests::Fleet;

use crate::listener::{Listener, REDIRECT};
use crate::{configuration, site_of, start_fleet_behind_nginx};

fn client() -> Client {
    Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

/// Returns the API's paths in nginx's configuration, in the router's syntax.
fn nginx_paths() -> BTreeSet<String> {
    let text = fs::read_to_string(configuration().join("admin-paths.conf")).unwrap();
    let patterns = text.lines().filter_map(|line| line.strip_prefix("location ~ ^")?.split_once("/?$ "));
    patterns.map(|(pattern, _)| pattern.replace("[^/]+", "{id}").replace(".+", "{id}").replace("\\.", ".")).collect()
}

#[test]
fn nginx_has_exactly_the_paths_of_the_api() {
    let is_parameter = |part: &str| part.starts_with('{');
    let plain = |path: String| {
        let parts = path.split('/').map(|part| if is_parameter(part) { "{id}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    // The start page of a public origin is that of the redirectors.
    let router: BTreeSet<String> = tern_admin::paths().filter(|path| path != "/").map(plain).collect();
    assert_eq!(nginx_paths(), router);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_routes_each_path_to_its_plane() {
    let (fleet, nginx) = start_fleet_behind_nginx(2).await;
    let client = fleet.client();
    let code = fleet.code(1).await;

    // nginx returns an admin's answers unchanged, with and without a trailing slash.
    for path in nginx_paths().iter().flat_map(|path| [path.clone(), format!("{path}/")]) {
        let path = path.replace("{id}", "1");
        // A `short_url` has the host of its request.
        let direct = client.get(format!("http://{}{path}", fleet.admin.addresses[0])).header("host", nginx.address());
        let direct = direct.send().await.unwrap();
        let answer = client.get(format!("http://{}{path}", nginx.address())).send().await.unwrap();
        assert_eq!(answer.status(), direct.status(), "{path}");
        assert_eq!(answer.headers().get("content-type"), direct.headers().get("content-type"), "{path}");
        assert_eq!(answer.headers().get("x-total-count"), direct.headers().get("x-total-count"), "{path}");
        // A stream of clicks has no end.
        if path.trim_end_matches('/').ends_with("/live") {
            continue;
        }
        let (answer, direct) = (answer.text().await.unwrap(), direct.text().await.unwrap());
        // A request past nginx comes from this machine and needs no token. The state of the system changes meanwhile.
        if !["/metrics", "/logs", "/admin/access", "/system"].iter().any(|other| path.starts_with(other)) {
            assert_eq!(answer, direct, "{path}");
        }
    }

    // nginx returns a redirector's answers unchanged. The paths of the operations port do not exist there.
    let get = async |address: &str, path: &str| {
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        let location = answer.headers().get("location").cloned();
        (answer.status().as_u16(), location, answer.text().await.unwrap())
    };
    let others =
        ["/nope", "/", "/misses", "/dropped", "/stub_status", "/users/1/nope", "//users", "/users//1", "/health.x"];
    for path in others.into_iter().chain([&*format!("/{code}"), &*format!("/{code}?x=y")]) {
        let answer = get(&nginx.address(), path).await;
        assert_eq!(answer, get(&fleet.redirectors[0].addresses[0], path).await, "{path}");
        assert_eq!(answer.0, if path.contains(&code) { 302 } else { 404 }, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_routes_a_path_behind_a_code_to_a_redirector() {
    let (fleet, nginx) = start_fleet_behind_nginx(1).await;
    let body = json!({"user_id": 1, "original_url": "https://example.com/{1}/{path}?q={query:q}", "short_code": "go"});
    let made = fleet.client().post(format!("http://{}/urls", nginx.address())).json(&body).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let client = client();
    let get = async |address: &str, path: &str| {
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.headers().get("location").cloned(), answer.text().await.unwrap())
    };
    for (path, location) in [
        ("/go/a/b/c?q=x", Some("https://example.com/a/b/c?q=x")),
        ("/go/a%2Fb/%C3%BC%20x?q=a+b%2B", Some("https://example.com/a%2Fb/%C3%BC%20x?q=a+b%2B")),
        ("/go/urls/1?q=", Some("https://example.com/urls/1?q=")),
        ("/go/a//b?q=x", None),
        ("/go/a/b/?q=x", None),
        ("/go/a", None),
        ("/go/", None),
        ("/urls/go/x", None),
        ("/nope/a/b", None),
    ] {
        let answer = get(&nginx.address(), path).await;
        assert_eq!(answer, get(&fleet.redirectors[0].addresses[0], path).await, "{path}");
        let expected = (if location.is_some() { 302 } else { 404 }, location);
        assert_eq!((answer.0, answer.1.as_ref().map(|value| value.to_str().unwrap())), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_forwards_changes_and_uploads_to_an_admin() {
    let (fleet, nginx) = start_fleet_behind_nginx(1).await;
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
    let (status, visible, replaced) = call(Method::PUT, "/urls/external/a%2Fb%2F%2Fc", &body).await;
    assert_eq!((status, visible.as_deref()), (201, Some("2/2")), "{replaced}");
    assert_eq!(replaced["external_id"], "a/b//c");
    let (status, visible, bulk) = call(Method::POST, "/urls/bulk", &json!([body, body])).await;
    assert_eq!((status, visible.as_deref()), (200, Some("2/2")), "{bulk}");
    assert_eq!((&bulk[0]["status"], &bulk[1]["status"]), (&json!(201), &json!(201)), "{bulk}");
    let path = format!("/urls/{}", url["id"]);
    let (status, _, url) = call(Method::PUT, &path, &json!({"is_active": false})).await;
    assert_eq!((status, &url["is_active"]), (200, &json!(false)));
    let code = url["short_code"].as_str().unwrap();
    assert_eq!(client.get(format!("http://{}/{code}", nginx.address())).send().await.unwrap().status(), 410);
    assert_eq!(call(Method::DELETE, &path, &Value::Null).await.0, 204);
    assert_eq!(call(Method::PUT, "/urls", &Value::Null).await.0, 405);

    // A page of the site's own origin may write, since nginx forwards the requested host.
    let from_page = |origin: String| {
        let request = client.post(format!("http://{}/urls", nginx.address())).header("Origin", origin);
        request.json(&body).send()
    };
    assert_eq!(from_page(format!("http://{}", nginx.address())).await.unwrap().status(), 201);
    assert_eq!(from_page("http://evil.example".into()).await.unwrap().status(), 403);

    // An upload larger than other bodies may be, and a body over that limit.
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

    // Requests through nginx come from elsewhere and need a token.
    let stranger = Client::new().get(format!("http://{}/urls", nginx.address())).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert!(stranger.headers().contains_key("www-authenticate"));
}

/// The longest possible target, three times as long once it is percent-encoded.
#[tokio::test(flavor = "multi_thread")]
async fn longest_target_passes_nginx() {
    let (fleet, nginx) = start_fleet_behind_nginx(0).await;
    let longest = format!("https://example.com/{}", "\u{e9}".repeat(4_086));
    let url = json!({"user_id": 1, "original_url": longest});
    let (status, _, url) = fleet.call(Method::POST, "/urls", &url).await;
    assert_eq!(status, 201, "{url}");
    let link = format!("http://{}/{}", nginx.address(), url["short_code"].as_str().unwrap());
    let answer = fleet.client().get(link).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].len()), (302, 20 + 6 * 4_086));
}

/// The links of a list would repeat a long query twice.
#[tokio::test(flavor = "multi_thread")]
async fn list_with_a_long_query_passes_nginx() {
    let (fleet, nginx) = start_fleet_behind_nginx(25).await;
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

/// nginx forwards only the fields that a redirector uses, and no claim of the client.
#[tokio::test(flavor = "multi_thread")]
async fn request_for_a_code_is_forwarded_with_needed_fields_only() {
    let redirector = Listener::start(Some(REDIRECT));
    let site =
        Site { redirectors: vec![redirector.address.clone()], admins: vec!["127.0.0.1:9".into()], ..Site::default() };
    let nginx = Nginx::start(&configuration(), &site);
    let url = format!("http://{}/CODE12?x=y", nginx.address());
    let request = client().get(&url).header("User-Agent", "me").header("Referer", "https://from.example/");
    let request = request.header("Cookie", "a=b").header("Authorization", "Bearer secret").header("Accept", "*/*");
    let request = request.header("X-Forwarded-For", "198.51.100.7").header("Content-Length", "5").body("hello");
    assert_eq!(request.send().await.unwrap().status(), 302);
    let requests = redirector.requests().join("");
    let mut lines: Vec<&str> = requests.lines().collect();
    assert_eq!(lines.remove(0), "GET /CODE12?x=y HTTP/1.1");
    lines.sort_unstable();
    let host = format!("Host: {}", nginx.address());
    let expected =
        ["", "Accept: */*", &host, "Referer: https://from.example/", "User-Agent: me", "X-Forwarded-For: 127.0.0.1"];
    assert_eq!(lines, expected);

    // Other methods are forwarded without their body, because only a redirector knows whether there is a link to refuse
    // them.
    assert_eq!(client().post(&url).body("hello").send().await.unwrap().status(), 302);
    let request = redirector.requests().pop().unwrap();
    assert!(request.starts_with("POST /CODE12?x=y HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n") && !request.to_lowercase().contains("content-length"), "{request}");

    // nginx itself refuses a large body, and a client that waits for `100 Continue`.
    let send = async |method: Method, bytes: usize, expect: Option<&str>| {
        let request = client().request(method, &url).body("x".repeat(bytes));
        let request = expect.into_iter().fold(request, |request, expect| request.header("Expect", expect));
        request.send().await.unwrap().status().as_u16()
    };
    let (count, waits) = (redirector.requests().len(), Some("100-continue"));
    for method in [Method::GET, Method::POST, Method::DELETE] {
        assert_eq!(send(method, 1_025, None).await, 413);
    }
    for method in [Method::POST, Method::DELETE] {
        assert_eq!(send(method, 5, waits).await, 405);
    }
    assert_eq!(redirector.requests().len(), count);
    assert_eq!([send(Method::POST, 1_024, None).await, send(Method::GET, 5, waits).await], [302, 302]);
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_behind_nginx_gets_pages_and_previews() {
    let (fleet, nginx) = start_fleet_behind_nginx(1).await;
    let code = fleet.code(1).await;
    for (path, status) in [("/nope", 404), (&*format!("/{code}+"), 200)] {
        let url = format!("http://{}{path}", nginx.address());
        for (accept, content_type) in [("text/html,*/*;q=0.8", "text/html; charset=utf-8"), ("*/*", "application/json")]
        {
            let answer = client().get(&url).header("Accept", accept).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["content-type"]),
                (status, &content_type.parse().unwrap())
            );
            assert_eq!(answer.headers().contains_key("content-security-policy"), status == 200 || accept != "*/*");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_method_is_405_on_a_link_and_404_elsewhere() {
    let (fleet, nginx) = start_fleet_behind_nginx(1).await;
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

/// The redirectors limit misses by the client address that nginx forwards.
#[tokio::test(flavor = "multi_thread")]
async fn client_cannot_forge_its_address() {
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
    // Behind a proxy that nginx trusts, the client is the one that the proxy names.
    let nginx = Nginx::start(&configuration(), &Site { is_behind_proxy: true, ..site });
    assert!(misses(&nginx, "198.51.100.7").await.contains(&429));
    assert!(misses(&nginx, "198.51.100.7, 127.0.0.9").await.contains(&429));
}
