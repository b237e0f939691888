//! Click statistics over HTTP.

use serde_json::{Value, json};

use crate::support::{App, spawn_app};

/// Returns an app with a link and clicks on it that were loaded from a file.
async fn app_with_clicks() -> App {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    let details = r#""{""user_agent"":""curl/8"",""referrer"":""https://news.example/a""}""#;
    let file = format!(
        "url_id,user_id,event_type,timestamp,details\n1,1,clicked,2026-01-02 03:04:05,{details}\n\
         1,1,clicked,2026-01-02 04:00:00,{{}}\n1,1,viewed,2026-01-02 04:00:00,{details}\n\
         1,1,clicked,2026-01-03 00:00:00,{details}\n"
    );
    app.load(&[("events.csv", &file)]).await.unwrap();
    app
}

#[tokio::test]
async fn stats_contain_clicks_by_time_referrer_and_browser() {
    let app = app_with_clicks().await;
    let answer = app.get("/urls/1/stats?from=2026-01-01T12:00:00&to=2026-01-03T12:00:00").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "from": "2026-01-01T00:00:00",
            "to": "2026-01-04T00:00:00",
            "per": "day",
            "timezone": "UTC",
            "off_by_minutes": 0,
            "previous": { "from": "2025-12-29T00:00:00", "to": "2026-01-01T00:00:00" },
            "total": 3,
            "without_event": 0,
            "series": [
                { "at": "2026-01-01T00:00:00", "clicks": 0 },
                { "at": "2026-01-02T00:00:00", "clicks": 2 },
                { "at": "2026-01-03T00:00:00", "clicks": 1 },
            ],
            "referrers": [{ "referrer": "news.example", "clicks": 2 }, { "referrer": "Direct", "clicks": 1 }],
            "browsers": [{ "browser": "Bot", "clicks": 2 }, { "browser": "Unknown", "clicks": 1 }],
        })
    );
    let hours = app.get("/urls/1/stats/?per=hour&from=2026-01-02T03:00:00&to=2026-01-02T05:00:00").await.json();
    assert_eq!((&hours["total"], hours["series"].as_array().unwrap().len()), (&json!(2), 2));
    assert_eq!(hours["series"][1], json!({ "at": "2026-01-02T04:00:00", "clicks": 1 }));
}

/// Returns the starts of the points with clicks, and their clicks.
fn points(stats: &Value) -> Vec<(&str, u64)> {
    let points = stats["series"].as_array().unwrap().iter();
    points.map(|point| (point["at"].as_str().unwrap(), point["clicks"].as_u64().unwrap())).filter(|p| p.1 > 0).collect()
}

#[tokio::test]
async fn stats_in_a_time_zone_have_its_days() {
    let app = app_with_clicks().await;
    let get = async |query: &str| app.get(&format!("/urls/1/stats?{query}")).await.json();
    let new_york = get("timezone=America/New_York&from=2026-01-01&to=2026-01-04").await;
    assert_eq!(new_york["from"], "2026-01-01T00:00:00");
    assert_eq!((&new_york["timezone"], &new_york["off_by_minutes"]), (&json!("America/New_York"), &json!(0)));
    assert_eq!(points(&new_york), [("2026-01-01T00:00:00", 2), ("2026-01-02T00:00:00", 1)]);
    let hours = get("timezone=America/New_York&per=hour&from=2026-01-01T22:00:00&to=2026-01-02").await;
    assert_eq!(points(&hours), [("2026-01-01T22:00:00", 1), ("2026-01-01T23:00:00", 1)]);
    let kolkata = get("timezone=Asia/Kolkata&per=hour&from=2026-01-02&to=2026-01-03").await;
    assert_eq!(kolkata["off_by_minutes"], 30);
    assert_eq!(points(&kolkata), [("2026-01-02T08:00:00", 1), ("2026-01-02T09:00:00", 1)]);
}

#[tokio::test]
async fn stats_by_week_and_month_have_whole_ones() {
    let app = app_with_clicks().await;
    let weeks = app.get("/urls/1/stats?per=week&from=2026-01-01&to=2026-01-02").await.json();
    let ends = [&weeks["from"], &weeks["to"], &weeks["previous"]["from"]];
    assert_eq!(ends, ["2025-12-29T00:00:00", "2026-01-05T00:00:00", "2025-12-22T00:00:00"]);
    assert_eq!(points(&weeks), [("2025-12-29T00:00:00", 3)]);
    let months = app.get("/urls/1/stats?per=month&from=2025-12-31&to=2026-02-01").await.json();
    assert_eq!(months["series"].as_array().unwrap().len(), 2);
    assert_eq!(points(&months), [("2026-01-01T00:00:00", 3)]);
}

#[tokio::test]
async fn stats_of_unknown_zone_are_refused_by_its_name() {
    let app = app_with_clicks().await;
    let answer = app.get("/urls/1/stats?timezone=Mars/Olympus").await;
    answer.check_error(400, "such as Europe/Berlin, and \"Mars/Olympus\" is none");
    let answer = app.get("/urls/1/stats?timezone=Asia/Tokyo&from=2026-01-01T10:00:00Z").await;
    answer
        .check_error(400, "from must be in Asia/Tokyo, in whole seconds and without a zone: write 2026-01-01T19:00:00");
}

#[tokio::test]
async fn stats_with_unknown_parameter_ignore_and_name_it() {
    let app = app_with_clicks().await;
    let answer = app.get("/urls/1/stats?tz=Asia/Tokyo&per=day").await;
    assert_eq!((answer.status, answer.header("tern-ignored")), (200, Some("tz")));
}

#[tokio::test]
async fn stats_without_range_cover_thirty_days() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let link = app.shorten(&ann, "https://example.com/").await;
    app.record_event(&link, "clicked").await;
    let days: Value = app.get("/urls/1/stats").await.json();
    let series = days["series"].as_array().unwrap();
    assert_eq!((&days["total"], series.len()), (&json!(1), 30));
    assert_eq!(days["referrers"], json!([{ "referrer": "Direct", "clicks": 1 }]));
    assert_eq!(app.get("/urls/1/stats?per=hour").await.json()["series"].as_array().unwrap().len(), 720);
}

#[tokio::test]
async fn stats_of_invalid_range_are_refused() {
    let app = app_with_clicks().await;
    app.get("/urls/99/stats").await.check_error(404, "URL 99 not found");
    app.get("/urls/abc/stats").await.check_error(404, "positive integer");
    app.get("/urls/1/stats?per=minute").await.check_error(400, "per must be hour, day, week or month");
    app.get("/urls/1/stats?from=yesterday")
        .await
        .check_error(400, "from must be a date such as 2025-09-19, or a time in UTC");
    app.get("/urls/1/stats?to=2026-13-01T00:00:00").await.check_error(400, "to must be a date such as 2025-09-19");
    app.get("/urls/1/stats?from=2026-01-02T00:00:00&to=2026-01-01T00:00:00").await.check_error(400, "before");
    let long = "/urls/1/stats?per=hour&from=2026-01-01T00:00:00&to=2027-01-01T00:00:00";
    app.get(long).await.check_error(400, "at most 2000 hours apart");
    app.post("/urls/1/stats", json!({})).await.check_error(405, "not allowed");
}

#[tokio::test]
async fn stats_of_deleted_link_are_not_found() {
    let app = app_with_clicks().await;
    assert_eq!(app.delete("/urls/1").await.status, 204);
    app.get("/urls/1/stats").await.check_error(404, "URL 1 not found");
}

#[tokio::test]
async fn time_with_zone_is_refused_with_its_utc_form() {
    let app = spawn_app().await;
    let check = async |given: &str, expected: &str| {
        for name in ["from", "to"] {
            let answer = app.get(&format!("/urls/1/stats?{name}={given}")).await;
            answer.check_error(400, &format!("{name} must be {expected}"));
        }
    };
    let in_utc = "in UTC, in whole seconds and without a zone: write 2026-01-01T10:00:00";
    for given in [
        "2026-01-01T10:00:00Z",
        "2026-01-01T10:00:00.123Z",
        "2026-01-01T12:00:00%2B02:00",
        "2026-01-01T12:00:00+02:00",
        "2026-01-01T05:00:00-05:00",
        "2026-01-01T10:00",
    ] {
        check(given, in_utc).await;
    }
    for given in ["2026-1-1", "yesterday", "1767261600", "", "2026-13-01T00:00:00", "2026-01-01T25:00:00Z"] {
        check(given, "a date such as 2025-09-19, or a time in UTC such as 2025-09-19T22:25:05").await;
    }
}
