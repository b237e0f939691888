//! Uploads of users.

use bytesize::ByteSize;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tern_admin::AdminConfig;
use tokio::io::AsyncWriteExt;

use crate::support::{Setup, spawn_app, spawn_app_with};

/// Uploads to a new app where ann is user 1 and bob is user 2, and checks the report.
async fn check(csv: &str, imported: u64, skipped: u64, errors: &[(u64, &str)]) {
    let app = spawn_app().await;
    app.create_user("ann").await;
    app.create_user("bob").await;
    let answer = app.upload(csv).await;
    assert_eq!(answer.status, 201, "{csv:?}: {answer:?}");
    let report = answer.json();
    assert_eq!((&report["imported"], &report["skipped"]), (&json!(imported), &json!(skipped)), "{csv:?}: {report}");
    assert_eq!(report["failed"], json!(errors.len()), "{csv:?}: {report}");
    let listed = report["errors"].as_array().unwrap();
    assert_eq!(listed.len(), errors.len(), "{csv:?}: {report}");
    for (error, (row, reason)) in listed.iter().zip(errors) {
        assert_eq!(error["row"], json!(row), "{csv:?}: {report}");
        assert!(error["reason"].as_str().unwrap().contains(reason), "{csv:?}: {report}");
    }
    let total = (2 + imported).to_string();
    assert_eq!(app.get("/users").await.header("x-total-count"), Some(total.as_str()), "{csv:?}");
}

#[tokio::test]
async fn uploaded_rows_are_imported_skipped_or_reported() {
    check("username,email\ncid,cid@mail.example\n", 1, 0, &[]).await;
    check("username,email\n", 0, 0, &[]).await;
    check("username,email\nann,ann@mail.example\n", 0, 1, &[]).await;
    check("username,email\nann,new@mail.example\nnew,bob@mail.example\n", 0, 2, &[]).await;
    check("username,email\ncid,cid@mail.example\ncid,cid@mail.example\n", 1, 1, &[]).await;
    check(
        "username,email\ncid,cid@mail.example\n,x@y.z\ndan,nonsense\neve,eve@mail.example\n",
        2,
        0,
        &[(2, "username"), (3, "email")],
    )
    .await;
    check("username,email\na\nb,b@y.z,c\ncid,cid@mail.example\n", 1, 0, &[(1, "1 fields"), (2, "3 fields")]).await;
    check(&format!("username,email\n{},x@y.z\n", "a".repeat(256)), 0, 0, &[(1, "255")]).await;
    check(&format!("username,email,x\ncid,x@y.z,{}\n", "a".repeat(8193)), 0, 0, &[(1, "8192 bytes")]).await;
}

#[tokio::test]
async fn uploaded_ids_and_times_are_accepted_or_refused() {
    check("id,username,email\n7,cid,cid@mail.example\n", 1, 0, &[]).await;
    check("id,username,email\n,cid,cid@mail.example\n", 1, 0, &[]).await;
    check("id,username,email\n1,ann,ann@mail.example\n", 0, 1, &[]).await;
    check("id,username,email\n1,cid,cid@mail.example\n", 0, 0, &[(1, "id 1 belongs to another user")]).await;
    for id in ["0", "-1", "1.0", "x", "4503599627370497", "9007199254740991", "99999999999999999999"] {
        check(&format!("id,username,email\n{id},cid,cid@mail.example\n"), 0, 0, &[(1, "id must be")]).await;
    }
    check("id,username,email\n4294967298,cid,cid@mail.example\n", 1, 0, &[]).await;
    let too_far = "id 4294967299 is more than 4294967296 beyond the largest id so far, 2";
    check("id,username,email\n4294967299,cid,cid@mail.example\n", 0, 0, &[(1, too_far)]).await;
    check("username,email,created_at\ncid,c@mail.example,2025-09-19 22:25:05\n", 1, 0, &[]).await;
    check("username,email,created_at\ncid,c@mail.example,2025-01-01T10:00:00.5+02:00\n", 1, 0, &[]).await;
    check("username,email,created_at\ncid,c@mail.example,\n", 1, 0, &[]).await;
    check("username,email,created_at\ncid,c@mail.example,yesterday\n", 0, 0, &[(1, "created_at")]).await;
}

#[tokio::test]
async fn uploaded_ids_are_retained_and_advance_the_sequence() {
    let app = spawn_app().await;
    let csv = "created_at,email,id,username\n2025-09-19 22:25:05,cid@mail.example,41,cid\n";
    assert_eq!(app.upload(csv).await.json()["imported"], 1);
    assert_eq!(
        app.get("/users/41").await.json(),
        json!({ "id": 41, "username": "cid", "email": "cid@mail.example", "created_at": "2025-09-19T22:25:05" })
    );
    assert_eq!(app.create_user("ann").await["id"], 42);
}

#[tokio::test]
async fn skipped_upload_row_does_not_advance_the_sequence() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let csv = "id,username,email\n900000,ann,ann@mail.example\n900001,x,nonsense\n5,bob,bob@mail.example\n";
    let report = app.upload(csv).await.json();
    assert_eq!((&report["imported"], &report["skipped"], &report["failed"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(app.create_user("cid").await["id"], 6);
}

#[tokio::test]
async fn upload_with_unclosed_quote_imports_the_rows_before_it() {
    let rows = |from: u32, to: u32| -> String { (from..to).map(|n| format!("w{n},w{n}@mail.example\n")).collect() };
    let never = "the quote opened in line 7 is never closed; nothing after it was read";
    check(&format!("username,email\n{}\"w5,w5@mail.example\n{}", rows(0, 5), rows(6, 3000)), 5, 0, &[(6, never)]).await;
    let closed = "the quote opened in line 2 is closed in line 4 with text behind it; nothing after it was read";
    check("email,username\nv@mail.example,\"v\nw@mail.example,w\nx@mail.example,\"x\n", 0, 0, &[(1, closed)]).await;
}

#[tokio::test]
async fn concurrent_uploads_beyond_their_memory_are_refused() {
    let config = AdminConfig { bulk_body_limit: ByteSize::kib(64), ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    let head = "POST /users/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n\
                Content-Length: 65000\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nusername,email\n";
    let begin = async || {
        let mut upload = tokio::net::TcpStream::connect(app.address).await.unwrap();
        upload.write_all(format!("{head}{}", "x".repeat(63 * 1024)).as_bytes()).await.unwrap();
        upload
    };
    let mut uploads = Vec::new();
    for _ in 0..4 {
        uploads.push(begin().await);
    }
    let large = || format!("username,email,note\ncid,cid@mail.example,{}\n", "x".repeat(8 * 1024));
    let mut refused = app.upload(large()).await;
    // The bytes of the other uploads may still be on their way.
    for _ in 0..500 {
        if refused.status == 503 {
            break;
        }
        // This upload may have been faster, and another one was refused.
        uploads.push(begin().await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        refused = app.upload(large()).await;
    }
    refused.check_error(503, "256.0 KiB");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(uploads);
    for _ in 0..500 {
        if app.upload(large()).await.status == 201 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("ended uploads still count");
}

#[tokio::test]
async fn csv_dialects_are_imported() {
    check("\u{feff}username,email\ncid,cid@mail.example\n", 1, 0, &[]).await;
    check("\u{feff}\"username\",\"email\"\r\n\"cid\",\"cid@mail.example\"\r\n", 1, 0, &[]).await;
    check("username,email\r\ncid,cid@mail.example\r\n\r\ndan,dan@mail.example", 2, 0, &[]).await;
    check(" email ,x, username \n cid@mail.example ,ignored, cid \n", 1, 0, &[]).await;
    check("email,note,username\nc@mail.example,\"one\ntwo\r\n, three\",cid\nd@mail.example,,dan\n", 2, 0, &[]).await;
    check("username,email\n\"ci\"\"d\",cid@mail.example\n", 1, 0, &[]).await;
    check("username,email\n\"cid,cid@mail.example\n", 0, 0, &[(1, "the quote opened in line 2 is never closed")]).await;
    check("username,email\ncid,x@y.z\n\n\n,x@y.z\n", 1, 0, &[(2, "username")]).await;
    check("username,email\ncid,x@y.z\n,\n,\n,x@y.z\n", 1, 0, &[(2, "username")]).await;
    check("username;email\r\ncid;cid@mail.example\r\n", 1, 0, &[]).await;
    check("username\temail\ncid\tcid@mail.example\n", 1, 0, &[]).await;
    check("username,email\rcid,cid@mail.example\r,x@y.z\r", 1, 0, &[(2, "username")]).await;
}

#[tokio::test]
async fn unreadable_upload_is_refused_whole() {
    let app = spawn_app().await;
    let check = async |csv: &[u8], message: &str| app.upload(csv).await.check_error(400, message);
    check(b"", "empty").await;
    check(b"\n\n", "empty").await;
    check(b"\xef\xbb\xbf", "empty").await;
    check(b"username\nann\n", "email").await;
    check(b"email\nx@y.z\n", "username").await;
    check(b"a,b\n1,2\n", "username and email; it has a, b").await;
    check(b"username,email,email\nann,x@y.z,z@y.z\n", "email twice, in places 2 and 3").await;
    check(b"\xff\xfeu\0s\0e\0r\0", "save it as \"CSV UTF-8\"").await;
    check(b"PK\x03\x04\x14\0username,email\n", "save the spreadsheet as \"CSV UTF-8\"").await;
    check(b"Username,Email\nann,x@y.z\n", "username").await;
    check(b"username,email\nann,ann@mail.example\nb\xff,x@y.z\n", "UTF-8").await;
    check(b"username,email\nann,ann@mail.example\nb\xc3", "UTF-8").await;
    assert_eq!(app.get("/users").await.json(), json!([]), "a row before the invalid one was kept");
}

#[tokio::test]
async fn upload_without_one_file_part_is_refused() {
    let app = spawn_app().await;
    app.upload_form(Form::new().text("other", "x")).await.check_error(400, "file");
    for content_type in ["text/csv", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded", ""] {
        let answer = app.send("POST", "/users/bulk", Some(content_type), "username,email\n").await;
        answer.check_error(
            400,
            &format!("part named file, or application/json with an array of users, and it is '{content_type}'"),
        );
    }
    app.send("POST", "/users/bulk", None, "username,email\n").await.check_error(400, "not valid JSON");
    app.send("POST", "/users/bulk", None, "").await.check_error(400, "The body is missing; send multipart/form-data");
    app.send("POST", "/users/bulk", Some("multipart/form-data"), "x").await.check_error(400, "boundary");
    let cut = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nusername,email\nann,x@y.z\n";
    app.send("POST", "/users/bulk", Some("multipart/form-data; boundary=x"), cut).await.check_error(400, "body");
    let twice = Form::new().part("file", Part::text("username,email\nann,a@y.z\n")).text("other", "x");
    let twice = twice.part("file", Part::text("username,email\nbob,b@y.z\n"));
    app.upload_form(twice).await.check_error(400, "two parts named file");
    assert_eq!(app.get("/users").await.json(), json!([]));

    let file = Part::text("username,email\nann,ann@mail.example\n");
    let form = Form::new().text("before", "x").part("file", file).text("after", "y");
    assert_eq!(app.upload_form(form).await.json()["imported"], 1, "another part changes the answer");
}

#[tokio::test]
async fn json_array_of_users_is_imported_like_a_file() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let users = json!([
        { "username": "cid", "email": "cid@mail.example", "id": 99, "role": ["$serde_json::private::RawValue"] },
        { "username": "ann", "email": "other@mail.example" },
        { "username": "dan", "email": "nonsense" },
        { "username": "eve" },
        { "username": 5, "email": "five@mail.example" },
        ["fay", "fay@mail.example"],
        { "username": "cid", "email": "cid@mail.example" },
        { "username": "zo\u{e9} \"z\"", "email": "zoe@mail.example" },
    ]);
    let answer = app.post("/users/bulk", users).await;
    assert_eq!((answer.status, answer.header("tern-ignored")), (201, Some("id, role")), "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({ "imported": 2, "skipped": 2, "failed": 4, "errors": [
            { "row": 3, "reason": "email must look like name@example.com" },
            { "row": 4, "reason": "email is required" },
            { "row": 5, "reason": "username must be a string" },
            { "row": 6, "reason": "a user must be an object with username and email" },
        ] })
    );
    assert_eq!(app.get("/users").await.json()[2]["username"], "zo\u{e9} \"z\"");
    let without_type =
        app.send("POST", "/users/bulk", None, r#" [{"username":"gus","email":"gus@mail.example"}] "#).await;
    assert_eq!(without_type.json()["imported"], 1, "{without_type:?}");
    let empty = app.post("/users/bulk", json!([])).await;
    assert_eq!((empty.status, empty.json()), (201, json!({ "imported": 0, "skipped": 0, "failed": 0, "errors": [] })));
}

#[tokio::test]
async fn json_array_of_users_is_bounded_like_other_bodies() {
    let app = spawn_app().await;
    let check = async |body: String, status: u16, message: &str| {
        app.send("POST", "/users/bulk", Some("application/json"), body).await.check_error(status, message);
    };
    check(r#"{"username":"ann","email":"ann@mail.example"}"#.to_owned(), 400, "must be a JSON array").await;
    check("[{]".to_owned(), 400, "not valid JSON").await;
    check("null".to_owned(), 400, "must be a JSON array").await;
    check(format!("[{}1{}]", "[".repeat(32), "]".repeat(32)), 400, "at most 32 deep").await;
    let private = "$serde_json::private::RawValue";
    check(format!("[{}1{}]", format!("{{\"{private}\":").repeat(20_000), "}".repeat(20_000)), 400, "at most 32 deep")
        .await;
    check(format!("[\"{}\"]", "x".repeat(1024 * 1024)), 413, "1.0 MiB").await;
    let rows: Vec<Value> =
        (0..2500).map(|n| json!({ "username": format!("u{n}"), "email": format!("u{n}@y.z") })).collect();
    assert_eq!(app.post("/users/bulk", Value::Array(rows)).await.json()["imported"], 2500);
}

#[tokio::test]
async fn large_upload_is_imported_and_all_errors_are_counted() {
    let app = spawn_app().await;
    let row = |n: usize| {
        if n.is_multiple_of(3) { format!("user{n},nonsense\n") } else { format!("user{n},user{n}@mail.example\n") }
    };
    let csv: String = std::iter::once("username,email\n".to_owned()).chain((1..=6_000).map(row)).collect();
    let report = app.upload(csv).await.json();
    assert_eq!((&report["imported"], &report["skipped"], &report["failed"]), (&json!(4000), &json!(0), &json!(2000)));
    let rows: Vec<u64> =
        report["errors"].as_array().unwrap().iter().map(|error| error["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, (1..=1000).map(|n| n * 3).collect::<Vec<u64>>());
}

#[tokio::test]
async fn upload_over_the_limit_is_refused_with_or_without_length() {
    let config = AdminConfig { bulk_body_limit: ByteSize::kib(64), ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    let rows = |count: usize| -> String { (0..count).map(|n| format!("user{n},user{n}@mail.example\n")).collect() };
    let fits = format!("username,email\n{}", rows(1000));
    let too_large = format!("username,email\n{}", rows(3000));
    app.upload(too_large.clone()).await.check_error(413, "64.0 KiB");

    let body = format!("--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{too_large}\r\n--x--\r\n");
    let head = "POST /users/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    app.send_raw(chunked).await.check_error(413, "body");
    assert_eq!(app.get("/users").await.json(), json!([]));
    assert_eq!(app.upload(fits).await.json()["imported"], 1000);
}

#[tokio::test]
async fn upload_refused_while_sending_is_answered_after_its_end() {
    let app = spawn_app().await;
    let part = |name: &str, text: &[u8]| {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), text, b"\r\n"].concat()
    };
    let check = async |content_type: &str, parts: &[Vec<u8>], message: &str| {
        let body = [parts.concat().as_slice(), b"--x--\r\n"].concat();
        let head = "POST /users/bulk HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let head = format!("{head}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
        app.send_raw([head.as_bytes(), &body].concat()).await.check_error(400, message);
    };
    let large = vec![b'x'; 10_000_000];
    let form = "multipart/form-data; boundary=x";
    let invalid = [b"\xff", large.as_slice()].concat();
    check(form, &[part("file", &large), part("file", &large)], "two parts named file").await;
    check(form, &[part("file", &invalid), part("other", &large)], "UTF-8").await;
    check(form, &[part("file", b"\xc3"), part("other", &large)], "UTF-8").await;
    let small = part("file", &large[..2_000_000]);
    check("multipart/form-data", std::slice::from_ref(&small), "boundary").await;
    check(form, &[b"--x\r\nnonsense\r\n\r\n".to_vec(), small], "The body could not be read").await;
    let head = "POST /users/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\n";
    let waiting = format!("{head}Content-Length: 500000\r\nExpect: 100-continue\r\n\r\n");
    app.send_raw(waiting).await.check_error(400, "boundary");
    assert_eq!(app.get("/users").await.json(), json!([]));
}

#[tokio::test]
async fn upload_larger_than_other_bodies_is_accepted() {
    let app = spawn_app().await;
    let note = "x".repeat(4096);
    let rows: String = (0..1000).map(|n| format!("user{n},user{n}@mail.example,{note}\n")).collect();
    let report = app.upload(format!("username,email,note\n{rows}")).await.json();
    assert_eq!((&report["imported"], &report["errors"]), (&json!(1000), &Value::Array(Vec::new())));
    let head = "POST /users/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n";
    let over = app.send_raw(format!("{head}Content-Length: {}\r\n\r\n", 64 * 1024 * 1024 + 1)).await;
    over.check_error(413, "64.0 MiB");
}
