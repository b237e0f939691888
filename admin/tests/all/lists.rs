//! Pages and totals, common to every list.

use std::fmt::Write;

use serde_json::json;

use crate::support::{Answer, App, spawn_app};

async fn app_with_users(count: usize) -> App {
    let app = spawn_app().await;
    let mut csv = String::from("username,email\n");
    for n in 1..=count {
        writeln!(csv, "user{n},user{n}@mail.example").unwrap();
    }
    app.load(&[("users.csv", &csv)]).await.unwrap();
    app
}

/// Returns the target of a link of the `Link` header.
fn link(answer: &Answer, rel: &str) -> Option<String> {
    let links = answer.header("link")?.split(", ");
    let target = |link: &str| link.strip_suffix(&format!(">; rel=\"{rel}\""))?.strip_prefix('<').map(str::to_owned);
    links.filter_map(target).next()
}

/// Follows links from a page on, and returns the ids of every page.
async fn follow_links(app: &App, from: &str, rel: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut next = Some(from.to_owned());
    while let Some(path) = next {
        let answer = app.get(&path).await;
        pages.push(answer.ids());
        next = link(&answer, rel);
    }
    pages
}

#[tokio::test]
async fn following_page_links_shows_each_row_once_in_both_directions() {
    let app = app_with_users(45).await;
    let pages: Vec<Vec<i64>> = [1..=20, 21..=40, 41..=45].map(Iterator::collect).into();
    assert_eq!(follow_links(&app, "/users", "next").await, pages);
    assert_eq!(follow_links(&app, "/users?page=2", "next").await, pages[1..]);
    let mut back = pages.clone();
    back.reverse();
    assert_eq!(follow_links(&app, "/users?page=3", "prev").await, back);
    // A cursor at a deleted row retains its place.
    let second = link(&app.get("/users").await, "next").unwrap();
    assert_eq!(app.delete("/users/20").await.status, 204);
    assert_eq!(app.get(&second).await.ids(), pages[1]);
}

#[tokio::test]
async fn list_pages_follow_ids_and_link_to_neighbours() {
    let app = app_with_users(45).await;
    let check = async |query: &str, expected: std::ops::RangeInclusive<i64>, link: Option<&str>| {
        let answer = app.get(&format!("/users?{query}")).await;
        assert_eq!(answer.ids(), expected.collect::<Vec<_>>(), "{query}");
        assert_eq!(answer.header("x-total-count"), Some("45"), "{query}");
        assert_eq!(answer.header("link"), link, "{query}");
    };
    check("", 1..=20, Some(r#"</users?after=20&per_page=20>; rel="next""#)).await;
    check(
        "page=2",
        21..=40,
        Some(r#"</users?after=40&per_page=20>; rel="next", </users?before=21&per_page=20>; rel="prev""#),
    )
    .await;
    check("page=3", 41..=45, Some(r#"</users?before=41&per_page=20>; rel="prev""#)).await;
    check("page=3&per_page=15", 31..=45, Some(r#"</users?before=31&per_page=15>; rel="prev""#)).await;
    // A link longer than proxies accept is omitted.
    check(&format!("page=2&x={}", "y".repeat(4000)), 21..=40, None).await;
    check("per_page=100", 1..=45, None).await;
    check("per_page=1000", 1..=45, None).await;
    check("per_page=0", 1..=1, Some(r#"</users?after=1&per_page=1>; rel="next""#)).await;
    check("page=0&per_page=-7", 1..=1, Some(r#"</users?after=1&per_page=1>; rel="next""#)).await;
    check("page=-5", 1..=20, Some(r#"</users?after=20&per_page=20>; rel="next""#)).await;
}

#[tokio::test]
async fn page_past_the_end_is_empty_and_links_back() {
    let app = app_with_users(45).await;
    for path in ["/users", "/urls", "/events", "/users/1/urls"] {
        for page in ["4", "1000000000", "9223372036854775807", "9223372036854775808", "99999999999999999999999999999"] {
            let answer = app.get(&format!("{path}?page={page}&per_page=100")).await;
            assert_eq!((answer.status, answer.json()), (200, json!([])), "{path} {page}");
        }
    }
    let answer = app.get("/users?page=99999999999999999999999999999").await;
    assert_eq!(answer.header("x-total-count"), Some("45"));
    let back = link(&answer, "prev").unwrap();
    assert_eq!(
        app.get(&back).await.ids(),
        (26..=45).collect::<Vec<_>>(),
        "the link does not lead back to a page with rows"
    );
}

#[tokio::test]
async fn page_parameter_that_is_no_number_is_refused() {
    let app = spawn_app().await;
    for path in ["/users", "/urls", "/events", "/users/1/urls"] {
        for wrong in ["abc", "", "1.5", "1e3", "true"] {
            app.get(&format!("{path}?page={wrong}")).await.check_error(400, "page");
            app.get(&format!("{path}?per_page={wrong}")).await.check_error(400, "per_page");
            app.get(&format!("{path}?after={wrong}")).await.check_error(400, "after");
            app.get(&format!("{path}?before={wrong}")).await.check_error(400, "before");
        }
        for query in ["page=1&after=7", "page=1&before=7", "after=7&before=9"] {
            app.get(&format!("{path}?{query}")).await.check_error(400, "give one of them");
        }
    }
}

#[tokio::test]
async fn page_links_retain_the_filters() {
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
            "</urls/?after=2&per_page=1&user_id=1&is_active=true>; rel=\"next\", \
             </urls/?before=2&per_page=1&user_id=1&is_active=true>; rel=\"prev\""
        )
    );
    let next = app.get(&link(&answer, "next").unwrap()).await;
    assert_eq!(next.ids(), [3]);
}

#[tokio::test]
async fn total_is_exact_except_for_many_matches_of_combined_filters() {
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
    assert_eq!(last.ids(), [10_002], "rows beyond the counted ones are not listed");
}

#[tokio::test]
async fn links_are_walked_under_each_order_by_their_link_headers() {
    let app = spawn_app().await;
    let csv = (0..50).fold("short_code,user_id,original_url,title\n".to_owned(), |csv, n| {
        let title = ["", "Zebra", "apple", "Äpfel"][n % 4];
        format!("{csv}code{n},1,https://example.com/{n},{title}\n")
    });
    app.create_user("ann").await;
    app.load(&[("urls.csv", &csv)]).await.unwrap();
    for key in ["id", "created_at", "updated_at", "clicks", "last_clicked_at", "title", "short_code", "expires_at"] {
        for sort in [key.to_owned(), format!("-{key}")] {
            let path = format!("/urls?sort={sort}&per_page=7&search=EXAMPLE.com");
            let walked = follow_links(&app, &path, "next").await.concat();
            let mut sorted = walked.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (1..=50).collect::<Vec<_>>(), "{sort}");
            let mut pages = follow_links(&app, &format!("{path}&page=8"), "prev").await;
            pages.reverse();
            assert_eq!(pages.concat(), walked, "{sort}");
        }
    }
    let titles = app.get("/urls?sort=-title&per_page=100").await.json();
    let titles: Vec<&str> = titles.as_array().unwrap().iter().filter_map(|url| url["title"].as_str()).collect();
    assert_eq!((titles[0], titles.last()), ("Äpfel", Some(&"Zebra")));
}

#[tokio::test]
async fn link_list_with_malformed_filter_or_foreign_cursor_is_refused() {
    let app = spawn_app().await;
    for (query, part) in [
        ("search=", "search must have 2 to 100 characters"),
        ("search=a", "search must have 2 to 100 characters"),
        ("search=a%0Ab", "control character"),
        ("sort=owner", "sort must be one of id, created_at"),
        ("state=lost", "state"),
        ("tag=", "tag"),
        ("tag=a%7Cb", "tag"),
        ("tag_mode=some", "tag_mode"),
        ("created_from=yesterday", "created_from must be a time"),
        ("never_clicked=maybe", "never_clicked"),
        ("sort=title&after=7", "in another order"),
        ("after=title.~.7", "in another order"),
        ("sort=title&page=2&after=title.~.7", "give one of them"),
        ("sort=title&after=title.7", "must be a cursor"),
    ] {
        app.get(&format!("/urls?{query}")).await.check_error(400, part);
    }
    app.get("/users?after=title.~.7").await.check_error(400, "must be a cursor");
    app.get("/users/1/urls?after=title.~.7").await.check_error(400, "");
}

#[tokio::test]
async fn link_filters_of_a_query_are_combined() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    for (target, tags) in [
        ("https://a.example/", json!(["red", "sea"])),
        ("https://b.example/", json!(["red"])),
        ("https://a.example/x", json!([])),
    ] {
        let body = json!({"user_id": ann["id"], "original_url": target, "tags": tags});
        assert_eq!(app.post("/urls", body).await.status, 201);
    }
    let check = async |query: &str, expected: &[i64]| {
        let answer = app.get(&format!("/urls?{query}")).await;
        assert_eq!(answer.ids(), expected, "{query}");
        assert_eq!(answer.header("x-total-count"), Some(&*expected.len().to_string()), "{query}");
        assert_eq!(answer.header("tern-ignored"), None, "{query}");
    };
    check("host=a.example", &[1, 3]).await;
    check("tag=red&tag=sea", &[1, 2]).await;
    check("tag=red&tag=SEA&tag_mode=all", &[1]).await;
    check("tag=red&not_tag=sea", &[2]).await;
    check("host=a.example&never_clicked=true&state=active&sort=-id", &[3, 1]).await;
    check("created_from=2026-01-01T00:00:00%2B02:00&created_to=2026-01-01", &[]).await;
    check("created_from=2026-01-01", &[1, 2, 3]).await;
    check("search=b.Ex&user_id=1", &[2]).await;
}
