//! Keys, errors, bodies and origins of requests to the REST API of Shlink.

use std::time::Duration;

use serde_json::{Value, json};
use tern_common::token::Role;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::compat_shlink::{BASE, check_problem};
use crate::compat_yourls::{spawn_compatible, token};
use crate::support::{Answer, Setup, eventually};

#[tokio::test]
async fn shlink_key_is_needed_and_its_role_holds() {
    let its = spawn_compatible().await;
    its.create(json!({ "longUrl": "https://example.com/", "customSlug": "slug" })).await;
    check_problem(&its.app.get(&format!("{BASE}/short-urls")).await, 401, "missing-authentication");
    check_problem(&its.rest("wrong", "GET", "/short-urls", Value::Null).await, 401, "invalid-api-key");
    let authorization = format!("Bearer {}", its.editor);
    let answer = its.app.send_with("GET", &format!("{BASE}/tags"), &[("authorization", &authorization)]).await;
    check_problem(&answer, 401, "missing-authentication");
    let body = json!({ "longUrl": "https://example.com/" });
    check_problem(&its.rest(&its.viewer, "POST", "/short-urls", body.clone()).await, 403, "forbidden");
    check_problem(&its.rest(&its.viewer, "DELETE", "/short-urls/slug", Value::Null).await, 403, "forbidden");
    let problem = check_problem(&its.rest(&its.admin, "POST", "/short-urls", body).await, 403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("--user"), "{problem}");
    let edited = its.rest(&its.admin, "PATCH", "/short-urls/slug", json!({ "title": "by admin" })).await;
    assert_eq!(edited.json()["title"], "by admin");
    let scraper = token(&its.app, "scraper", Role::Metrics, None).await;
    check_problem(&its.rest(&scraper, "GET", "/short-urls", Value::Null).await, 403, "forbidden");
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({ "title": "x" })), ("DELETE", Value::Null)] {
        let answer = its.rest(&its.other, method, "/short-urls/slug", body).await;
        check_problem(&answer, 404, "short-url-not-found");
    }
    let list = its.rest(&its.other, "GET", "/short-urls", Value::Null).await.json();
    assert_eq!(list["shortUrls"]["pagination"]["totalItems"], 0);
    // Health needs no key.
    let health = json!({ "status": "pass", "version": "4.0.0", "links": {} });
    for path in ["/rest/health", "/rest/v1/health", "/rest/v2/health", "/rest/v3/health/"] {
        assert_eq!(its.app.get(path).await.json(), health, "{path}");
    }
}

#[tokio::test]
async fn shlink_errors_are_problems_that_every_origin_can_read() {
    let its = spawn_compatible().await;
    its.check("GET", "/nope", Value::Null, 404, "not-found").await;
    for path in ["/rest", "/rest/", "/rest/v9/tags", "/rest/v3/short-urls/a/b/c"] {
        check_problem(&its.app.get(path).await, 404, "not-found");
    }
    let answer = its.rest(&its.editor, "PUT", "/short-urls", Value::Null).await;
    check_problem(&answer, 405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    its.check("POST", "/short-urls", json!({ "longUrl": "x".repeat(5_000) }), 413, "payload-too-large").await;
    its.check("GET", "/mercure-info", Value::Null, 501, "mercure-not-configured").await;
    its.check("POST", "/short-urls/a/redirect-rules", json!({ "redirectRules": [] }), 501, "not-implemented").await;
    its.check("DELETE", "/short-urls/a/visits", Value::Null, 501, "not-implemented").await;
    its.check("PATCH", "/domains/redirects", json!({}), 501, "not-implemented").await;
    let domains = its.get("/domains").await["domains"].clone();
    assert_eq!((&domains["data"][0]["domain"], &domains["data"][0]["isDefault"]), (&json!("go.example"), &json!(true)));
    for raw in [
        "GET /rest/v3/tags HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        format!(
            "POST /rest/v3/short-urls HTTP/1.1\r\nHost: a\r\nX-Api-Key: {}\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{{",
            its.editor
        ),
    ] {
        check_problem(&its.app.send_raw(raw).await, 400, "invalid-data");
    }
    let compressed = reqwest::Client::new().post(format!("http://{}{BASE}/short-urls", its.app.address));
    let compressed = compressed.header("x-api-key", &its.editor).header("content-encoding", "gzip").body("x");
    check_problem(&Answer::read(compressed.send().await.unwrap()).await, 415, "unsupported-media-type");
    let attempt = async || Some(its.rest("wrong", "GET", "/tags", Value::Null).await);
    let limited = eventually(async || attempt().await.filter(|answer| answer.status == 429)).await;
    check_problem(&limited, 429, "too-many-requests");
    assert!(limited.header("retry-after").is_some());
    assert_eq!(its.rest(&its.viewer, "GET", "/tags", Value::Null).await.status, 200);
    let head = its.rest(&its.viewer, "HEAD", "/tags", Value::Null).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn shlink_without_database_is_unavailable_as_a_problem() {
    let mut setup = Setup { without_database: true, ..Setup::default() };
    setup.config.compat.shlink = true;
    let app = crate::support::spawn_app_with(setup).await;
    check_problem(&app.get("/rest/v3/health").await, 503, "service-unavailable");
}

#[tokio::test]
async fn shlink_chunked_body_is_read() {
    let its = spawn_compatible().await;
    let body = r#"{"longUrl":"https://example.com/","customSlug":"chunky"}"#;
    let (first, rest) = body.split_at(9);
    let mut socket = tokio::net::TcpStream::connect(its.app.address).await.unwrap();
    let head = format!(
        "POST /rest/v3/short-urls HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{first}\r\n",
        its.editor,
        first.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    socket.write_all(format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let answer = Answer::parse(&answer);
    assert_eq!((answer.status, answer.json()["shortCode"].clone()), (200, json!("chunky")));
}

#[tokio::test]
async fn shlink_preflight_allows_every_origin_here_alone() {
    let its = spawn_compatible().await;
    let fields = [
        ("origin", "https://app.shlink.example"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "content-type,x-api-key"),
    ];
    let answer = its.app.send_with("OPTIONS", &format!("{BASE}/short-urls/slug"), &fields).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type,x-api-key"));
    let methods = answer.header("access-control-allow-methods").unwrap();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for path in ["/urls", "/yourls-api.php", "/health", "/restx"] {
        let answer = its.app.send_with("OPTIONS", path, &fields).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    // A page of another origin may write with a key.
    let request = reqwest::Client::new().post(format!("http://{}{BASE}/short-urls", its.app.address));
    let request = request.header("x-api-key", &its.editor).header("origin", "https://app.shlink.example");
    let request = request.header("sec-fetch-site", "cross-site").body(r#"{"longUrl":"https://example.com/"}"#);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn shlink_limit_of_visits_and_rules_are_those_of_the_link() {
    let its = spawn_compatible().await;
    let made = its.create(json!({ "longUrl": "https://a.example/", "customSlug": "few", "maxVisits": 5 })).await;
    assert_eq!((&made["meta"]["maxVisits"], &made["hasRedirectRules"]), (&json!(5), &json!(false)));
    let edited = its.rest(&its.editor, "PATCH", "/short-urls/few", json!({ "maxVisits": 7 })).await.json();
    assert_eq!(edited["meta"]["maxVisits"], 7);
    assert_eq!(its.codes("excludeMaxVisitsReached=true").await, "few");
    let rules = json!([
        { "target": "https://b.example/", "if": [
            { "type": "device", "value": "ios" }, { "type": "query", "key": "from", "value": "mail" }] },
        { "target": "https://c.example/", "if": [{ "type": "country", "value": "DE" }] },
    ]);
    let link = its.app.send_as(&its.admin, "GET", "/urls?short_code=few", "").await.json();
    let path = format!("/urls/{}", link[0]["id"]);
    let changed = its.app.send_as(&its.admin, "PATCH", &path, &json!({ "rules": rules }).to_string()).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let shown = its.get("/short-urls/few/redirect-rules").await;
    let expected = json!({ "defaultLongUrl": "https://a.example/", "redirectRules": [
        { "longUrl": "https://b.example/", "priority": 1, "conditions": [
            { "type": "device", "matchKey": null, "matchValue": "ios" },
            { "type": "query-param", "matchKey": "from", "matchValue": "mail" }] },
        { "longUrl": "https://c.example/", "priority": 2, "conditions": [
            { "type": "geolocation-country-code", "matchKey": null, "matchValue": "DE" }] },
    ] });
    assert_eq!(shown, expected);
    assert_eq!(its.get("/short-urls/few").await["hasRedirectRules"], true);
    let freed = its.rest(&its.editor, "PATCH", "/short-urls/few", json!({ "maxVisits": null })).await.json();
    assert_eq!(freed["meta"]["maxVisits"], Value::Null);
}
