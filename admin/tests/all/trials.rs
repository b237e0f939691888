//! Trials of links with visitors.

use serde_json::{Value, json};

use crate::support::{App, spawn_app};

const APPS: &str = "https://apps.example.com/";
const TARGET: &str = "https://example.com/";

/// Returns the rule, the variant and the target of a visit.
async fn choice(app: &App, link: &Value, visit: &Value) -> (Value, Value, Value) {
    let mut body = json!({"original_url": TARGET, "visit": visit});
    body.as_object_mut().unwrap().extend(link.as_object().unwrap().clone());
    let answer = app.post("/urls/try", body).await;
    assert_eq!((answer.status, answer.header("tern-ignored")), (200, None), "{answer:?}");
    let [rule, variant, target] = ["rule", "variant", "target"].map(|name| answer.json()[name].clone());
    (rule, variant, target)
}

fn rule(condition: &Value) -> Value {
    json!({"rules": [{"target": APPS, "if": [condition]}]})
}

#[tokio::test]
async fn each_fact_of_a_visit_meets_its_condition() {
    let app = spawn_app().await;
    for (condition, visit, other) in [
        (json!({"type": "device", "value": "ios"}), json!({"device": "ios"}), json!({"device": "android"})),
        (json!({"type": "device", "value": "mobile"}), json!({"device": "ios"}), json!({"device": "linux"})),
        (json!({"type": "browser", "value": "Firefox"}), json!({"browser": "firefox"}), json!({"browser": "Safari"})),
        (json!({"type": "language", "value": "de"}), json!({"language": "de-AT"}), json!({"language": "de;q=0.5"})),
        (json!({"type": "country", "value": "AT"}), json!({"country": "at"}), json!({"country": "DE"})),
        (
            json!({"type": "referrer", "value": "*.example.com"}),
            json!({"referrer": "https://news.example.com/today"}),
            json!({"referrer": "https://example.com/"}),
        ),
        (json!({"type": "query", "key": "a", "value": "b c"}), json!({"query": "x&a=b%20c"}), json!({"query": "a=b"})),
        (json!({"type": "query_any", "key": "a"}), json!({"query": "a"}), json!({"query": "b=a"})),
        (
            json!({"type": "before", "value": "2026-01-31T08:00:00"}),
            json!({"at": "2026-01-31T07:59:59"}),
            json!({"at": "2026-01-31T08:00:00"}),
        ),
        (json!({"type": "after", "value": "2026-01-31T08:00:00"}), json!({}), json!({"at": "2026-01-31T07:59:59Z"})),
        (json!({"type": "bot", "value": "true"}), json!({"bot": true, "device": "ios"}), json!({"bot": false})),
    ] {
        let link = rule(&condition);
        assert_eq!(choice(&app, &link, &visit).await, (json!(1), Value::Null, json!(APPS)), "{condition}");
        assert_eq!(choice(&app, &link, &other).await, (Value::Null, Value::Null, json!(TARGET)), "{condition}");
    }
    let bots_have_no_device = rule(&json!({"type": "device", "value": "ios"}));
    assert_eq!(choice(&app, &bots_have_no_device, &json!({"bot": true, "device": "ios"})).await.0, Value::Null);
}

#[tokio::test]
async fn first_rule_wins_before_the_split_which_divides_networks() {
    let app = spawn_app().await;
    let link = json!({
        "short_code": "summer",
        "rules": [
            {"target": "https://example.com/de", "if": [{"type": "language", "value": "de"}, {"type": "country", "value": "AT"}]},
            {"target": "https://example.com/all", "if": [{"type": "language", "value": "de"}]},
        ],
        "split": [{"target": "https://example.com/a", "weight": 40}, {"target": "https://example.com/b", "weight": 40}],
    });
    let of = async |visit: Value| choice(&app, &link, &visit).await;
    assert_eq!(of(json!({"language": "de", "country": "AT"})).await.0, 1);
    assert_eq!(of(json!({"language": "de"})).await.0, 2);
    let mut seen = [0; 3];
    for network in 0..100 {
        let visit = json!({"client": format!("203.0.{network}.7")});
        let (rule, variant, target) = of(visit.clone()).await;
        assert_eq!(rule, Value::Null);
        assert_eq!(of(json!({"client": format!("203.0.{network}.9")})).await.1, variant, "a network has one variant");
        let number = variant.as_u64().unwrap_or_default() as usize;
        assert_eq!(target, [TARGET, "https://example.com/a", "https://example.com/b"][number]);
        seen[number] += 1;
    }
    assert!(seen.iter().all(|visits| *visits > 5), "{seen:?}");
}

#[tokio::test]
async fn location_has_the_placeholders_filled_and_the_query_merged() {
    let app = spawn_app().await;
    let location = async |target: &str, more: Value| {
        let mut body = json!({"original_url": target});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = app.post("/urls/try", body).await;
        assert_eq!((answer.status, &answer.json()["target"]), (200, &json!(target)), "{answer:?}");
        answer.json()["location"].clone()
    };
    let issue = "https://example.com/browse/{1}?by={query:who}";
    for (target, more, expected) in [
        (TARGET, json!({}), json!(TARGET)),
        ("https://example.com/ü", json!({}), json!("https://example.com/%C3%BC")),
        (
            issue,
            json!({"visit": {"path": "ABC-1", "query": "who=me"}}),
            json!("https://example.com/browse/ABC-1?by=me"),
        ),
        (issue, json!({"visit": {"path": "ABC-1"}}), Value::Null),
        (issue, json!({"visit": {"query": "who=me"}}), Value::Null),
        (TARGET, json!({"visit": {"path": "ABC-1"}}), Value::Null),
        (TARGET, json!({"visit": {"query": "a=b"}}), json!(TARGET)),
        (TARGET, json!({"short_code": null, "rules": null, "split": null, "forward_query": null}), json!(TARGET)),
        (TARGET, json!({"visit": {"query": "a=b"}, "forward_query": true}), json!("https://example.com/?a=b")),
    ] {
        assert_eq!(location(target, more.clone()).await, expected, "{target} {more}");
    }
}

#[tokio::test]
async fn wrong_link_or_visit_is_refused_with_its_place() {
    let app = spawn_app().await;
    for (fields, message) in [
        (json!({"original_url": "javascript:alert(1)"}), "original_url"),
        (json!({"rules": [{"target": "x", "if": [{"type": "bot", "value": true}]}]}), "rules[0].target"),
        (json!({"rules": [{"target": APPS, "if": [{"type": "device", "value": "fridge"}]}]}), "rules[0].if[0].value"),
        (json!({"split": [{"target": APPS, "weight": 100}, {"target": APPS, "weight": 1}]}), "split[0].weight"),
        (json!({"visit": {"device": "fridge"}}), "visit.device must be one of ios"),
        (json!({"visit": {"browser": "Netscape"}}), "visit.browser"),
        (json!({"visit": {"country": "Narnia"}}), "visit.country"),
    ] {
        let mut body = json!({"original_url": TARGET});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        app.post("/urls/try", body).await.check_error(400, message);
    }
}
