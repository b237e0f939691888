//! The REST API of Shlink (`COMPAT=shlink`).

use serde_json::{Value, json};

use crate::compat_yourls::{Compatible, spawn_compatible, spawn_compatible_with};
use crate::support::{Answer, Setup};

pub(crate) const BASE: &str = "/rest/v3";

impl Compatible {
    pub(crate) async fn rest(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = reqwest::Client::new().request(method, format!("http://{}{BASE}{path}", self.app.address));
        // The node client sends this header without a body, too.
        let request = request.header("x-api-key", key).header("content-type", "application/json");
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}: {answer:?}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.rest(&self.viewer, "GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    pub(crate) async fn create(&self, body: Value) -> Value {
        let answer = self.rest(&self.editor, "POST", "/short-urls", body.clone()).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        answer.json()
    }

    async fn click(&self, code: &str, details: Value) {
        let link = self.app.send_as(&self.admin, "GET", &format!("/urls?short_code={code}"), "").await.json();
        let event = json!({ "url_id": link[0]["id"], "event_type": "clicked", "details": details });
        let answer = self.app.send_as(&self.admin, "POST", "/events", &event.to_string()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    pub(crate) async fn codes(&self, query: &str) -> String {
        let list = self.get(&format!("/short-urls?{query}")).await;
        let data = list["shortUrls"]["data"].as_array().unwrap().clone();
        data.iter().map(|link| link["shortCode"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) async fn check(&self, method: &str, path: &str, body: Value, status: u16, name: &str) -> Value {
        check_problem(&self.rest(&self.editor, method, path, body).await, status, name)
    }
}

pub(crate) fn check_problem(answer: &Answer, status: u16, name: &str) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["type"], format!("https://shlink.io/api/error/{name}"), "{problem}");
    assert_eq!(problem["status"], json!(status), "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

#[tokio::test]
async fn shlink_short_url_is_created_read_edited_and_deleted() {
    let its = spawn_compatible().await;
    let made = its
        .create(json!({
            "longUrl": "https://www.example.com/s", "customSlug": "slug", "title": "T", "tags": ["One", "two"],
            "validSince": "2020-01-01T02:00:00+02:00", "validUntil": "2098-01-01T00:00:00+00:00", "forwardQuery": true,
            "shortCodeLength": 9, "maxVisits": null, "crawlable": false, "domain": "go.example", "findIfExists": false,
        }))
        .await;
    let created = made["dateCreated"].as_str().unwrap();
    assert!(created.ends_with("+00:00") && created.len() == 25, "{created}");
    let expected = json!({
        "shortCode": "slug", "shortUrl": "https://go.example/slug", "longUrl": "https://www.example.com/s",
        "dateCreated": created, "visitsSummary": { "total": 0, "nonBots": 0, "bots": 0 }, "tags": ["one", "two"],
        "meta": {
            "validSince": "2020-01-01T00:00:00+00:00", "validUntil": "2098-01-01T00:00:00+00:00", "maxVisits": null,
        },
        "domain": null, "title": "T", "crawlable": false, "forwardQuery": true, "hasRedirectRules": false,
    });
    assert_eq!(made, expected);
    its.click("slug", json!({})).await;
    its.click("slug", json!({ "bot": "Googlebot" })).await;
    let found = its.get("/short-urls/slug?domain=go.example").await;
    assert_eq!(found["visitsSummary"], json!({ "total": 2, "nonBots": 1, "bots": 1 }));
    let rules = json!({ "defaultLongUrl": "https://www.example.com/s", "redirectRules": [] });
    assert_eq!(its.get("/short-urls/slug/redirect-rules").await, rules);

    let edit = async |body| its.rest(&its.editor, "PATCH", "/short-urls/slug", body).await.json();
    let body = json!({ "title": null, "tags": ["x"], "maxVisits": null, "forwardQuery": false, "validUntil": null });
    let edited = edit(body).await;
    assert_eq!((&edited["title"], &edited["tags"]), (&Value::Null, &json!(["x"])), "{edited}");
    assert_eq!((&edited["forwardQuery"], &edited["meta"]["validUntil"]), (&json!(false), &Value::Null), "{edited}");
    assert_eq!(edited["meta"]["validSince"], "2020-01-01T00:00:00+00:00");
    assert_eq!(edit(json!({})).await, edited);
    assert_eq!(edit(json!({ "longUrl": "https://b.example/" })).await["longUrl"], "https://b.example/");
    let deleted = its.rest(&its.editor, "DELETE", "/short-urls/slug", Value::Null).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert!(deleted.header("tern-visible").is_some());
    its.check("GET", "/short-urls/slug", Value::Null, 404, "short-url-not-found").await;
}

#[tokio::test]
async fn shlink_creation_that_tern_cannot_hold_is_refused() {
    let its = spawn_compatible().await;
    let with = |name: &str, value: Value| json!({ "longUrl": "https://example.com/", name: value });
    for (name, value) in [
        ("maxVisits", json!(0)),
        ("maxVisits", json!("5")),
        ("crawlable", json!(true)),
        ("deviceLongUrls", json!({ "ios": "https://i.example/" })),
        ("domain", json!("other.example")),
        ("customSlug", json!("a/b")),
        ("customSlug", json!("rest")),
        ("longUrl", json!("nonsense")),
        ("longUrl", json!("https://go.example/slug")),
        ("longUrl", json!(null)),
        ("longUrl", json!(7)),
        ("validUntil", json!("soon")),
        ("validSince", json!(5)),
        ("tags", json!(["a,b"])),
        ("tags", json!("a")),
        ("title", json!("x".repeat(256))),
        ("title", json!(["x"])),
        ("forwardQuery", json!("yes")),
    ] {
        let problem = its.check("POST", "/short-urls", with(name, value), 400, "invalid-data").await;
        assert_eq!(problem["invalidElements"], json!([name]), "{problem}");
    }
    let problem = its.check("POST", "/short-urls", json!({}), 400, "invalid-data").await;
    assert_eq!(problem["invalidElements"], json!(["longUrl"]));
    let past = with("validUntil", json!("2020-01-01T00:00:00Z"));
    let problem = its.check("POST", "/short-urls", past, 400, "invalid-data").await;
    assert_eq!(problem["invalidElements"], json!([]), "dashboards read the elements of each invalid-data");
    its.check("POST", "/short-urls", json!([]), 400, "invalid-data").await;
    assert_eq!(its.codes("").await, "", "a refused short URL was created");
    its.create(with("customSlug", json!("slug"))).await;
    let problem = its.check("POST", "/short-urls", with("customSlug", json!("slug")), 400, "non-unique-slug").await;
    assert_eq!(problem["customSlug"], "slug");
    its.check("PATCH", "/short-urls/slug", json!({ "maxVisits": -1 }), 400, "invalid-data").await;
    its.check("PATCH", "/short-urls/slug", json!({ "longUrl": null }), 400, "invalid-data").await;
    its.check("PATCH", "/short-urls/nope", json!({}), 404, "short-url-not-found").await;
    its.check("DELETE", "/short-urls/slug?domain=other.example", Value::Null, 404, "short-url-not-found").await;
}

#[tokio::test]
async fn shlink_short_url_with_equal_values_is_found_if_wanted() {
    let its = spawn_compatible().await;
    let body = json!({ "longUrl": "https://example.com/", "tags": ["a"], "findIfExists": true });
    let first = its.create(body.clone()).await;
    assert_eq!(its.create(body).await["shortCode"], first["shortCode"]);
    let other = its.create(json!({ "longUrl": "https://example.com/", "tags": ["b"], "findIfExists": true })).await;
    assert_ne!(other["shortCode"], first["shortCode"]);
    let again = its.create(json!({ "longUrl": "https://example.com/", "tags": ["a"] })).await;
    assert_ne!(again["shortCode"], first["shortCode"]);
}

#[tokio::test]
async fn shlink_shorten_answers_a_bookmark_with_its_key_in_the_query() {
    let its = spawn_compatible().await;
    let path = format!("{BASE}/short-urls/shorten?longUrl=https%3A%2F%2Fexample.com%2F&apiKey={}", its.editor);
    let made = its.app.get(&path).await;
    assert_eq!(made.status, 200, "{made:?}");
    let text = its.app.get(&format!("{path}&format=txt")).await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(json!(text.body), made.json()["shortUrl"]);
    let viewed = its.app.get(&path.replace(&its.editor, &its.viewer)).await;
    check_problem(&viewed, 403, "forbidden");
    its.check("GET", "/short-urls/shorten", Value::Null, 400, "invalid-data").await;
    // Only this operation takes the key from the query.
    check_problem(&its.app.get(&format!("{BASE}/tags?apiKey={}", its.editor)).await, 401, "missing-authentication");
}

#[tokio::test]
async fn shlink_list_has_filters_orders_and_pages() {
    let its = spawn_compatible().await;
    for (slug, title, tags) in [("a1", "Zoo", vec!["x"]), ("b2", "Ape", vec!["x", "y"]), ("c3", "Cow", vec!["y"])] {
        let target = format!("https://example.com/{slug}");
        its.create(json!({ "longUrl": target, "customSlug": slug, "title": title, "tags": tags })).await;
    }
    its.click("b2", json!({})).await;
    let list = its.get("/short-urls?page=2&itemsPerPage=2").await;
    let pagination = json!({
        "currentPage": 2, "pagesCount": 2, "itemsPerPage": 2, "itemsInCurrentPage": 1, "totalItems": 3,
    });
    assert_eq!(list["shortUrls"]["pagination"], pagination);
    for (query, expected) in [
        ("", "c3 b2 a1"),
        ("itemsPerPage=-1", "c3 b2 a1"),
        ("page=9", ""),
        ("orderBy=title-ASC", "b2 c3 a1"),
        ("orderBy=title-DESC", "a1 c3 b2"),
        ("orderBy=shortCode-ASC", "a1 b2 c3"),
        ("orderBy=dateCreated-ASC", "a1 b2 c3"),
        ("orderBy=visits-DESC&itemsPerPage=1", "b2"),
        ("orderBy=nonBotVisits-DESC&itemsPerPage=1", "b2"),
        ("tags%5B%5D=x", "b2 a1"),
        ("tags%5B%5D=x&tags%5B%5D=y", "c3 b2 a1"),
        ("tags%5B%5D=x&tags%5B%5D=y&tagsMode=all", "b2"),
        ("excludeTags[]=x", "c3"),
        ("excludeTags[]=x&excludeTags[]=y&excludeTagsMode=any", ""),
        ("searchTerm=ape", "b2"),
        ("searchTerm=example.com%2Fc", "c3"),
        ("startDate=2024-01-01T00%3A00%3A00%2B02%3A00", "c3 b2 a1"),
        ("endDate=2024-01-01T00%3A00%3A00%2B02%3A00", ""),
        ("excludeMaxVisitsReached=true", "c3 b2 a1"),
        ("domain=DEFAULT", "c3 b2 a1"),
        ("domain=other.example", ""),
    ] {
        assert_eq!(its.codes(query).await, expected, "{query}");
    }
    its.create(json!({ "longUrl": "https://example.com/", "customSlug": "d4", "validUntil": "2098-01-01T00:00:00Z" }))
        .await;
    assert_eq!(its.codes("excludePastValidUntil=true").await, "d4 c3 b2 a1");
    its.rest(&its.editor, "PATCH", "/short-urls/d4", json!({ "validUntil": "2020-01-01T00:00:00Z" })).await.json();
    assert_eq!(its.codes("excludePastValidUntil=true").await, "c3 b2 a1");
    assert_eq!(its.codes("excludePastValidUntil=false").await, "d4 c3 b2 a1");
    for wrong in [
        "page=x",
        "itemsPerPage=x",
        "orderBy=longUrl-ASC",
        "orderBy=title-UP",
        "tagsMode=some",
        "startDate=today",
        "searchTerm=x",
        "excludePastValidUntil=maybe",
        "excludeTags[]=x&excludeTags[]=y&excludeTagsMode=all",
    ] {
        its.check("GET", &format!("/short-urls?{wrong}"), Value::Null, 400, "invalid-data").await;
    }
}

#[tokio::test]
async fn shlink_visits_are_listed_for_codes_tags_and_domains() {
    let its = spawn_compatible().await;
    for (slug, tags) in [("slug", vec!["x/y z"]), ("other", vec![])] {
        its.create(json!({ "longUrl": "https://example.com/", "customSlug": slug, "tags": tags })).await;
    }
    let details = json!({
        "short_code": "slug", "original_url": "https://example.com/", "referrer": "https://news.example/",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    });
    its.click("slug", details.clone()).await;
    its.click("slug", json!({ "bot": "Googlebot" })).await;
    its.click("other", json!({})).await;
    let visits = its.get("/short-urls/slug/visits?page=1&itemsPerPage=20").await["visits"].clone();
    let data = visits["data"].as_array().unwrap();
    assert_eq!((&data[0]["potentialBot"], &data[1]["potentialBot"]), (&json!(true), &json!(false)), "{visits}");
    let expected = json!({
        "referer": "https://news.example/", "date": data[1]["date"], "userAgent": details["user_agent"],
        "visitLocation": null, "potentialBot": false, "visitedUrl": "https://go.example/slug",
        "redirectUrl": "https://example.com/",
    });
    assert_eq!(data[1], expected);
    assert_eq!((&data[0]["referer"], &data[0]["userAgent"]), (&json!(""), &json!("")));
    let count = async |path: &str| {
        let visits = its.get(path).await["visits"].clone();
        assert_eq!(visits["pagination"]["itemsInCurrentPage"], visits["data"].as_array().unwrap().len());
        visits["pagination"]["totalItems"].as_u64().unwrap()
    };
    for (path, expected) in [
        ("/short-urls/slug/visits", 2),
        ("/short-urls/slug/visits?excludeBots=true", 1),
        ("/short-urls/slug/visits?excludeBots=false", 2),
        ("/short-urls/slug/visits?startDate=2024-01-01T00%3A00%3A00%2B02%3A00", 2),
        ("/short-urls/slug/visits?startDate=2090-01-01T00%3A00%3A00Z", 0),
        ("/short-urls/slug/visits?endDate=2024-01-01T00%3A00%3A00Z", 0),
        ("/tags/x/y%20z/visits", 2),
        ("/domains/DEFAULT/visits", 3),
        ("/domains/go.example/visits", 3),
        ("/visits/non-orphan", 3),
        ("/visits/non-orphan?excludeBots=true", 2),
        ("/visits/orphan?type=invalid_short_url", 0),
    ] {
        assert_eq!(count(path).await, expected, "{path}");
    }
    let overview = json!({ "visits": {
        "nonOrphanVisits": { "total": 3, "nonBots": 2, "bots": 1 },
        "orphanVisits": { "total": 0, "nonBots": 0, "bots": 0 },
    } });
    assert_eq!(its.get("/visits").await, overview);
    its.check("GET", "/short-urls/nope/visits", Value::Null, 404, "short-url-not-found").await;
    its.check("GET", "/tags/nope/visits", Value::Null, 404, "tag-not-found").await;
    its.check("GET", "/domains/other.example/visits", Value::Null, 404, "domain-not-found").await;
    assert_eq!(
        its.rest(&its.editor, "DELETE", "/visits/orphan", Value::Null).await.json(),
        json!({ "deletedVisits": 0 })
    );
    // Another user sees none of them.
    let of_other = async |path: &str| its.rest(&its.other, "GET", path, Value::Null).await;
    check_problem(&of_other("/short-urls/slug/visits").await, 404, "short-url-not-found");
    check_problem(&of_other("/tags/x/y%20z/visits").await, 404, "tag-not-found");
    assert_eq!(of_other("/visits/non-orphan").await.json()["visits"]["pagination"]["totalItems"], 0);
    assert_eq!(of_other("/visits").await.json()["visits"]["nonOrphanVisits"]["total"], 0);
}

#[tokio::test]
async fn shlink_tags_are_counted_renamed_and_removed() {
    let its = spawn_compatible().await;
    for (slug, tags) in [("a", vec!["x", "y"]), ("b", vec!["x"]), ("c", vec![])] {
        its.create(json!({ "longUrl": "https://example.com/", "customSlug": slug, "tags": tags })).await;
    }
    let body = json!({ "longUrl": "https://example.com/", "customSlug": "theirs", "tags": ["x"] });
    assert_eq!(its.rest(&its.other, "POST", "/short-urls", body).await.status, 200);
    its.click("a", json!({})).await;
    its.click("a", json!({ "bot": "Googlebot" })).await;
    assert_eq!(its.get("/tags").await["tags"]["data"], json!(["x", "y"]));
    assert_eq!(its.get("/tags?orderBy=tag-DESC&itemsPerPage=1").await["tags"]["data"], json!(["y"]));
    assert_eq!(its.get("/tags?searchTerm=Y").await["tags"]["data"], json!(["y"]));
    let stats = its.get("/tags/stats?orderBy=shortUrlsCount-DESC").await["tags"].clone();
    let tag = |tag: &str, links: u64| {
        json!({
            "tag": tag, "shortUrlsCount": links, "visitsSummary": { "total": 2, "nonBots": 1, "bots": 1 }, "visitsCount": 2,
        })
    };
    assert_eq!(stats["data"], json!([tag("x", 2), tag("y", 1)]));
    assert_eq!(stats["pagination"]["totalItems"], 2);

    let rename = |old: &str, new: &str| json!({ "oldName": old, "newName": new });
    let renamed = its.rest(&its.editor, "PUT", "/tags", rename("x", "Z")).await;
    assert_eq!((renamed.status, renamed.body.as_str()), (204, ""));
    assert_eq!(its.get("/tags").await["tags"]["data"], json!(["y", "z"]));
    assert_eq!(its.codes("tags[]=z&orderBy=shortCode-ASC").await, "a b");
    let of_other = its.rest(&its.other, "GET", "/tags", Value::Null).await.json();
    assert_eq!(of_other["tags"]["data"], json!(["x"]), "a tag of another user was renamed");
    its.check("PUT", "/tags", rename("x", "w"), 404, "tag-not-found").await;
    its.check("PUT", "/tags", rename("z", "y"), 409, "tag-conflict").await;
    its.check("PUT", "/tags", rename("z", "a,b"), 400, "invalid-data").await;
    its.check("PUT", "/tags", json!({ "oldName": "z" }), 400, "invalid-data").await;
    assert_eq!(its.rest(&its.editor, "PUT", "/tags", rename("z", "z")).await.status, 204);
    let as_viewer = its.rest(&its.viewer, "PUT", "/tags", rename("z", "w")).await;
    check_problem(&as_viewer, 403, "forbidden-tag-operation");

    its.check("DELETE", "/tags", Value::Null, 400, "invalid-data").await;
    let removed = its.rest(&its.editor, "DELETE", "/tags?tags%5B%5D=y&tags%5B%5D=z&tags%5B%5D=nope", Value::Null).await;
    assert_eq!((removed.status, removed.body.as_str()), (204, ""));
    assert_eq!(its.get("/tags").await["tags"]["data"], json!([]));
    assert_eq!(its.codes("orderBy=shortCode-ASC").await, "a b c");
    assert_eq!(its.rest(&its.editor, "DELETE", "/tags?tags[]=nope", Value::Null).await.status, 204);
}

#[tokio::test]
async fn shlink_changes_are_audited_with_the_name_of_their_token() {
    let its = spawn_compatible_with({
        let mut setup = Setup::default();
        setup.config.compat.shlink = true;
        setup
    })
    .await;
    its.create(json!({ "longUrl": "https://example.com/", "customSlug": "slug", "tags": ["x"] })).await;
    assert_eq!(its.rest(&its.editor, "DELETE", "/tags?tags[]=x", Value::Null).await.status, 204);
    let audit = its.app.send_as(&its.admin, "GET", "/audit", "").await.json();
    let tokens: Vec<&Value> = audit.as_array().unwrap().iter().map(|entry| &entry["token"]).collect();
    assert_eq!(tokens, [&json!("ann"), &json!("ann")], "{audit}");
}
