//! The optional served fields of links: times, statuses and the query.

use serde_json::{Value, json};
use tern_admin::AdminConfig;
use tern_common::config::Setting;
use tern_common::{OwnAddresses, Timestamp};

use crate::support::{App, Setup, spawn_app, spawn_app_with};

/// A new link of user 1 with one more field.
fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut link = json!({ "user_id": 1, "original_url": "https://example.com/" });
    link[field] = value.into();
    link
}

/// Starts an app with the user and the link 1.
async fn spawn_app_with_link() -> App {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app
}

/// Checks that a field has a value after a create and after an update, with PUT of the link that was answered.
async fn check_field(app: &App, field: &str, given: Value, answered: &Value) {
    let made = app.post("/urls", with(field, given.clone())).await;
    assert_eq!((made.status, &made.json()[field]), (201, answered), "{field}: {given}");
    let changed = app.put("/urls/1", json!({ field: given })).await;
    assert_eq!((changed.status, &changed.json()[field]), (200, answered), "{field}: {given}");
    assert_eq!(&app.put("/urls/1", json!({ "title": "x" })).await.json()[field], answered, "another change");
    assert_eq!(app.put("/urls/1", changed.json()).await.json()[field], *answered, "an answer can be sent back");
    assert_eq!(app.put("/urls/1", json!({ field: null })).await.json()[field], Value::Null, "null clears");
}

async fn check_refused(app: &App, field: &str, wrong: Value, message: &str) {
    app.post("/urls", with(field, wrong.clone())).await.check_error(400, message);
    app.put("/urls/1", json!({ field: wrong })).await.check_error(400, message);
}

#[tokio::test]
async fn start_and_end_in_any_zone_or_null_are_accepted() {
    let app = spawn_app_with_link().await;
    for field in ["starts_at", "expires_at"] {
        for (given, answered) in [
            (json!("2090-01-02T03:04:05"), json!("2090-01-02T03:04:05")),
            (json!("2090-01-02 03:04:05"), json!("2090-01-02T03:04:05")),
            (json!("2090-01-02T03:04:05.9Z"), json!("2090-01-02T03:04:05")),
            (json!("2090-01-02T03:04:05+02:00"), json!("2090-01-02T01:04:05")),
            (json!(null), json!(null)),
        ] {
            check_field(&app, field, given, &answered).await;
        }
        for wrong in [json!("tomorrow"), json!("2090-13-01T00:00:00"), json!(4_000_000_000_u64), json!(""), json!({})] {
            check_refused(&app, field, wrong, field).await;
        }
    }
    check_field(&app, "starts_at", json!("2020-01-01T00:00:00"), &json!("2020-01-01T00:00:00")).await;
}

#[tokio::test]
async fn past_end_is_refused_on_create_and_accepted_in_an_update() {
    let app = spawn_app_with_link().await;
    let past = "2020-01-01T00:00:00";
    app.post("/urls", with("expires_at", past)).await.check_error(400, "expires_at must be in the future");
    let now = Timestamp::now().to_string();
    app.post("/urls", with("expires_at", now)).await.check_error(400, "expires_at must be in the future");
    assert_eq!(app.put("/urls/1", json!({ "expires_at": past })).await.json()["expires_at"], past);
}

#[tokio::test]
async fn end_that_is_not_after_the_start_is_refused() {
    let app = spawn_app_with_link().await;
    let message = "expires_at must be after starts_at";
    let times = |start: &str, end: &str| json!({ "starts_at": start, "expires_at": end });
    for (start, end) in [("2090-01-02T00:00:00", "2090-01-02T00:00:00"), ("2090-01-02T00:00:00", "2090-01-01T00:00:00")]
    {
        let mut new = with("starts_at", start);
        new["expires_at"] = json!(end);
        app.post("/urls", new).await.check_error(400, message);
        app.put("/urls/1", times(start, end)).await.check_error(400, message);
    }
    assert_eq!(app.put("/urls/1", times("2090-01-02T00:00:00", "2090-01-03T00:00:00")).await.status, 200);
    let stored = app.get("/urls/1").await.json();
    app.put("/urls/1", json!({ "starts_at": "2090-01-03T00:00:00" })).await.check_error(400, message);
    app.put("/urls/1", json!({ "expires_at": "2090-01-02T00:00:00" })).await.check_error(400, message);
    assert_eq!(app.get("/urls/1").await.json(), stored, "a refused change changes nothing");
    let events = app.get("/events?url_id=1&event_type=updated").await.json();
    assert_eq!(events.as_array().unwrap().len(), 1, "a refused change is no event");
}

#[tokio::test]
async fn expires_in_sets_the_end_and_is_not_answered() {
    let app = spawn_app_with_link().await;
    for (given, seconds) in [("90m", 5_400), ("8h", 28_800), ("42d", 3_628_800), ("30s", 30), ("2w", 1_209_600)] {
        for answer in [
            app.post("/urls", with("expires_in", given)).await,
            app.put("/urls/1", json!({ "expires_in": given, "expires_at": null })).await,
        ] {
            let latest = Timestamp::now().unix_seconds() + seconds;
            let link = answer.json();
            let end = Timestamp::parse(link["expires_at"].as_str().unwrap()).unwrap().unix_seconds();
            assert!((latest - 60..=latest).contains(&end), "{given}: {end} of {latest}");
            assert_eq!(link.get("expires_in"), None);
        }
    }
    assert_eq!(app.post("/urls", with("expires_in", Value::Null)).await.json()["expires_at"], Value::Null);
    for wrong in [json!("0m"), json!("90"), json!(90), json!(""), json!("-1d"), json!("1.5h"), json!("soon")] {
        check_refused(&app, "expires_in", wrong, "expires_in").await;
    }
    check_refused(&app, "expires_in", json!("4000000000w"), "expires_in must end before the year 10000").await;
    let both = json!({ "expires_in": "1d", "expires_at": "2090-01-01T00:00:00" });
    app.put("/urls/1", both).await.check_error(400, "expires_in must not be given together with expires_at");
    let mut both = with("expires_in", "1d");
    both["expires_at"] = json!("2090-01-01T00:00:00");
    app.post("/urls", both).await.check_error(400, "expires_in must not be given together with expires_at");
}

#[tokio::test]
async fn expired_url_is_checked_like_a_target() {
    let own_addresses = OwnAddresses::parse("https://go.example").unwrap();
    let config = AdminConfig { own_addresses, ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    let given = json!("HTTPS://Example.com/ü?a=b#c");
    check_field(&app, "expired_url", given.clone(), &given).await;
    for (wrong, message) in [
        (json!("ftp://example.com/"), "expired_url must be an absolute http or https URL"),
        (json!("javascript:alert(1)"), "expired_url must be an absolute http or https URL"),
        (json!("https://a b/"), "expired_url must not hold white space or control characters"),
        (json!("http://"), "expired_url must be a valid URL with a host"),
        (json!(r"https://a\@b/"), "expired_url must not hold a backslash before its path"),
        (json!("https://a.b@c/"), "expired_url must not have a user name that looks like a host"),
        (json!(format!("https://a/{}", "a".repeat(8192))), "expired_url must have at most 8192 bytes"),
        (json!("https://go.example/x"), "expired_url points at this Tern itself (go.example:443)"),
        (json!(5), "expired_url must be a string or null"),
    ] {
        check_refused(&app, "expired_url", wrong, message).await;
    }
}

#[tokio::test]
async fn redirect_status_is_one_of_four_numbers_or_null() {
    let app = spawn_app_with_link().await;
    for status in [301, 302, 307, 308] {
        check_field(&app, "redirect_status", json!(status), &json!(status)).await;
    }
    for wrong in [json!(200), json!(303), json!(0), json!(-302), json!(65_838)] {
        check_refused(&app, "redirect_status", wrong, "redirect_status must be 301, 302, 307 or 308").await;
    }
    for wrong in [json!("302"), json!(302.5), json!(true)] {
        check_refused(&app, "redirect_status", wrong, "redirect_status must be an integer or null").await;
    }
}

#[tokio::test]
async fn link_with_an_end_and_a_permanent_status_is_refused() {
    let app = spawn_app_with_link().await;
    let message = "redirect_status must be 302, 307 or null for a link with expires_at";
    for status in [301, 308] {
        let mut new = with("redirect_status", status);
        new["expires_in"] = json!("8h");
        app.post("/urls", new).await.check_error(400, message);
        app.put("/urls/1", json!({ "redirect_status": status })).await;
        app.put("/urls/1", json!({ "expires_in": "8h" })).await.check_error(400, message);
        let both = json!({ "expires_in": "8h", "redirect_status": 307 });
        assert_eq!(app.put("/urls/1", both).await.status, 200);
        app.put("/urls/1", json!({ "redirect_status": status })).await.check_error(400, message);
        let swapped = json!({ "expires_at": null, "redirect_status": status });
        assert_eq!(app.put("/urls/1", swapped).await.json()["redirect_status"], status);
    }
}

#[tokio::test]
async fn forward_query_is_true_false_or_null() {
    let app = spawn_app_with_link().await;
    for forward in [json!(true), json!(false), json!(null)] {
        check_field(&app, "forward_query", forward.clone(), &forward).await;
    }
    for wrong in [json!("true"), json!(1), json!([])] {
        check_refused(&app, "forward_query", wrong, "forward_query must be true or false or null").await;
    }
}

#[tokio::test]
async fn max_clicks_is_a_positive_integer_or_null() {
    let app = spawn_app_with_link().await;
    for limit in [json!(1), json!(100), json!(null)] {
        check_field(&app, "max_clicks", limit.clone(), &limit).await;
    }
    for wrong in [json!(0), json!(-1)] {
        check_refused(&app, "max_clicks", wrong, "max_clicks must be a positive integer").await;
    }
    for wrong in [json!("5"), json!(1.5), json!(true), json!([])] {
        check_refused(&app, "max_clicks", wrong, "max_clicks must be an integer or null").await;
    }
}

#[tokio::test]
async fn link_with_a_limit_shows_the_clicks_left_and_its_state() {
    let app = spawn_app_with_link().await;
    let link = app.get("/urls/1").await.json();
    assert_eq!((&link["max_clicks"], &link["clicks_left"]), (&Value::Null, &Value::Null));
    app.record_event(&link, "clicked").await;
    let limited = app.put("/urls/1", json!({ "max_clicks": 3 })).await.json();
    assert_eq!((&limited["clicks_left"], &limited["state"]), (&json!(2), &json!("active")), "a stored click counts");
    let take = tern_common::ClickTake { url_id: tern_common::Id::new(1).unwrap(), needed: 5, ahead: 0 };
    app.store.take_clicks(&[take]).await.unwrap();
    let used = app.get("/urls/1").await.json();
    assert_eq!((&used["clicks_left"], &used["state"]), (&json!(0), &json!("exhausted")));
    assert_eq!(app.get("/urls?state=exhausted").await.ids(), [1]);
    assert_eq!(app.get("/urls?state=active").await.ids().len(), 0);
    let ignored = app.put("/urls/1", json!({ "clicks_left": 9 })).await;
    assert_eq!((ignored.json()["clicks_left"].clone(), ignored.header("tern-ignored")), (json!(0), None));
    let raised = app.put("/urls/1", json!({ "max_clicks": 5 })).await.json();
    assert_eq!((&raised["clicks_left"], &raised["state"]), (&json!(2), &json!("active")));
    let entries = app.get("/audit?url_id=1").await.json();
    let last = entries.as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["before"]["max_clicks"], &last["after"]["max_clicks"]), (&json!(3), &json!(5)));
}

#[tokio::test]
async fn link_with_a_limit_and_a_permanent_status_is_refused() {
    let app = spawn_app_with_link().await;
    let message = "redirect_status must be 302, 307 or null for a link with max_clicks";
    for status in [301, 308] {
        let mut new = with("redirect_status", status);
        new["max_clicks"] = json!(1);
        app.post("/urls", new.clone()).await.check_error(400, message);
        app.put("/urls/1", json!({ "max_clicks": null, "redirect_status": status })).await;
        app.put("/urls/1", json!({ "max_clicks": 1 })).await.check_error(400, message);
        let many = json!({ "ids": [1], "set": { "max_clicks": 1 } });
        app.send_json("PATCH", "/urls", &[], many).await.check_error(400, message);
        new["external_id"] = json!("x");
        app.put("/urls/external/x", new).await.check_error(400, message);
        assert_eq!(app.put("/urls/1", json!({ "max_clicks": 1, "redirect_status": 307 })).await.status, 200);
        app.put("/urls/1", json!({ "redirect_status": status })).await.check_error(400, message);
    }
}

#[tokio::test]
async fn options_in_a_file_are_loaded_and_checked() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let header =
        "user_id,short_code,original_url,starts_at,expires_at,expired_url,redirect_status,forward_query,max_clicks\n";
    let file = format!(
        "{header}1,AAAAAA,https://example.com/,2020-01-01 00:00:00,2021-01-01T00:00:00+02:00,https://example.com/over,307,t,5\n\
         1,BBBBBB,https://example.com/,,,,,,\n1,CCCCCC,https://example.com/,,,,301,FALSE,\n"
    );
    app.load(&[("urls.csv", &file)]).await.unwrap();
    let links = app.get("/urls").await.json();
    let options = |n: usize| {
        ["starts_at", "expires_at", "expired_url", "redirect_status", "forward_query", "max_clicks"]
            .map(|name| links[n][name].clone())
    };
    let ended = [
        json!("2020-01-01T00:00:00"),
        json!("2020-12-31T22:00:00"),
        json!("https://example.com/over"),
        json!(307),
        json!(true),
        json!(5),
    ];
    assert_eq!(options(0), ended, "a file may hold a link that has ended");
    assert_eq!(options(1), [const { Value::Null }; 6]);
    assert_eq!(options(2), [Value::Null, Value::Null, Value::Null, json!(301), json!(false), Value::Null]);
    for (cells, message) in [
        ("soon,,,,,", "line 2: starts_at is not a time"),
        (",soon,,,,", "line 2: expires_at is not a time"),
        ("2030-01-01 00:00:00,2030-01-01 00:00:00,,,,", "line 2: expires_at must be after starts_at"),
        (",,/over,,,", "line 2: expired_url must be an absolute http or https URL"),
        (",,,303,,", "line 2: redirect_status must be 301, 302, 307 or 308"),
        (",2030-01-01 00:00:00,,308,,", "line 2: redirect_status must be 302, 307 or null for a link with expires_at"),
        (",,,,maybe,", "line 2: forward_query must be true or false"),
        (",,,,,0", "line 2: max_clicks must be a positive integer"),
        (",,,301,,5", "line 2: redirect_status must be 302, 307 or null for a link with max_clicks"),
    ] {
        let file = format!("{header}1,DDDDDD,https://example.com/,{cells}\n");
        let refused = app.load(&[("urls.csv", &file)]).await.unwrap_err();
        assert!(format!("{refused:#}").contains(message), "{cells}: {refused:#}");
    }
}
