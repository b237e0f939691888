//! Files from spreadsheets, careless tools and hostile users: the result of `load` and of an upload for each.

use serde_json::json;
use tern_admin::load::OnError;

use crate::support::{App, spawn_app};

/// Returns an app with three users and a link, whose ids the files below refer to.
async fn app_with_rows() -> App {
    let app = spawn_app().await;
    let users = "id,username,email\n1,ann,ann@mail.example\n3,bob,bob@mail.example\n4,eve,eve@mail.example\n";
    let urls = "id,user_id,short_code,original_url\n1,1,first1,https://example.com/\n";
    let events = "id,url_id,user_id,event_type,timestamp,details\n3,1,1,clicked,2025-01-01 00:00:00,\n";
    app.load(&[("users.csv", users), ("urls.csv", urls), ("events.csv", events)]).await.unwrap();
    app
}

/// Loads a file into a new app and checks the output or the error.
async fn check_load(text: &str, expected: Result<&str, &str>) {
    let app = app_with_rows().await;
    let loaded = app.load(&[("x.csv", text)]).await;
    let loaded = loaded.as_ref().map(|printed| printed.trim_end()).map_err(|error| error.trim_start_matches("x.csv: "));
    assert_eq!(loaded, expected, "{text:?}");
}

/// Uploads a file of users to a new app and checks the number imported and each error.
async fn check_upload(text: &str, imported: u64, errors: &[(u64, &str)]) {
    let report = app_with_rows().await.upload(text).await.json();
    let errors: Vec<_> = errors.iter().map(|(row, reason)| json!({ "row": row, "reason": reason })).collect();
    let expected = json!({ "imported": imported, "skipped": 0, "failed": errors.len(), "errors": errors });
    assert_eq!(report, expected, "{text:?}");
}

#[tokio::test]
async fn spreadsheet_file_of_users_is_accepted() {
    for text in [
        "username,email\nnew,new@mail.example\n,\n,\n",
        "username,email\rnew,new@mail.example\r",
        "username;email\nnew;new@mail.example\n",
        "\u{feff}username\temail\r\nnew\tnew@mail.example\r\n",
    ] {
        check_load(text, Ok("Loaded 1 rows into User from x.csv")).await;
        check_upload(text, 1, &[]).await;
    }
}

#[tokio::test]
async fn spreadsheet_booleans_of_links_are_loaded() {
    for (word, expected) in [("TRUE", true), ("FALSE", false), ("t", true), ("f", false)] {
        let app = app_with_rows().await;
        let urls = format!("short_code,user_id,original_url,is_active\nother1,1,https://example.com/,{word}\n");
        app.load(&[("urls.csv", urls)]).await.unwrap();
        assert_eq!(app.get("/urls?short_code=other1").await.json()[0]["is_active"], expected, "{word}");
    }
}

#[tokio::test]
async fn file_with_repeated_column_is_refused_with_both_places() {
    let text = "username,email,email\nnew,first@mail.example,second@mail.example\n";
    check_load(text, Err("has the column email twice, in places 2 and 3 of its header")).await;
    let answer = app_with_rows().await.upload(text).await;
    answer.check_error(400, "The file has the column email twice, in places 2 and 3 of its header");
}

#[tokio::test]
async fn file_with_unclosed_quote_is_refused_with_its_line() {
    let rows = |from: u32, to: u32| -> String { (from..to).map(|n| format!("w{n},w{n}@mail.example\n")).collect() };
    let stray = format!("username,email\n{}\"w5,w5@mail.example\n{}", rows(0, 5), rows(6, 1000));
    let reason = "the quote opened in line 7 is never closed";
    check_load(&stray, Err(&format!("line 7: {reason}"))).await;
    check_upload(&stray, 5, &[(6, &format!("{reason}; nothing after it was read"))]).await;
    let users = "email,username\nv1@mail.example,v1\nv2@mail.example,\"v2\nv3@mail.example,v3\n";
    check_load(users, Err("line 3: the quote opened in line 3 is never closed")).await;
    check_upload(users, 1, &[(2, "the quote opened in line 3 is never closed; nothing after it was read")]).await;
    let urls = "short_code,user_id,original_url,title\naaaaa1,1,https://e.example/,One\naaaaa2,1,https://e.example/,\"Two\n\
                aaaaa3,1,https://e.example/,Three\n";
    check_load(urls, Err("line 3: the quote opened in line 3 is never closed")).await;
}

#[tokio::test]
async fn file_with_ids_of_other_rows_and_files_after_it_load_nothing() {
    let users = "id,username,email\n3,someone-else,else@mail.example\n4,another-one,another@mail.example\n";
    let urls = "short_code,user_id,original_url,title\naaaaa1,3,https://example.org/payroll,for someone-else\n";
    let taken = "id 3 belongs to another user: bob";
    check_load(users, Err(&format!("line 2: {taken}"))).await;
    check_upload(users, 0, &[(1, "id 3 belongs to another user"), (2, "id 4 belongs to another user")]).await;
    let app = app_with_rows().await;
    let files = [("users.csv", users), ("urls.csv", urls)];
    assert_eq!(app.load(&files).await.unwrap_err(), format!("users.csv: line 2: {taken}"));
    assert_eq!(app.get("/urls").await.ids(), [1]);
    let (_, reported) = app.load_with(OnError::Skip, &files).await.unwrap();
    assert!(reported.ends_with("urls.csv: line 2 skipped: User 3 was skipped\n"), "{reported}");
    assert_eq!(app.get("/urls").await.ids(), [1]);
    let event = "id,event_type,url_id,user_id,timestamp\n3,imported,1,1,2020-01-01T00:00:00\n";
    check_load(event, Err("line 2: id 3 belongs to another event: clicked of link 1")).await;
}

#[tokio::test]
async fn file_with_equal_rows_is_refused_with_line_of_the_first() {
    let repeats = Err("line 3: this row repeats line 2 of this file");
    let event = |second: u32| format!("clicked,1,1,2025-02-01T10:00:0{second},{{}}\n");
    let events = format!("event_type,url_id,user_id,timestamp,details\n{}{}{}", event(0), event(0), event(1));
    check_load(&events, repeats).await;
    check_load("name,category,price,stock\nPen,Office,1.00,5\nPen,Office,1.00,5\n", repeats).await;
    let ids = "id,username,email\n7,new,new@mail.example\n7,other,other@mail.example\n";
    check_load(ids, Err("line 3: id 7 is given by line 2 of this file, too")).await;
    let names = "username,email\nnew,new@mail.example\nnew,other@mail.example\n";
    check_load(names, Err("line 3: Username is already taken by line 2 of this file")).await;
}

#[tokio::test]
async fn second_load_of_events_without_ids_loads_none() {
    let app = app_with_rows().await;
    let file = [("x.csv", "event_type,url_id,user_id,details\nshared,1,1,{}\n")];
    assert_eq!(app.load(&file).await.unwrap(), "Loaded 1 rows into Event from x.csv\n");
    assert_eq!(app.load(&file).await.unwrap(), "Loaded 0 rows into Event from x.csv: all 1 are there already\n");
}

#[tokio::test]
async fn details_with_lone_surrogate_are_refused_in_file_and_body() {
    let event = r#"{""n"":""\ud83d""}"#;
    let text = format!("event_type,url_id,user_id,timestamp,details\nshared,1,1,2025-01-01T00:00:00,\"{event}\"\n");
    check_load(&text, Err("line 2: details must be a JSON object")).await;
    let body = r#"{"url_id":1,"user_id":1,"event_type":"shared","details":{"n":"\ud83d"}}"#;
    let app = app_with_rows().await;
    app.send("POST", "/events", Some("application/json"), body).await.check_error(400, "");
}

#[tokio::test]
async fn details_in_file_and_body_are_returned_unchanged() {
    let app = app_with_rows().await;
    let details = r#"{"z":12345678901234567890123,"a":1.10}"#;
    let body = format!(r#"{{"url_id":1,"user_id":1,"event_type":"t","details":{details}}}"#);
    let made = app.send("POST", "/events", Some("application/json"), body).await;
    assert!(made.status == 201 && made.body.contains(details), "{made:?}");
    let quoted = details.replace('"', "\"\"");
    app.load(&[("x.csv", format!("event_type,url_id,user_id,details\nloaded,1,1,\"{quoted}\"\n"))]).await.unwrap();
    let listed = app.get("/events?event_type=loaded").await;
    assert!(listed.body.contains(details), "{listed:?}");
}

#[tokio::test]
async fn file_with_id_beyond_integer_range_is_refused_with_the_limit() {
    for id in ["9223372036854775808", "18446744073709551616", "99999999999999999999999999"] {
        let reason = |column: &str| format!("{column} must be a positive integer of at most 4503599627370496");
        let users = format!("id,username,email\n{id},new,new@mail.example\n");
        check_load(&users, Err(&format!("line 2: {}", reason("id")))).await;
        check_upload(&users, 0, &[(1, &reason("id"))]).await;
        let urls = format!("short_code,user_id,original_url\naaaaa1,{id},https://e.example/\n");
        check_load(&urls, Err(&format!("line 2: {}", reason("user_id")))).await;
        let events = format!("event_type,url_id,user_id\nx,{id},1\n");
        check_load(&events, Err(&format!("line 2: {}", reason("url_id")))).await;
    }
}
