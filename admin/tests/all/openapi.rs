//! The description of the API is complete and contains nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tern_common::short_code::RESERVED;

use crate::support::{App, spawn_app};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

async fn description(app: &App) -> Value {
    let answer = app.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    answer.json()
}

/// Returns each operation with its method and path.
fn operations(description: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = METHODS.into_iter().filter_map(|method| Some((method, item.get(method)?)));
        methods.map(|(method, operation)| (format!("{method} {path}"), operation)).collect::<Vec<_>>()
    })
}

/// Collects every object within a value.
fn objects<'a>(value: &'a Value, found: &mut Vec<&'a serde_json::Map<String, Value>>) {
    match value {
        Value::Object(object) => {
            found.push(object);
            object.values().for_each(|value| objects(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| objects(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn description_contains_exactly_the_routes_and_methods() {
    let app = spawn_app().await;
    let description = description(&app).await;
    let described: BTreeMap<&String, BTreeSet<String>> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path, item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect()))
        .collect();
    let mut routed = BTreeMap::new();
    let paths: Vec<String> = tern_admin::paths().collect();
    for path in &paths {
        let answer = app.send("BREW", &path.replace("{id}", "1"), None, "").await;
        let allowed = answer.header("allow").unwrap_or_else(|| panic!("{path}: {answer:?}"));
        // Each GET also answers HEAD, which the description states once for all.
        let methods = allowed.split(',').filter(|method| *method != "HEAD").map(str::to_owned);
        routed.insert(path, methods.collect::<BTreeSet<String>>());
    }
    let redirects = ["/{short_code}", "/{short_code}+"].map(str::to_owned);
    for path in &redirects {
        routed.insert(path, BTreeSet::from(["GET".to_owned()]));
    }
    assert_eq!(described, routed);
}

#[tokio::test]
async fn each_operation_is_described_in_full() {
    let app = spawn_app().await;
    let description = description(&app).await;
    assert_eq!(description["openapi"], "3.1.0");
    let tags: Vec<&Value> = description["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&description) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}: its id is taken");
        assert!(operation["summary"].is_string(), "{name} has no summary");
        let own_tags = operation["tags"].as_array().unwrap();
        assert!(own_tags.len() == 1 && tags.contains(&&own_tags[0]), "{name}: {own_tags:?}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string() && !parameter["schema"].is_null(), "{name}: {parameter}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{name} never succeeds");
        for (status, response) in responses {
            if status.starts_with(['2', '3']) {
                assert!(!response["description"].as_str().unwrap().is_empty(), "{name} {status}");
                assert!(!response["headers"]["X-Request-Id"].is_null(), "{name} {status}");
                assert_eq!(
                    response["content"].is_null(),
                    ["204", "301", "302", "304", "307", "308"].contains(&status.as_str()),
                    "{name} {status}"
                );
            } else {
                let reference = response["$ref"].as_str();
                assert!(reference.is_some(), "{name} {status} is described apart from the others of its kind");
            }
        }
    }
    assert_eq!(ids.len(), 57);
}

#[tokio::test]
async fn cursor_past_the_end_matches_its_described_pattern() {
    let app = spawn_app().await;
    app.post("/users", json!({ "username": "ada", "email": "ada@mail.example" })).await;
    let answer = app.get("/users?page=9").await;
    let link = answer.header("link").unwrap();
    let cursor = link.split(['=', '&']).nth(1).unwrap();
    let description = description(&app).await;
    let parameters = description["paths"]["/users"]["get"]["parameters"].as_array().unwrap();
    for name in ["after", "before"] {
        let parameter = parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
        let pattern = parameter["schema"]["pattern"].as_str().unwrap();
        assert!(pattern.starts_with(&format!("^([0-9]{{1,18}}|{cursor}|")), "{name}: {pattern}");
    }
}

#[tokio::test]
async fn description_contains_its_server_and_the_redirect() {
    let app = spawn_app().await;
    let description = description(&app).await;
    assert_eq!(description["servers"][0]["url"], "/");
    let follow = &description["paths"]["/{short_code}"]["get"];
    assert_eq!(follow["parameters"][0]["schema"]["pattern"], "^[0-9A-Za-z_-]+$");
    for status in ["301", "302", "307", "308", "404", "410", "429", "503"] {
        assert!(follow["responses"][status].is_object(), "{status}: {follow}");
    }
    assert!(follow["responses"]["302"]["headers"]["Location"].is_object(), "{follow}");
    assert!(follow["responses"]["401"].is_null(), "a redirect requires a token");
}

/// A program that follows the description must not be refused for a target that the pattern admits.
#[tokio::test]
async fn described_target_pattern_requires_a_host() {
    let app = spawn_app().await;
    let description = description(&app).await;
    for name in ["CreateUrl", "UpdateUrl"] {
        let target = &description["components"]["schemas"][name]["properties"]["original_url"];
        let target = description.pointer(target["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap();
        assert_eq!(target["pattern"], r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\\]\S*$", "{name}");
    }
    app.create_user("ann").await;
    for target in ["https:x", "https:/x", "https:///x", "http:\\\\x", "https://?x", "https://#x"] {
        let body = json!({ "user_id": 1, "original_url": target });
        app.post("/urls", body).await.check_error(400, "original_url");
    }
}

#[tokio::test]
async fn references_resolve_and_errors_have_examples() {
    let app = spawn_app().await;
    let description = description(&app).await;
    let mut found = Vec::new();
    objects(&description, &mut found);
    for reference in found.iter().filter_map(|object| object.get("$ref")?.as_str()) {
        assert!(description.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    let errors = description["components"]["responses"].as_object().unwrap();
    for (name, error) in errors {
        let example = &error["content"]["application/json"]["example"];
        assert!(example["error"].is_string() && example["message"].is_string(), "{name}");
        let reason = example["error"].as_str().unwrap();
        assert_eq!(reason.replace(' ', ""), *name);
        assert!(!error["headers"]["X-Request-Id"].is_null(), "{name}");
    }
    assert!(!errors["TooManyRequests"]["headers"]["Retry-After"].is_null());
    assert_eq!(description["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

/// Returns a value of a schema, composed of the examples of its parts.
fn example(description: &Value, schema: &Value) -> Option<Value> {
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return Some(example.clone());
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        return forms.iter().find_map(|form| example(description, form));
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return example(description, description.pointer(reference.trim_start_matches('#'))?);
    }
    if schema["type"] == "array" || schema["type"] == json!(["array", "null"]) {
        return Some(json!([example(description, &schema["items"])?]));
    }
    let is_object = schema["type"] == "object" || schema["type"] == json!(["object", "null"]);
    if is_object && schema["properties"].is_null() {
        return Some(json!({}));
    }
    let fields = schema["properties"].as_object()?.iter();
    fields.map(|(name, field)| Some((name.clone(), example(description, field)?))).collect::<Option<_>>()
}

#[tokio::test]
async fn each_body_and_answer_has_an_example() {
    let app = spawn_app().await;
    let description = description(&app).await;
    for (name, operation) in operations(&description) {
        let body = operation["requestBody"]["content"].as_object();
        let answers = operation["responses"].as_object().unwrap().values();
        let contents = answers.filter_map(|answer| answer["content"].as_object()).chain(body).flatten();
        for (kind, content) in contents.filter(|(kind, _)| !name.contains("/docs") || kind.contains("json")) {
            let example = content.get("example").cloned().or_else(|| example(&description, &content["schema"]));
            assert!(example.is_some(), "{name}: {kind}");
        }
    }
}

/// Each schema lists exactly the fields of the answers.
#[tokio::test]
async fn answers_have_exactly_the_fields_of_their_schemas() {
    let app = spawn_app().await;
    let description = description(&app).await;
    let ann = app.create_user("ann").await;
    let url = app.shorten(&ann, "https://example.com/").await;
    let event = app.record_event(&url, "shared").await;
    let stats = app.get("/urls/1/stats").await.json();
    let overall = app.get("/stats").await.json();
    let series = app.get("/stats/series?url_id=1").await.json();
    let report = app.upload("username,email\nann,ann@mail.example\n").await.json();
    let error = app.get("/users/99").await.json();
    let token = app.post("/tokens", json!({ "name": "ops", "role": "admin" })).await.json();
    for (name, row) in [
        ("User", ann),
        ("Url", url),
        ("Event", event),
        ("Stats", stats),
        ("OverallStats", overall),
        ("LinksSeries", series),
        ("ImportReport", report),
        ("Error", error),
        ("CreatedToken", token),
    ] {
        let schema = &description["components"]["schemas"][name];
        let given: BTreeSet<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(given, schema["properties"].as_object().unwrap().keys().collect(), "{name}");
        let required: Vec<&str> =
            schema["required"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()).collect();
        assert_eq!(given, required.iter().map(ToString::to_string).collect::<Vec<_>>().iter().collect(), "{name}");
    }
}

#[tokio::test]
async fn documentation_page_is_self_contained_and_restricted() {
    let app = spawn_app().await;
    let page = app.get("/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let style = app.get("/docs/docs.css").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    let script = app.get("/docs/docs.js").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    for answer in [&page, &style, &script] {
        assert_eq!(answer.status, 200);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(!answer.body.contains("http:") && !answer.body.contains("https:"), "the page refers to another host");
    }
    for attribute in ["href=\"", "src=\""] {
        let named = page.body.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap());
        for path in named.filter(|path| path.starts_with('/')) {
            assert_eq!(app.get(path).await.status, 200, "{path}");
        }
    }
    let scripts: Vec<&str> = page.body.split("<script").skip(1).collect();
    assert!(scripts.iter().all(|script| script.contains("defer></script>")), "the page contains a script");
    assert!(!page.body.contains("style=") && !page.body.contains("onload"), "the policy allows scripts");
    assert!(!script.body.contains("innerHTML") && !script.body.contains("eval("), "text was read as markup");
}

#[tokio::test]
async fn examples_of_bodies_are_accepted() {
    let app = spawn_app().await;
    let description = description(&app).await;
    let example = |name: &str| example(&description, &description["components"]["schemas"][name]).unwrap();
    let user = app.post("/users", example("CreateUser")).await;
    assert_eq!(user.status, 201, "{user:?}");
    assert_eq!(app.put("/users/1", example("UpdateUser")).await.status, 200);
    let with = |mut body: Value, ids: &[&str]| {
        ids.iter().for_each(|id| body[*id] = json!(1));
        body
    };
    let url = app.post("/urls", with(example("CreateUrl"), &["user_id"])).await;
    assert_eq!(url.status, 201, "{url:?}");
    assert_eq!(app.put("/urls/1", example("UpdateUrl")).await.status, 200);
    let replaced = app.put("/urls/external/order-1", with(example("ReplaceUrl"), &["user_id"])).await;
    assert_eq!(replaced.status, 200, "{replaced:?}");
    let bulk = app.post("/urls/bulk", json!([{ "user_id": 1, "original_url": "https://example.com/hello" }])).await;
    assert_eq!(bulk.status, 200, "{bulk:?}");
    app.send_json("PATCH", "/urls", &[], example("ChangeUrls")).await.check_error(404, "URL 7 not found");
    app.send_json("DELETE", "/urls", &[], example("DeleteUrls")).await.check_error(409, "0 links match");
    let event = app.post("/events", with(example("CreateEvent"), &["user_id", "url_id"])).await;
    assert_eq!(event.status, 201, "{event:?}");
    let file = &description["components"]["schemas"]["ImportUsers"]["properties"]["file"]["example"];
    let report = app.upload(file.as_str().unwrap()).await;
    assert_eq!((report.status, &report.json()["imported"]), (201, &json!(1)), "{report:?}");
}

#[tokio::test]
async fn contract_contains_each_described_operation_and_reserved_word() {
    let contract = include_str!("../../../docs/CONTRACT.md");
    let app = spawn_app().await;
    for (operation, _) in operations(&description(&app).await) {
        let (method, path) = operation.split_once(' ').unwrap();
        let method = method.to_uppercase();
        let is_there = ["`", " ", "?"].iter().any(|end| contract.contains(&format!("`{method} {path}{end}")));
        assert!(is_there, "docs/CONTRACT.md lacks {method} {path}");
    }
    for word in RESERVED {
        assert!(contract.contains(&format!("`{word}`")), "docs/CONTRACT.md lacks the reserved word {word}");
    }
}
