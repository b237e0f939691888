//! Click statistics over HTTP.

use serde_json::{Value, json};

use crate::support::{App, spawn_app};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Returns an app with a link, and with three clicks of people and one of a bot that were loaded from a file.
async fn app_with_clicks() -> App {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    load_clicks(&app).await;
    app
}

/// Loads clicks of the first link.
async fn load_clicks(app: &App) {
    let details = format!(r#""{{""user_agent"":""{FIREFOX}"",""referrer"":""https://news.example/a""}}""#);
    let file = format!(
        "url_id,user_id,event_type,timestamp,details\n1,1,clicked,2026-01-02 03:04:05,{details}\n\
         1,1,clicked,2026-01-02 04:00:00,{{}}\n1,1,viewed,2026-01-02 04:00:00,{details}\n\
         1,1,clicked,2026-01-02 04:59:59,\"{{\"\"bot\"\":\"\"Googlebot\"\"}}\"\n\
         1,1,clicked,2026-01-03 00:00:00,{details}\n"
    );
    app.load(&[("events.csv", &file)]).await.unwrap();
}

#[tokio::test]
async fn stats_contain_clicks_of_people_by_time_and_by_each_property() {
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
            "total": 4,
            "humans": 3,
            "bots": 1,
            "without_event": 0,
            "series": [
                { "at": "2026-01-01T00:00:00", "clicks": 0 },
                { "at": "2026-01-02T00:00:00", "clicks": 2 },
                { "at": "2026-01-03T00:00:00", "clicks": 1 },
            ],
            "referrers": [{ "referrer": "news.example", "clicks": 2 }, { "referrer": "Direct", "clicks": 1 }],
            "browsers": [{ "browser": "Firefox", "clicks": 2 }, { "browser": "Unknown", "clicks": 1 }],
            "systems": [{ "system": "Linux", "clicks": 2 }, { "system": "Unknown", "clicks": 1 }],
            "devices": [{ "device": "desktop", "clicks": 2 }, { "device": "Unknown", "clicks": 1 }],
            "languages": [{ "language": "Unknown", "clicks": 3 }],
            "countries": [{ "country": "Unknown", "clicks": 3 }],
            "targets": [],
            "sources": [{ "source": "None", "clicks": 3 }],
        })
    );
    let hours = app.get("/urls/1/stats/?per=hour&from=2026-01-02T03:00:00&to=2026-01-02T05:00:00").await.json();
    assert_eq!((&hours["humans"], hours["series"].as_array().unwrap().len()), (&json!(2), 2));
    assert_eq!(hours["series"][1], json!({ "at": "2026-01-02T04:00:00", "clicks": 1 }));
}

#[tokio::test]
async fn stats_with_bots_include_them_in_series_and_breakdowns() {
    let app = app_with_clicks().await;
    let get = async |query: &str| app.get(&format!("/urls/1/stats?from=2026-01-01&to=2026-01-04{query}")).await.json();
    let (people, all) = (get("&bots=exclude").await, get("&bots=include").await);
    for field in ["total", "humans", "bots"] {
        assert_eq!(people[field], all[field], "{field}");
    }
    let sum = |rows: &Value| rows.as_array().unwrap().iter().map(|row| row["clicks"].as_u64().unwrap()).sum::<u64>();
    for field in ["series", "referrers", "browsers", "systems", "devices", "languages", "countries", "sources"] {
        assert_eq!((sum(&people[field]), sum(&all[field])), (3, 4), "{field}");
    }
    app.get("/urls/1/stats?bots=only").await.check_error(400, "bots must be exclude or include");
}

#[tokio::test]
async fn stats_under_a_filter_have_the_clicks_that_are_counted_with_it() {
    let app = app_with_clicks().await;
    let get = async |filter: &str| {
        let answer = app.get(&format!("/urls/1/stats?from=2026-01-01&to=2026-01-04&{filter}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let linux = get("system=Linux").await;
    assert_eq!((&linux["humans"], &linux["bots"], &linux["total"]), (&json!(2), &json!(0), &json!(2)));
    assert_eq!(points(&linux).iter().map(|point| point.1).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(linux["browsers"], json!([{ "browser": "Firefox", "clicks": 2 }]));
    assert_eq!((&linux["referrers"], &linux["sources"], &linux["targets"]), (&Value::Null, &Value::Null, &Value::Null));
    let both = get("system=Linux&browser=Unknown").await;
    assert_eq!((&both["total"], &both["systems"]), (&json!(0), &json!([])));
    assert_eq!(get("system=Unknown&bots=include").await["humans"], 1);
    let news = get("referrer=news.example").await;
    assert_eq!(
        (&news["humans"], &news["referrers"]),
        (&json!(2), &json!([{ "referrer": "news.example", "clicks": 2 }]))
    );
    assert_eq!((&news["countries"], &news["sources"]), (&Value::Null, &Value::Null));
    let direct = get("referrer=Direct&bots=include").await;
    assert_eq!((&direct["humans"], &direct["bots"]), (&json!(1), &json!(1)));
    assert_eq!(direct["referrers"], json!([{ "referrer": "Direct", "clicks": 2 }]));
    assert_eq!(get("source=None").await["humans"], 3);
    assert_eq!(get("source=qr").await["total"], 0);
    let apart = app.get("/urls/1/stats?referrer=news.example&country=DE").await;
    apart.check_error(400, "counted alone");
}

#[tokio::test]
async fn stats_of_all_links_are_limited_by_tag_and_user() {
    let app = app_with_clicks().await;
    let ben = app.create_user("ben").await;
    let body = json!({ "user_id": ben["id"], "original_url": "https://b.example/", "title": "B", "tags": ["x"] });
    let link = app.post("/urls", body).await.json();
    let file =
        format!("url_id,user_id,event_type,timestamp,details\n{},2,clicked,2026-01-02 05:00:00,{{}}\n", link["id"]);
    app.load(&[("events.csv", &file)]).await.unwrap();
    let get = async |query: &str| app.get(&format!("/stats?from=2026-01-01&to=2026-01-04{query}")).await.json();
    let all = get("").await;
    assert_eq!((&all["total"], &all["humans"], &all["bots"]), (&json!(5), &json!(4), &json!(1)));
    assert_eq!(points(&all), [("2026-01-02T00:00:00", 3), ("2026-01-03T00:00:00", 1)]);
    let top = |stats: &Value| {
        let top = stats["top"].as_array().unwrap().iter();
        top.map(|link| (link["id"].as_u64().unwrap(), link["clicks"].as_u64().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(top(&all), [(1, 3), (2, 1)]);
    let expected = json!([{ "id": 2, "short_code": link["short_code"], "title": "B", "clicks": 1 }]);
    for query in ["&tag=X", "&user_id=2", "&tag=x&user_id=2"] {
        let stats = get(query).await;
        assert_eq!((&stats["total"], &stats["top"]), (&json!(1), &expected), "{query}");
    }
    for query in ["&tag=none", "&user_id=99", "&tag=x&user_id=1"] {
        let stats = get(query).await;
        assert_eq!((&stats["total"], &stats["top"]), (&json!(0), &json!([])), "{query}");
        assert_eq!(stats["series"].as_array().unwrap().len(), 3, "{query}");
    }
    app.get("/stats?tag=a,b").await.check_error(400, "tag");
    app.get("/stats?user_id=0").await.check_error(400, "user_id");
    let answer = app.get("/stats/?url_id=1").await;
    assert_eq!((answer.status, answer.header("tern-ignored")), (200, Some("url_id")));
}

#[tokio::test]
async fn series_of_several_links_have_the_same_points() {
    let app = app_with_clicks().await;
    let other = app.shorten(&json!({ "id": 1 }), "https://b.example/").await;
    let range = "from=2026-01-01&to=2026-01-04&timezone=Europe/Berlin";
    let answer = app.get(&format!("/stats/series?url_id={}&url_id=1&url_id=99&url_id=1&{range}", other["id"])).await;
    assert_eq!(
        answer.json(),
        json!({
            "from": "2026-01-01T00:00:00",
            "to": "2026-01-04T00:00:00",
            "per": "day",
            "timezone": "Europe/Berlin",
            "off_by_minutes": 0,
            "previous": { "from": "2025-12-29T00:00:00", "to": "2026-01-01T00:00:00" },
            "at": ["2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-01-03T00:00:00"],
            "links": [{ "url_id": 2, "clicks": [0, 0, 0] }, { "url_id": 1, "clicks": [0, 2, 1] }],
        })
    );
    let with_bots = app.get(&format!("/stats/series?url_id=1&bots=include&{range}")).await.json();
    assert_eq!(with_bots["links"], json!([{ "url_id": 1, "clicks": [0, 3, 1] }]));
    let month = app.get("/stats/series?url_id=1").await.json();
    assert_eq!(month["at"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn series_of_no_or_too_many_links_or_days_are_refused() {
    let app = spawn_app().await;
    app.get("/stats/series").await.check_error(400, "url_id is required");
    app.get("/stats/series?url_id=abc").await.check_error(400, "url_id");
    let ids = |n: u32| (1..=n).map(|id| format!("url_id={id}")).collect::<Vec<_>>().join("&");
    assert_eq!(app.get(&format!("/stats/series?{}", ids(100))).await.json()["links"], json!([]));
    app.get(&format!("/stats/series?{}", ids(101))).await.check_error(400, "at most 100 links, and names 101");
    let get = async |query: &str| app.get(&format!("/stats/series?url_id=1&{query}")).await;
    get("from=2026-01-01&to=2026-04-12").await.check_error(400, "at most 100 days apart");
    get("per=week&from=2026-01-05&to=2026-04-20").await.check_error(400, "at most 100 days apart for several links");
    let autumn = "timezone=Europe/Berlin&from=2026-08-01&to=2026-11-09";
    assert_eq!(get(autumn).await.json()["at"].as_array().unwrap().len(), 100);
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
