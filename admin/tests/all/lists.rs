//! Pages and totals, the same for every list.

use std::fmt::Write;

use serde_json::json;

use crate::support::{App, spawn_app};

async fn app_with_users(count: usize) -> App {
    let app = spawn_app().await;
    let mut csv = String::from("username,email\n");
    for n in 1..=count {
        writeln!(csv, "user{n},user{n}@mail.example").unwrap();
    }
    app.load(&[("users.csv", &csv)]).await.unwrap();
    app
}

#[tokio::test]
async fn a_list_is_cut_into_pages_by_id() {
    let app = app_with_users(45).await;
    let check = async |query: &str, expected: std::ops::RangeInclusive<i64>, link: Option<&str>| {
        let answer = app.get(&format!("/users?{query}")).await;
        assert_eq!(answer.ids(), expected.collect::<Vec<_>>(), "{query}");
        assert_eq!(answer.header("x-total-count"), Some("45"), "{query}");
        assert_eq!(answer.header("link"), link, "{query}");
    };
    check("", 1..=20, Some(r#"</users?page=2&per_page=20>; rel="next""#)).await;
    check(
        "page=2",
        21..=40,
        Some(r#"</users?page=3&per_page=20>; rel="next", </users?page=1&per_page=20>; rel="prev""#),
    )
    .await;
    check("page=3", 41..=45, Some(r#"</users?page=2&per_page=20>; rel="prev""#)).await;
    check("page=3&per_page=15", 31..=45, Some(r#"</users?page=2&per_page=15>; rel="prev""#)).await;
    // Longer than proxies take: left out.
    check(&format!("page=2&x={}", "y".repeat(3000)), 21..=40, None).await;
    check("per_page=100", 1..=45, None).await;
    check("per_page=1000", 1..=45, None).await;
    check("per_page=0", 1..=1, Some(r#"</users?page=2&per_page=1>; rel="next""#)).await;
    check("page=0&per_page=-7", 1..=1, Some(r#"</users?page=2&per_page=1>; rel="next""#)).await;
    check("page=-5", 1..=20, Some(r#"</users?page=2&per_page=20>; rel="next""#)).await;
}

#[tokio::test]
async fn past_the_end_there_is_nothing_however_far() {
    let app = app_with_users(45).await;
    for path in ["/users", "/urls", "/events", "/users/1/urls"] {
        for page in ["4", "1000000000", "9223372036854775807", "9223372036854775808", "99999999999999999999999999999"] {
            let answer = app.get(&format!("{path}?page={page}&per_page=100")).await;
            assert_eq!((answer.status, answer.json()), (200, json!([])), "{path} {page}");
        }
    }
    let answer = app.get("/users?page=99999999999999999999999999999").await;
    assert_eq!(answer.header("x-total-count"), Some("45"));
    assert_eq!(answer.header("link"), Some(r#"</users?page=3&per_page=20>; rel="prev""#), "back to where rows are");
}

#[tokio::test]
async fn a_page_that_is_no_number_is_refused() {
    let app = spawn_app().await;
    for path in ["/users", "/urls", "/events", "/users/1/urls"] {
        for wrong in ["abc", "", "1.5", "1e3", "true"] {
            app.get(&format!("{path}?page={wrong}")).await.check_error(400, "page");
            app.get(&format!("{path}?per_page={wrong}")).await.check_error(400, "per_page");
        }
    }
}

#[tokio::test]
async fn links_keep_the_filters() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    for _ in 0..3 {
        app.shorten(&ann, "https://example.com/").await;
    }
    let answer = app.get("/urls/?user_id=1&page=2&is_active=true&per_page=1").await;
    assert_eq!(answer.ids(), [2]);
    assert_eq!(
        answer.header("link"),
        Some(
            "</urls/?page=3&per_page=1&user_id=1&is_active=true>; rel=\"next\", \
             </urls/?page=1&per_page=1&user_id=1&is_active=true>; rel=\"prev\""
        )
    );
    let next = app.get("/urls/?page=3&per_page=1&user_id=1&is_active=true").await;
    assert_eq!(next.ids(), [3]);
}

#[tokio::test]
async fn totals_are_exact_but_for_many_matches_of_combined_filters() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let link = app.shorten(&ann, "https://example.com/").await;
    let check = async |query: &str, expected: &str| {
        let answer = app.get(&format!("/events?{query}")).await;
        assert_eq!(answer.header("x-total-count"), Some(expected), "{query}");
    };
    let csv = format!("event_type,url_id,user_id\n{}", "viewed,1,1\n".repeat(10_000));
    assert_eq!(app.load(&[("events.csv", &csv)]).await.unwrap(), "Loaded 10000 rows into Event from events.csv\n");
    check("", "10001").await;
    check("url_id=1", "10001").await;
    check("event_type=viewed", "10000").await;
    check("url_id=1&event_type=viewed", "10000").await;
    app.record_event(&link, "viewed").await;
    check("", "10002").await;
    check("event_type=viewed", "10001").await;
    check("url_id=1&event_type=viewed", "10000+").await;
    check("url_id=1&user_id=1&event_type=created", "1").await;
    let last = app.get("/events?url_id=1&event_type=viewed&page=101&per_page=100").await;
    assert_eq!(last.ids(), [10_002], "the rows beyond are listed all the same");
}
