//! `load --on-error skip` over files with rows that cannot be loaded.

use tern_admin::load::{LoadCommand, OnError};

use crate::support::{App, spawn_app};

/// Loads files and skips faulty rows; returns the output and the report.
async fn load_skipping(app: &App, files: &[(&str, &str)]) -> (String, String) {
    app.load_with(OnError::Skip, files).await.unwrap()
}

/// User names repeat, as they do in made-up data, and one row is malformed.
const USERS: &str = "id,username,email
1,ann,ann@mail.example
2,bob,bob@mail.example
3,ann,ann2@mail.example
4,cid,nonsense
5,dan,bob@mail.example
6,eve,eve@mail.example
";
const URLS: &str = "id,user_id,short_code,original_url
1,1,aaaaa1,https://example.com/1
2,3,aaaaa2,https://example.com/2
3,4,aaaaa3,https://example.com/3
4,9,aaaaa4,https://example.com/4
5,6,aaaaa1,https://example.com/5
6,6,health,https://example.com/6
7,6,aaaaa7,https://example.com/7
";
const EVENTS: &str = "id,url_id,user_id,event_type,timestamp,details
1,1,1,created,2025-05-22 05:19:55,
2,2,3,created,2025-05-22 05:19:55,
3,7,3,clicked,2025-05-22 05:19:55,
4,5,6,clicked,2025-05-22 05:19:55,
5,99,6,clicked,2025-05-22 05:19:55,
6,7,6,clicked,2025-05-22 05:19:55,[]
7,7,6,clicked,2025-05-22 05:19:55,{}
";

#[tokio::test]
async fn faulty_rows_are_reported_and_all_others_loaded() {
    let app = spawn_app().await;
    let files = [("users.csv", USERS), ("urls.csv", URLS), ("events.csv", EVENTS)];
    let (printed, reported) = load_skipping(&app, &files).await;
    assert_eq!(
        printed,
        "Loaded 3 rows into User from users.csv: 3 skipped\n\
         Loaded 2 rows into Url from urls.csv: 5 skipped\n\
         Loaded 2 rows into Event from events.csv: 5 skipped\n"
    );
    let mut reported: Vec<&str> = reported.lines().collect();
    // Malformed rows are found before the others.
    reported.sort_unstable();
    assert_eq!(
        reported,
        [
            "events.csv: line 3 skipped: URL 2 was skipped",
            "events.csv: line 4 skipped: User 3 was skipped",
            "events.csv: line 5 skipped: URL 5 was skipped",
            "events.csv: line 6 skipped: URL 99 not found",
            "events.csv: line 7 skipped: details must be a JSON object",
            "urls.csv: line 3 skipped: User 3 was skipped",
            "urls.csv: line 4 skipped: User 4 was skipped",
            "urls.csv: line 5 skipped: User 9 not found",
            "urls.csv: line 6 skipped: Short code is already taken by line 2 of this file",
            "urls.csv: line 7 skipped: this short code is reserved for a page of the service",
            "users.csv: line 4 skipped: Username is already taken by line 2 of this file",
            "users.csv: line 5 skipped: email must look like name@example.com",
            "users.csv: line 6 skipped: Email is already taken by line 3 of this file",
        ]
    );
    assert_eq!(app.get("/users").await.ids(), [1, 2, 6]);
    assert_eq!(app.get("/urls").await.ids(), [1, 7]);
    assert_eq!(app.get("/events").await.ids(), [1, 7]);

    let (printed, reported) = load_skipping(&app, &files).await;
    assert_eq!(
        printed,
        "Loaded 0 rows into User from users.csv: 3 skipped, 3 are there already\n\
         Loaded 0 rows into Url from urls.csv: 5 skipped, 2 are there already\n\
         Loaded 0 rows into Event from events.csv: 5 skipped, 2 are there already\n"
    );
    assert_eq!(reported.lines().count(), 13, "{reported}");
    let error = app.load(&files).await.unwrap_err();
    assert_eq!(
        error, "users.csv: line 5: email must look like name@example.com",
        "rows were skipped without --skip-invalid"
    );
}

/// The links of a skipped user must not belong to another user with the same id.
#[tokio::test]
async fn links_of_skipped_user_are_not_given_to_another_user() {
    let app = spawn_app().await;
    app.load(&[(
        "first.csv",
        "id,username,email\n7,ann,ann@mail.example\n8,bob,bob@mail.example\n9,eve,eve@mail.example\n",
    )])
    .await
    .unwrap();
    let users = "id,username,email\n7,cid,cid@mail.example\n8,dan\n9,f\u{e9},\n";
    let users = users.replace('\u{e9}', "X").into_bytes();
    let users: Vec<u8> = users.into_iter().map(|byte| if byte == b'X' { 0xe9 } else { byte }).collect();
    let urls = "id,user_id,short_code,original_url\n1,7,aaaaa7,https://e.example/\n2,8,aaaaa8,https://e.example/\n\
                3,9,aaaaa9,https://e.example/\n";
    let files = [("users.csv", users), ("urls.csv", urls.as_bytes().to_vec())];
    let (printed, reported) = app.load_with(OnError::Skip, &files).await.unwrap();
    assert_eq!(
        printed,
        "Loaded 0 rows into User from users.csv: 3 skipped\nLoaded 0 rows into Url from urls.csv: 3 skipped\n"
    );
    assert!(reported.contains("users.csv: line 2 skipped: id 7 belongs to another user: ann\n"), "{reported}");
    assert!(reported.contains("users.csv: line 3 skipped: the row has 2 fields and not 3\n"), "{reported}");
    assert!(reported.contains("users.csv: line 4 skipped: the row is not UTF-8"), "{reported}");
    for id in [7, 8, 9] {
        assert!(reported.contains(&format!(": User {id} was skipped\n")), "{reported}");
    }
    assert_eq!(app.get("/urls").await.ids(), [0_i64; 0]);
}

/// A row that an earlier one excludes is loaded if that earlier one is skipped.
#[tokio::test]
async fn row_in_conflict_with_skipped_row_is_loaded() {
    let app = spawn_app().await;
    app.load(&[("first.csv", "id,username,email\n1,ann,ann@mail.example\n")]).await.unwrap();
    let users = "username,email\nbob,ann@mail.example\nbob,bob@mail.example\nbob,cid@mail.example\n\
                 cid,cid@mail.example\ncid,dan@mail.example\ndan,dan@mail.example\n";
    let (printed, reported) = load_skipping(&app, &[("users.csv", users)]).await;
    assert_eq!(printed, "Loaded 3 rows into User from users.csv: 3 skipped\n");
    assert_eq!(
        reported,
        "users.csv: line 2 skipped: Email is already taken\n\
         users.csv: line 4 skipped: Username is already taken by line 3 of this file\n\
         users.csv: line 6 skipped: Username is already taken by line 5 of this file\n"
    );
    let listed = app.get("/users").await.json();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "bob", "cid", "dan"]);
}

/// A file joined from two exports has its rows twice.
#[tokio::test]
async fn repeated_row_is_skipped_and_its_dependents_are_loaded() {
    let app = spawn_app().await;
    let users = "id,username,email\n5,ann,ann@mail.example\n5,ann,ann@mail.example\n";
    let urls = "id,user_id,short_code,original_url\n1,5,aaaaa1,https://e.example/\n";
    let events = "url_id,user_id,event_type,timestamp\n".to_owned() + &"1,5,clicked,2025-01-01 10:00:00\n".repeat(3);
    let (printed, reported) =
        load_skipping(&app, &[("users.csv", users), ("urls.csv", urls), ("events.csv", &events)]).await;
    assert_eq!(
        printed,
        "Loaded 1 rows into User from users.csv: 1 skipped\nLoaded 1 rows into Url from urls.csv\n\
         Loaded 1 rows into Event from events.csv: 2 skipped\n"
    );
    assert_eq!(
        reported,
        "users.csv: line 3 skipped: id 5 is given by line 2 of this file, too\n\
         events.csv: line 3 skipped: this row repeats line 2 of this file\n\
         events.csv: line 4 skipped: this row repeats line 2 of this file\n"
    );
}

#[tokio::test]
async fn chain_of_conflicting_rows_terminates() {
    let app = spawn_app().await;
    let rows: String = (0..400_u32).map(|n| format!("user{},mail{}@mail.example\n", n / 2, n.div_ceil(2))).collect();
    let (printed, reported) = load_skipping(&app, &[("users.csv", &format!("username,email\n{rows}"))]).await;
    let lines = reported.lines().count();
    assert_eq!(printed, format!("Loaded {} rows into User from users.csv: {lines} skipped\n", 400 - lines));
    assert!((200..=400).contains(&lines), "{lines}");
}

#[tokio::test]
async fn file_unreadable_to_its_end_is_not_loaded_in_part() {
    let app = spawn_app().await;
    let unclosed = "username,email\nann,ann@mail.example\nbob,\"bob@mail.example\ncid,cid@mail.example\n";
    let error = app.load_with(OnError::Skip, &[("users.csv", unclosed)]).await.unwrap_err();
    assert_eq!(error, "users.csv: line 3: the quote opened in line 3 is never closed");
    assert_eq!(app.get("/users").await.ids(), [0_i64; 0]);
    let files = vec![app.log_file.with_file_name("nowhere.csv")];
    let error = app.run_load(&LoadCommand { files, on_error: OnError::Skip }).await.unwrap_err();
    assert!(error.starts_with("nowhere.csv: cannot be read: "), "{error}");
}

#[tokio::test]
async fn many_skipped_rows_are_all_reported() {
    let app = spawn_app().await;
    let row = |n: u32| if n.is_multiple_of(3) { format!("u{n},nonsense\n") } else { format!("u{},u{n}@y.z\n", n / 2) };
    let text: String = std::iter::once("username,email\n".to_owned()).chain((0..6000).map(row)).collect();
    let (printed, reported) = load_skipping(&app, &[("users.csv", &text)]).await;
    let lines = reported.lines().count();
    assert_eq!(printed, format!("Loaded {} rows into User from users.csv: {lines} skipped\n", 6000 - lines));
    assert_eq!(lines, 3000, "not 2000 malformed rows and 1000 whose name is taken");
}

/// The set-based load must have the result of inserting rows in order.
#[tokio::test]
async fn loaded_users_match_inserting_them_in_order() {
    let mut draw = number_generator();
    for round in 0..8 {
        let app = spawn_app().await;
        app.load(&[("first.csv", "id,username,email\n1,n1,m1@y.z\n2,n2,m2@y.z\n3,n3,m3@y.z\n")]).await.unwrap();
        let mut ids = vec![1, 2, 3];
        let mut users: Vec<(u64, u64)> = vec![(1, 1), (2, 2), (3, 3)];
        let mut text = "id,username,email\n".to_owned();
        for _ in 0..60 {
            let (id, name, email) = (draw(30), draw(20), draw(20));
            let given = if id < 10 { String::new() } else { (id - 9).to_string() };
            text.push_str(&format!("{given},n{name},m{email}@y.z\n"));
            let is_id_free = id < 10 || !ids.contains(&(id - 9));
            if is_id_free && users.iter().all(|user| user.0 != name && user.1 != email) {
                users.push((name, email));
                ids.extend(id.checked_sub(9).filter(|id| *id > 0));
            }
        }
        load_skipping(&app, &[("users.csv", &text)]).await;
        let listed = app.get("/users?per_page=100").await.json();
        let text_of = |user: &serde_json::Value| (user["username"].to_string(), user["email"].to_string());
        let mut loaded: Vec<_> = listed.as_array().unwrap().iter().map(text_of).collect();
        let mut expected: Vec<_> =
            users.iter().map(|(name, email)| (format!("\"n{name}\""), format!("\"m{email}@y.z\""))).collect();
        loaded.sort_unstable();
        expected.sort_unstable();
        assert_eq!(loaded, expected, "round {round}: {text}");
    }
}

/// Returns a generator of numbers below a bound, the same ones in each run.
fn number_generator() -> impl FnMut(u64) -> u64 {
    let mut state = 1_u64;
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

/// Adds the rows to `table` one after another: an id once, and a content without an id only if it is new.
fn insert_in_order(table: &mut Vec<(u64, u64)>, rows: &[(u64, u64)]) {
    for &(id, content) in rows {
        let is_there = |row: &(u64, u64)| if id > 0 { row.0 == id } else { row.1 == content };
        if !table.iter().any(is_there) {
            table.push((id, content));
        }
    }
}

/// Loads drawn rows several times over other rows, and compares what is listed with rows inserted in order.
/// A row has an id (0 for none) and a number, which `row_of` makes the content in `field`.
async fn check_order(
    app: &App,
    (path, field, header): (&str, &str, &str),
    row_of: impl Fn(u64) -> String,
    rows: &[(u64, u64)],
) {
    let text_of = |rows: &[(u64, u64)]| {
        let given = |id: u64| if id == 0 { String::new() } else { id.to_string() };
        let row = |&(id, content): &(u64, u64)| format!("{},{}\n", given(id), row_of(content));
        format!("{header}\n{}", rows.iter().map(row).collect::<String>())
    };
    let mut expected = vec![(1, 1), (2, 2), (9, 3)];
    app.load(&[("first.csv", text_of(&expected))]).await.unwrap();
    insert_in_order(&mut expected, rows);
    let mut expected: Vec<String> = expected.into_iter().map(|(_, content)| content.to_string()).collect();
    expected.sort_unstable();
    let text = text_of(rows);
    for run in 1..=3 {
        let (printed, reported) = load_skipping(app, &[("rows.csv", &text)]).await;
        let listed = app.get(path).await.json();
        let content = |row: &serde_json::Value| row[field].to_string().replace(['"', 't'], "");
        let mut listed: Vec<String> = listed.as_array().unwrap().iter().map(content).collect();
        listed.sort_unstable();
        assert_eq!(listed, expected, "run {run}: {text}{printed}{reported}");
    }
}

#[tokio::test]
async fn loaded_products_and_events_match_inserting_them_in_order() {
    let mut draw = number_generator();
    let mut rows = || (0..40).map(|_| (draw(12).saturating_sub(4), draw(12))).collect::<Vec<_>>();
    for _ in 0..6 {
        let app = spawn_app().await;
        let products = ("/products?per_page=100", "stock", "id,name,category,price,stock");
        check_order(&app, products, |content| format!("Mug,Kitchen,9.99,{content}"), &rows()).await;
        let urls = "id,user_id,short_code,original_url\n1,1,aaaaa1,https://e.example/\n";
        app.load(&[("users.csv", "id,username,email\n1,ann,a@b.c\n"), ("urls.csv", urls)]).await.unwrap();
        let events = ("/events?per_page=100", "event_type", "id,url_id,user_id,event_type,timestamp");
        check_order(&app, events, |content| format!("1,1,t{content},2025-05-22 05:19:55"), &rows()).await;
    }
}

#[tokio::test]
async fn stored_row_without_id_is_already_there_even_if_repeated() {
    let app = spawn_app().await;
    let mugs = "id,name,category,price,stock\n1,Mug,Kitchen,9.99,5\n,Mug,Kitchen,9.99,5\n";
    let (printed, _) = load_skipping(&app, &[("products.csv", mugs)]).await;
    assert_eq!(printed, "Loaded 1 rows into Product from products.csv: 1 skipped\n");
    for _ in 0..2 {
        let (printed, reported) = load_skipping(&app, &[("products.csv", mugs)]).await;
        assert_eq!(printed, "Loaded 0 rows into Product from products.csv: all 2 are there already\n", "{reported}");
    }
    let cups = "id,name,category,price,stock\n1,Cup,Kitchen,9.99,5\n,Cup,Kitchen,9.99,5\n";
    let (printed, _) = load_skipping(&app, &[("products.csv", cups)]).await;
    assert_eq!(printed, "Loaded 1 rows into Product from products.csv: 1 skipped\n", "the id is not that of the mug");
    let (printed, reported) = load_skipping(&app, &[("products.csv", cups)]).await;
    assert_eq!(printed, "Loaded 0 rows into Product from products.csv: 1 skipped, 1 are there already\n");
    assert_eq!(reported, "products.csv: line 2 skipped: id 1 belongs to another product: Mug\n");
}

#[tokio::test]
async fn user_and_link_that_repeat_a_refused_row_are_already_there() {
    let app = spawn_app().await;
    let users = "id,username,email\n1,ann,a@b.c\n2,bob,b@b.c\n";
    let urls = "id,user_id,short_code,original_url\n1,1,aaaaa1,http://a.example/\n2,1,aaaaa2,http://a.example/\n";
    app.load(&[("users.csv", users), ("urls.csv", urls)]).await.unwrap();
    let users = "id,username,email\n1,bob,b@b.c\n,bob,b@b.c\n";
    let (printed, reported) = load_skipping(&app, &[("users.csv", users)]).await;
    assert_eq!(printed, "Loaded 0 rows into User from users.csv: 1 skipped, 1 are there already\n", "{reported}");
    let urls = "id,user_id,short_code,original_url\n1,1,aaaaa2,http://a.example/\n,1,aaaaa2,http://a.example/\n";
    let (printed, reported) = load_skipping(&app, &[("urls.csv", urls)]).await;
    assert_eq!(printed, "Loaded 0 rows into Url from urls.csv: 1 skipped, 1 are there already\n", "{reported}");
}

#[tokio::test]
async fn second_load_of_file_with_and_without_ids_changes_nothing() {
    let app = spawn_app().await;
    let urls = "id,user_id,short_code,original_url\n1,1,aaaaa1,https://e.example/\n";
    app.load(&[("users.csv", "id,username,email\n1,ann,a@b.c\n"), ("urls.csv", urls)]).await.unwrap();
    let events = "id,url_id,user_id,event_type\n5,1,1,t\n,1,1,t\n,1,1,t\n";
    assert_eq!(app.load(&[("events.csv", events)]).await.unwrap(), "Loaded 3 rows into Event from events.csv\n");
    let printed = app.load(&[("events.csv", events)]).await.unwrap();
    assert_eq!(printed, "Loaded 0 rows into Event from events.csv: all 3 are there already\n");
    let mugs = "id,name,category,price,stock\n1,Mug,Kitchen,9.99,5\n";
    app.load(&[("products.csv", mugs)]).await.unwrap();
    let repeated = format!("{mugs},Mug,Kitchen,9.99,5\n");
    let error = app.load(&[("products.csv", &repeated)]).await.unwrap_err();
    assert_eq!(error, "products.csv: line 3: this row repeats line 2 of this file");
    assert_eq!(app.get("/products").await.ids(), [1]);
}
