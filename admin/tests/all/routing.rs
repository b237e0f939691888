//! The rules and the split of links.

use serde_json::{Value, json};
use tern_admin::AdminConfig;
use tern_common::OwnAddresses;
use tern_common::config::Setting;

use crate::support::{App, Setup, spawn_app, spawn_app_with};

/// Returns a rule with one condition.
fn rule(condition: &Value) -> Value {
    json!({ "target": "https://example.com/other", "if": [condition] })
}

fn variant(weight: i64) -> Value {
    json!({ "target": format!("https://example.com/{weight}"), "weight": weight })
}

/// Starts an app with the user and the link 1.
async fn app_with_link() -> App {
    let config =
        AdminConfig { own_addresses: OwnAddresses::parse("https://go.example").unwrap(), ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app
}

/// Checks that a field is answered as expected after a create and after an update, and that an answer can be sent back.
async fn check_taken(app: &App, field: &str, given: &Value, expected: &Value) {
    let new = json!({ "user_id": 1, "original_url": "https://example.com/", field: given });
    let made = app.post("/urls", new).await;
    assert_eq!((made.status, &made.json()[field]), (201, expected), "{given}: {made:?}");
    let changed = app.put("/urls/1", json!({ field: given })).await;
    assert_eq!((changed.status, &changed.json()[field]), (200, expected), "{given}: {changed:?}");
    let back = app.put("/urls/1", changed.json()).await;
    assert_eq!((back.header("tern-ignored"), &back.json()[field]), (None, expected), "{given}");
    assert_eq!(app.put("/urls/1", json!({ "title": "x" })).await.json()[field], *expected, "another change");
    assert_eq!(app.put("/urls/1", json!({ field: null })).await.json()[field], json!([]), "null clears");
}

async fn check_refused(app: &App, field: &str, wrong: &Value, message: &str) {
    let new = json!({ "user_id": 1, "original_url": "https://example.com/", field: wrong });
    app.post("/urls", new).await.check_error(400, message);
    app.put("/urls/1", json!({ field: wrong })).await.check_error(400, message);
}

#[tokio::test]
async fn condition_of_each_type_is_taken_in_its_only_form() {
    let app = app_with_link().await;
    for (given, expected) in [
        (json!({ "type": "device", "value": " iOS" }), json!({ "type": "device", "value": "ios" })),
        (json!({ "type": "language", "value": "en-US" }), json!({ "type": "language", "value": "en-US" })),
        (json!({ "type": "country", "value": "at" }), json!({ "type": "country", "value": "AT" })),
        (
            json!({ "type": "query", "key": "a b", "value": "ü&=" }),
            json!({ "type": "query", "key": "a b", "value": "ü&=" }),
        ),
        (json!({ "type": "query", "key": "a", "value": "" }), json!({ "type": "query", "key": "a", "value": "" })),
        (json!({ "type": "query_any", "key": "a", "value": null }), json!({ "type": "query_any", "key": "a" })),
        (
            json!({ "type": "before", "value": "2030-01-01T02:00:00+02:00" }),
            json!({ "type": "before", "value": "2030-01-01T00:00:00" }),
        ),
        (
            json!({ "type": "after", "key": null, "value": "2030-01-01 00:00:00" }),
            json!({ "type": "after", "value": "2030-01-01T00:00:00" }),
        ),
        (json!({ "type": "browser", "value": "firefox" }), json!({ "type": "browser", "value": "Firefox" })),
        (
            json!({ "type": "referrer", "value": "*.Bücher.example" }),
            json!({ "type": "referrer", "value": "*.xn--bcher-kva.example" }),
        ),
        (json!({ "type": "bot", "value": true }), json!({ "type": "bot", "value": "true" })),
        (json!({ "type": "bot", "value": "false" }), json!({ "type": "bot", "value": "false" })),
    ] {
        check_taken(&app, "rules", &json!([rule(&given)]), &json!([rule(&expected)])).await;
    }
    let longest =
        json!({ "target": "https://example.com/", "if": vec![json!({ "type": "bot", "value": "true" }); 10] });
    let most = json!(vec![longest; 20]);
    check_taken(&app, "rules", &most, &most).await;
    check_taken(&app, "rules", &json!([]), &json!([])).await;
}

#[tokio::test]
async fn refused_rule_is_named_with_its_condition_and_what_is_allowed() {
    let app = app_with_link().await;
    let with = |condition: Value| json!([rule(&json!({ "type": "bot", "value": true })), rule(&condition)]);
    let at = "rules[1].if[0].";
    let long = "x".repeat(256);
    for (condition, message) in [
        (json!({ "type": "weather", "value": "sun" }), "type must be one of device, language, country, query,"),
        (json!({ "value": "ios" }), "type is required"),
        (json!({ "type": 5, "value": "ios" }), "type must be a string"),
        (json!({ "type": "device" }), "value is required for the type device: one of ios, android, mobile"),
        (json!({ "type": "device", "value": null }), "value is required for the type device"),
        (
            json!({ "type": "device", "value": "iphone" }),
            "value must be one of ios, android, mobile, desktop, windows,",
        ),
        (json!({ "type": "device", "value": 5 }), "value must be a string"),
        (json!({ "type": "device", "key": "x", "value": "ios" }), "key must be left out for the type device"),
        (json!({ "type": "language", "value": "e" }), "value must be a language such as en or en-US"),
        (json!({ "type": "language", "value": "en_US" }), "value must be a language such as en or en-US"),
        (
            json!({ "type": "country", "value": "Austria" }),
            "value must be the code of a country in ISO 3166 such as AT",
        ),
        (json!({ "type": "country", "value": "ZZ" }), "value must be the code of a country in ISO 3166"),
        (json!({ "type": "query", "value": "x" }), "key is required for the type query: the name of a parameter"),
        (json!({ "type": "query", "key": "x" }), "value is required for the type query: a text of at most 255 bytes"),
        (json!({ "type": "query", "key": "", "value": "x" }), "key must have 1 to 255 bytes"),
        (json!({ "type": "query", "key": long, "value": "x" }), "key must have 1 to 255 bytes"),
        (json!({ "type": "query", "key": "x", "value": long }), "value must be a text of at most 255 bytes"),
        (json!({ "type": "query", "key": "x", "value": "\0" }), "value must be a text of at most 255 bytes without"),
        (json!({ "type": "query_any" }), "key is required for the type query_any"),
        (json!({ "type": "query_any", "key": "x", "value": "y" }), "value must be left out for the type query_any"),
        (json!({ "type": "before", "value": "soon" }), "value must be a time such as 2026-01-31T08:00:00Z"),
        (json!({ "type": "after", "value": "" }), "value must be a time such as 2026-01-31T08:00:00Z"),
        (json!({ "type": "browser", "value": "Netscape" }), "value must be one of Android Browser, Baidu, BlackBerry,"),
        (
            json!({ "type": "referrer", "value": "https://a.example/" }),
            "value must be a host such as example.com, or *.",
        ),
        (json!({ "type": "referrer", "value": "a.*.example" }), "value must be a host such as example.com"),
        (json!({ "type": "bot", "value": "maybe" }), "value must be true or false for the type bot"),
    ] {
        check_refused(&app, "rules", &with(condition), &format!("{at}{message}")).await;
    }
    for (target, message) in [
        (json!("ftp://example.com/"), "rules[0].target must be an absolute http or https URL"),
        (json!(r"https://a\@b/"), "rules[0].target must not hold a backslash"),
        (json!("https://go.example/x"), "rules[0].target points at this Tern itself (go.example:443)"),
        (json!(null), "rules[0].target must be a string"),
    ] {
        let rules = json!([{ "target": target, "if": [{ "type": "bot", "value": true }] }]);
        check_refused(&app, "rules", &rules, message).await;
    }
    let bot = json!({ "type": "bot", "value": true });
    for (rules, message) in [
        (json!([{ "target": "https://a.example/", "if": [] }]), "rules[0].if must have 1 to 10 conditions"),
        (
            json!([{ "target": "https://a.example/", "if": vec![bot.clone(); 11] }]),
            "rules[0].if must have 1 to 10 conditions",
        ),
        (json!([{ "target": "https://a.example/" }]), "rules[0].if is required"),
        (json!([{ "if": [bot.clone()] }]), "rules[0].target is required"),
        (json!(vec![rule(&bot); 21]), "rules must be at most 20"),
        (json!({}), "rules must be an array"),
        (json!(["x"]), "rules[0] must be an object"),
    ] {
        check_refused(&app, "rules", &rules, message).await;
    }
    assert_eq!(app.get("/urls/1").await.json()["revision"], 1, "nothing changed");
}

#[tokio::test]
async fn split_has_two_to_four_variants_of_together_at_most_100_percent() {
    let app = app_with_link().await;
    for weights in [&[1, 99][..], &[30, 30], &[25, 25, 25, 25], &[1, 1, 1, 1]] {
        let split = weights.iter().map(|weight| variant(*weight)).collect::<Value>();
        check_taken(&app, "split", &split, &split).await;
    }
    for (split, message) in [
        (json!([variant(50)]), "split must have 2 to 4 variants"),
        (json!(vec![variant(1); 5]), "split must have 2 to 4 variants"),
        (
            json!([variant(51), variant(50)]),
            "split must have weights of together at most 100 percent, and they are 101",
        ),
        (json!([variant(50), variant(0)]), "split[1].weight must be 1 to 99 percent"),
        (json!([variant(100), variant(1)]), "split[0].weight must be 1 to 99 percent"),
        (json!([variant(-1), variant(1)]), "split[0].weight must be 1 to 99 percent"),
        (json!([{ "target": "https://a.example/", "weight": "5" }]), "split[0].weight must be an integer"),
        (json!([{ "target": "https://a.example/" }]), "split[0].weight is required"),
        (json!([variant(1), { "target": "javascript:x", "weight": 1 }]), "split[1].target must be an absolute http"),
        (json!([variant(1), { "target": "https://go.example/x", "weight": 1 }]), "split[1].target points at this Tern"),
        (json!(5), "split must be an array"),
    ] {
        check_refused(&app, "split", &split, message).await;
    }
}

#[tokio::test]
async fn link_with_rules_or_a_split_may_only_have_a_temporary_status() {
    let app = app_with_link().await;
    let message = "redirect_status must be 302, 307 or null for a link with rules or a split";
    let rules = json!([rule(&json!({ "type": "device", "value": "ios" }))]);
    for (field, value) in [("rules", rules), ("split", json!([variant(1), variant(2)]))] {
        for status in [301, 308] {
            let both = json!({
                "user_id": 1, "original_url": "https://example.com/", "redirect_status": status, field: value,
            });
            app.post("/urls", both).await.check_error(400, message);
            assert_eq!(app.put("/urls/1", json!({ "redirect_status": status })).await.status, 200);
            app.put("/urls/1", json!({ field: value })).await.check_error(400, message);
            let many = json!({ "ids": [1], "set": { field: value } });
            app.send_json("PATCH", "/urls", &[], many).await.check_error(400, message);
            assert_eq!(app.put("/urls/1", json!({ "redirect_status": null })).await.status, 200);
            assert_eq!(app.put("/urls/1", json!({ field: value })).await.status, 200);
            app.put("/urls/1", json!({ "redirect_status": status })).await.check_error(400, message);
            assert_eq!(app.put("/urls/1", json!({ "redirect_status": 307 })).await.status, 200);
            assert_eq!(app.put("/urls/1", json!({ field: [] })).await.status, 200);
        }
    }
}

#[tokio::test]
async fn rules_are_written_in_bulk_and_to_many_links() {
    let app = app_with_link().await;
    let rules = json!([rule(&json!({ "type": "device", "value": "ios" }))]);
    let wrong = json!([rule(&json!({ "type": "device", "value": "phone" }))]);
    let link = |rules: &Value| json!({ "user_id": 1, "original_url": "https://example.com/", "rules": rules });
    let answer = app.post("/urls/bulk", json!([link(&rules), link(&wrong)])).await.json();
    assert_eq!((&answer[0]["status"], &answer[0]["url"]["rules"]), (&json!(201), &rules), "{answer}");
    assert_eq!(answer[1]["status"], 400);
    let message = answer[1]["error"]["message"].as_str().unwrap();
    assert!(message.contains("rules[0].if[0].value must be one of ios, android"), "{message}");
    let many = json!({ "ids": [1, 2], "set": { "rules": rules, "split": [variant(1), variant(2)] } });
    assert_eq!(app.send_json("PATCH", "/urls", &[], many).await.json(), json!({ "changed": 2 }));
    for id in [1, 2] {
        let link = app.get(&format!("/urls/{id}")).await.json();
        assert_eq!((&link["rules"], &link["split"]), (&rules, &json!([variant(1), variant(2)])));
    }
}

#[tokio::test]
async fn rules_and_splits_in_a_file_are_loaded_and_checked() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let file = |rules: &str, split: &str| {
        let quoted = |text: &str| text.replace('"', "\"\"");
        format!(
            "user_id,short_code,original_url,rules,split\n1,AAAAAA,https://example.com/,\"{}\",\"{}\"\n",
            quoted(rules),
            quoted(split)
        )
    };
    let rules = json!([rule(&json!({ "type": "country", "value": "AT" }))]);
    let split = json!([variant(1), variant(2)]);
    for (rules, split, message) in [
        ("{", "", "line 2: rules must be an array of rules"),
        ("[{}]", "", "line 2: rules must be an array of rules"),
        (
            r#"[{"target":"https://a.example/","if":[{"type":"bot"}]}]"#,
            "",
            "line 2: rules[0].if[0].value is required for the type bot: true or false",
        ),
        ("", r#"[{"target":"x","weight":1},{"target":"x","weight":1}]"#, "line 2: split[0].target must be an absolute"),
    ] {
        let refused = app.load(&[("urls.csv", &file(rules, split))]).await.unwrap_err();
        assert!(format!("{refused:#}").contains(message), "{rules} {split}: {refused:#}");
    }
    app.load(&[("urls.csv", &file(&rules.to_string(), &split.to_string()))]).await.unwrap();
    let link = app.get("/urls/1").await.json();
    assert_eq!((&link["rules"], &link["split"]), (&rules, &split));
}
