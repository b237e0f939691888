//! The API of YOURLS (`COMPAT=yourls`).

use serde_json::{Value, json};
use tern_admin::AdminConfig;
use tern_admin::config::Compat;
use tern_common::OwnAddresses;
use tern_common::config::Setting;
use tern_common::token::{NewToken, Role, Secret};

use crate::support::{Answer, App, Setup, spawn_app, spawn_app_with};

const PATH: &str = "/yourls-api.php";

/// An app with both APIs of other services, and with tokens.
pub struct Compatible {
    pub app: App,
    pub ann: Value,
    pub editor: String,
    pub viewer: String,
    /// The token of another user.
    pub other: String,
    /// A token without a user.
    pub admin: String,
}

pub async fn spawn_compatible() -> Compatible {
    let compat = Compat { yourls: true, shlink: true };
    let own_addresses = OwnAddresses::parse("https://go.example").unwrap();
    let config =
        AdminConfig { compat, own_addresses, body_limit: bytesize::ByteSize::kib(4), ..AdminConfig::default() };
    spawn_compatible_with(Setup { config, ..Setup::default() }).await
}

pub async fn spawn_compatible_with(setup: Setup) -> Compatible {
    let app = spawn_app_with(setup).await;
    let (ann, ben) = (app.create_user("ann").await, app.create_user("ben").await);
    let editor = token(&app, "ann", Role::Editor, Some(&ann)).await;
    let viewer = token(&app, "ann-reads", Role::Viewer, Some(&ann)).await;
    let other = token(&app, "ben", Role::Editor, Some(&ben)).await;
    let admin = token(&app, "all", Role::Admin, None).await;
    Compatible { app, ann, editor, viewer, other, admin }
}

pub async fn token(app: &App, name: &str, role: Role, user: Option<&Value>) -> String {
    let secret = Secret::generate();
    let user_id = user.and_then(|user| user["id"].as_i64()).and_then(tern_common::Id::new);
    let token = NewToken { name: name.parse().unwrap(), role, hash: secret.hash(), expires_at: None, user_id };
    app.store.insert_token(token).await.unwrap();
    secret.reveal().to_owned()
}

impl Compatible {
    async fn yourls(&self, token: &str, query: &str) -> Answer {
        self.app.get(&format!("{PATH}?{query}&format=json&signature={token}")).await
    }

    async fn add(&self, query: &str) -> Value {
        let answer = self.yourls(&self.editor, &format!("action=shorturl&{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    }
}

fn check_failure(answer: &Answer, status: u16, code: Option<&str>, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["statusCode"], json!(status.to_string()), "{body}");
    assert_eq!(body["errorCode"], json!(status.to_string()), "{body}");
    assert_eq!(body.get("code").and_then(Value::as_str), code, "{body}");
    assert_eq!(body.get("status").and_then(Value::as_str), code.map(|_| "fail"), "{body}");
    assert!(body["message"].as_str().unwrap().contains(message), "{body}");
}

#[tokio::test]
async fn paths_of_other_services_are_unknown_unless_configured() {
    let app = spawn_app().await;
    for path in [PATH, "/rest/v3/short-urls", "/rest/v3/health", "/rest/health", "/rest"] {
        app.get(path).await.check_error(404, "There is nothing at this path");
    }
}

#[tokio::test]
async fn yourls_links_are_created_read_and_counted() {
    let its = spawn_compatible().await;
    let made = its.add("url=https%3A%2F%2Fwww.example.com%2F%C3%A9%3Fa%3D1&keyword=sale&title=A+%26+b").await;
    assert_eq!(made["shorturl"], "https://go.example/sale");
    assert_eq!((&made["status"], &made["code"]), (&json!("success"), &json!("")), "{made}");
    assert_eq!((&made["statusCode"], &made["errorCode"], &made["title"]), (&json!("200"), &json!(""), &json!("A & b")));
    let url = &made["url"];
    assert_eq!((&url["keyword"], &url["title"], &url["ip"]), (&json!("sale"), &json!("A & b"), &json!("")), "{url}");
    assert_eq!(url["url"], "https://www.example.com/é?a=1");
    let date = url["date"].as_str().unwrap();
    assert!(date.len() == 19 && date.as_bytes()[10] == b' ', "{date}");
    let generated = its.add("url=https://example.com/2").await;
    assert_eq!(generated["url"]["keyword"].as_str().unwrap().len(), 6);

    for short in ["sale", "https%3A%2F%2Fgo.example%2Fsale", "/sale/"] {
        let found = its.yourls(&its.viewer, &format!("action=expand&shorturl={short}")).await.json();
        assert_eq!((&found["longurl"], &found["message"]), (&url["url"], &json!("success")), "{found}");
    }
    let stats = its.yourls(&its.viewer, "action=url-stats&shorturl=sale").await.json();
    assert_eq!(stats["link"]["clicks"], "0");
    assert_eq!((&stats["link"]["timestamp"], &stats["link"]["url"]), (&url["date"], &url["url"]));
    let totals = json!({ "total_links": "2", "total_clicks": "0" });
    assert_eq!(its.yourls(&its.viewer, "action=db-stats").await.json()["db-stats"], totals);
    assert_eq!(its.yourls(&its.viewer, "action=version").await.json()["statusCode"], "200");
    // The link belongs to the user of the token.
    let links = its.app.send_as(&its.admin, "GET", "/urls?short_code=sale", "").await.json();
    assert_eq!(links[0]["user_id"], its.ann["id"]);
}

#[tokio::test]
async fn yourls_stats_list_links_by_filter_limit_and_start() {
    let its = spawn_compatible().await;
    for n in 0..5 {
        its.add(&format!("url=https://example.com/&keyword=code{n}")).await;
    }
    let codes = async |query: &str| {
        let answer = its.yourls(&its.viewer, &format!("action=stats&{query}")).await.json();
        assert_eq!(answer["stats"], json!({ "total_links": "5", "total_clicks": "0" }), "{query}");
        let links = answer["links"].as_object().unwrap().clone();
        let code = |n| links[&format!("link_{n}")]["shorturl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (1..=links.len()).map(code).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(codes("filter=last&limit=2").await, "code4 code3");
    assert_eq!(codes("filter=last&limit=2&start=1").await, "code3 code2");
    assert_eq!(codes("filter=last&limit=3&start=4").await, "code0");
    assert_eq!(codes("filter=last&limit=3&start=9").await, "");
    assert_eq!(codes("filter=bottom&limit=2").await, "code0 code1");
    assert_eq!(codes("filter=top&limit=1").await, "code4");
    assert_eq!(codes("limit=0").await, "");
    assert_eq!(codes("").await.split(' ').count(), 5);
    assert_eq!(codes("filter=rand&limit=3").await.split(' ').count(), 3);
    for wrong in ["filter=best", "limit=x", "start=-1"] {
        check_failure(&its.yourls(&its.viewer, &format!("action=stats&{wrong}")).await, 400, None, "must be");
    }
}

#[tokio::test]
async fn yourls_failures_have_their_codes() {
    let its = spawn_compatible().await;
    its.add("url=https://example.com/&keyword=sale").await;
    let shorten = async |query: &str| its.yourls(&its.editor, &format!("action=shorturl&{query}")).await;
    check_failure(
        &shorten("url=https://example.com/&keyword=sale").await,
        400,
        Some("error:keyword"),
        "sale already exists",
    );
    check_failure(&shorten("url=https://example.com/&keyword=a+b").await, 400, Some("error:keyword"), "short code");
    check_failure(&shorten("url=https://example.com/&keyword=rest").await, 400, Some("error:keyword"), "reserved");
    check_failure(&shorten("").await, 400, Some("error:nourl"), "Missing or malformed URL");
    check_failure(&shorten("url=").await, 400, Some("error:nourl"), "Missing or malformed URL");
    check_failure(&shorten("url=nonsense").await, 400, Some("error:nourl"), "URL");
    check_failure(&shorten("url=javascript:alert(1)").await, 400, Some("error:nourl"), "URL");
    check_failure(&shorten("url=https://go.example/sale").await, 400, Some("error:noloop"), "points at this Tern");
    let long = format!("url=https://example.com/&title={}", "x".repeat(256));
    check_failure(&shorten(&long).await, 400, Some("error:title"), "title");
    let get = async |query: &str| its.yourls(&its.editor, query).await;
    check_failure(&get("action=expand&shorturl=nope").await, 404, None, "short URL not found");
    check_failure(&get("action=url-stats&shorturl=nope").await, 404, None, "short URL not found");
    check_failure(&get("action=expand").await, 400, None, "shorturl");
    check_failure(&get("action=delete&shorturl=sale").await, 400, None, "action");
    check_failure(&get("").await, 400, None, "action");
}

#[tokio::test]
async fn yourls_needs_a_token_of_a_user_and_its_role() {
    let its = spawn_compatible().await;
    its.add("url=https://example.com/&keyword=sale").await;
    let get = async |query: &str| its.app.get(&format!("{PATH}?format=json&{query}")).await;
    check_failure(&get("action=version").await, 403, None, "signature");
    check_failure(&get("action=version&signature=wrong").await, 403, None, "unknown");
    check_failure(&get("action=version&username=x&password=wrong").await, 403, None, "unknown");
    let timestamped = get(&format!("action=version&timestamp=1796000000&signature={}", its.editor)).await;
    check_failure(&timestamped, 403, None, "timestamp");
    assert_eq!(get(&format!("action=version&username=anybody&password={}", its.editor)).await.status, 200);
    // A session or an Authorization is no signature.
    let authorization = format!("Bearer {}", its.editor);
    let answer =
        its.app.send_with("GET", &format!("{PATH}?action=version"), &[("authorization", &authorization)]).await;
    assert_eq!(answer.status, 403);

    let create = "action=shorturl&url=https://example.com/";
    check_failure(&its.yourls(&its.viewer, create).await, 403, None, "role");
    check_failure(&its.yourls(&its.admin, create).await, 403, None, "--user");
    assert_eq!(its.yourls(&its.admin, "action=expand&shorturl=sale").await.status, 200);
    check_failure(&its.yourls(&its.other, "action=expand&shorturl=sale").await, 404, None, "not found");
    let of_other = its.yourls(&its.other, "action=stats").await.json();
    assert_eq!((&of_other["links"], &of_other["stats"]["total_links"]), (&json!({}), &json!("0")));
}

#[tokio::test]
async fn yourls_token_is_needed_on_an_open_server() {
    let mut setup = Setup::default();
    setup.config.compat = Compat { yourls: true, shlink: true };
    let app = spawn_app_with(setup).await;
    assert_eq!(app.get("/urls").await.status, 200);
    check_failure(&app.get(&format!("{PATH}?action=version&format=json")).await, 403, None, "token create");
    assert_eq!(app.get("/rest/v3/short-urls").await.status, 401);
}

#[tokio::test]
async fn yourls_parameters_are_read_from_forms() {
    let its = spawn_compatible().await;
    let pairs = format!("action=shorturl&url=https%3A%2F%2Fexample.com%2F&format=json&signature={}", its.editor);
    let form = Some("application/x-www-form-urlencoded; charset=utf-8");
    let answer = its.app.send("POST", PATH, form, format!("{pairs}&keyword=form")).await;
    assert_eq!((answer.status, answer.json()["url"]["keyword"].clone()), (200, json!("form")));
    // A body has precedence over the query.
    let answer =
        its.app.send("POST", &format!("{PATH}?keyword=query&title=T"), form, format!("{pairs}&keyword=both")).await;
    assert_eq!((answer.json()["url"]["keyword"].clone(), answer.json()["title"].clone()), (json!("both"), json!("T")));
    let parts = reqwest::multipart::Form::new()
        .text("action", "shorturl")
        .text("url", "https://example.com/é")
        .text("keyword", "parts")
        .text("format", "json")
        .text("signature", its.editor.clone());
    let request = reqwest::Client::new().post(format!("http://{}{PATH}", its.app.address)).multipart(parts);
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.json()["url"]["keyword"].clone()), (200, json!("parts")), "{answer:?}");
    // A browser extension sends from an origin of its own.
    let url = format!("http://{}{PATH}", its.app.address);
    let request = reqwest::Client::new()
        .post(url)
        .header("origin", "chrome-extension://abc")
        .header("sec-fetch-site", "cross-site");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(pairs);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let large = its.app.send("POST", PATH, form, "x".repeat(5_000)).await;
    assert_eq!(large.status, 413, "{large:?}");
    assert!(large.body.contains("<statusCode>413</statusCode>"), "{large:?}");
    assert_eq!(its.app.send("POST", PATH, Some("text/plain"), "action=version").await.status, 400);
    its.app.send("PUT", PATH, form, "").await.check_error(405, "not allowed");
}

#[tokio::test]
async fn yourls_answers_in_each_format() {
    let its = spawn_compatible().await;
    let get = async |query: &str| its.app.get(&format!("{PATH}?{query}&signature={}", its.editor)).await;
    let made = get("action=shorturl&url=https://example.com/%3Fa%26b&keyword=one&title=%3Cb%3E").await;
    assert_eq!(made.header("content-type"), Some("application/xml; charset=utf-8"));
    assert!(
        made.body.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><result><url><keyword>one</keyword>"),
        "{made:?}"
    );
    assert!(made.body.contains("<title>&lt;b&gt;</title>") && made.body.contains("?a&amp;b"), "{made:?}");
    let simple = get("action=shorturl&url=https://example.com/&keyword=two&format=simple").await;
    assert_eq!(
        (simple.body.as_str(), simple.header("content-type")),
        ("https://go.example/two", Some("text/plain; charset=utf-8"))
    );
    assert_eq!(get("action=expand&shorturl=two&format=simple").await.body, "https://example.com/");
    let missing = get("action=expand&shorturl=nope&format=simple").await;
    assert_eq!((missing.status, missing.body.as_str()), (404, "Error: short URL not found"));
    assert!(get("action=stats&format=simple").await.body.contains("json"));
    let jsonp = get("action=version&format=jsonp&callback=a.b$1").await;
    assert_eq!(jsonp.header("content-type"), Some("application/javascript; charset=utf-8"));
    assert!(jsonp.body.starts_with("/**/a.b$1({\"version\":") && jsonp.body.ends_with("});"), "{jsonp:?}");
    for wrong in ["", "&callback=", "&callback=alert(1)//", "&callback=%3Cscript%3E"] {
        check_failure(&get(&format!("action=version&format=jsonp{wrong}")).await, 400, None, "callback");
    }
    check_failure(&get("action=version&format=yaml").await, 400, None, "format");
    assert!(get("action=stats").await.body.contains("<link_1><shorturl>https://go.example/"));
}
