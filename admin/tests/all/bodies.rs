//! Requirements on bodies, common to every resource.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, spawn_app};

const WRITES: [(&str, &str); 5] =
    [("POST", "/users"), ("PUT", "/users/1"), ("POST", "/urls"), ("PUT", "/urls/1"), ("POST", "/events")];

#[tokio::test]
async fn body_that_is_no_json_object_is_refused() {
    let app = spawn_app().await;
    for (method, path) in WRITES {
        for body in ["[]", "\"x\"", "null", "5", "true", "{", "{\"a\":1,}", "", " ", "nonsense", "{}{}", "{'a':1}"] {
            app.send(method, path, Some("application/json"), body).await.check_error(400, "body");
        }
        app.send(method, path, Some("application/json"), &b"{\"a\":\"\xff\"}"[..]).await.check_error(400, "JSON");
    }
}

#[tokio::test]
async fn body_with_json_content_type_is_accepted() {
    let app = spawn_app().await;
    let check = async |content_type: &str, expected: u16, name: &str| {
        let body = json!({ "username": name, "email": format!("{name}@mail.example") }).to_string();
        let answer = app.send("POST", "/users", Some(content_type), body).await;
        assert_eq!(answer.status, expected, "{content_type}");
    };
    check("application/json", 201, "a").await;
    check("application/json; charset=utf-8", 201, "b").await;
    check("Application/JSON ;x=y", 201, "c").await;
    check("application/vnd.tern+json", 201, "d").await;
    for wrong in
        ["text/plain", "text/json", "application/jsonp", "application/x-www-form-urlencoded", "json", "", "+json"]
    {
        check(wrong, 400, "e").await;
    }
}

#[tokio::test]
async fn body_of_other_content_type_is_refused_naming_the_type() {
    let app = spawn_app().await;
    let form = "application/x-www-form-urlencoded";
    for (method, path) in WRITES {
        for declared in ["text/plain", form, "multipart/form-data; boundary=x", "text/json; charset=utf-8"] {
            let expected = format!("The Content-Type must be application/json, and it is '{declared}'");
            app.send(method, path, Some(declared), "{}").await.check_error(400, &expected);
            app.send(method, path, Some(declared), "").await.check_error(400, &expected);
        }
        app.send(method, path, Some(""), "{}").await.check_error(400, "application/json, and it is ''");
        let long = format!("text/{}", "x".repeat(5000));
        let answer = app.send(method, path, Some(&long), "{}").await;
        answer.check_error(400, &format!("'{}'", &long[..100]));
        let twice = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\
             Content-Type: application/json\r\nContent-Type: text/plain\r\n\r\n{{}}"
        );
        app.send_raw(twice).await.check_error(400, "one Content-Type");
    }
}

#[tokio::test]
async fn missing_body_is_refused_with_a_clear_message() {
    let app = spawn_app().await;
    for (method, path) in WRITES {
        for head in ["", "Content-Length: 0\r\n", "Content-Type: application/json\r\n"] {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n");
            app.send_raw(head).await.check_error(400, "The body is missing; send a JSON object");
        }
        app.send(method, path, Some("application/json"), " \n").await.check_error(400, "The body is missing");
    }
}

#[tokio::test]
async fn body_without_content_type_is_accepted_if_valid() {
    let app = spawn_app().await;
    let check = async |body: &str, expected: u16| {
        let head = "POST /users HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let answer = app.send_raw(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
        assert_eq!(answer.status, expected, "{body}: {answer:?}");
    };
    check(r#"{"username":"ann","email":"ann@mail.example"}"#, 201).await;
    check("{}", 400).await;
    check("[]", 400).await;
    check("5", 400).await;
    check("username=ann", 400).await;
    check("", 400).await;
    check("{", 400).await;
}

#[tokio::test]
async fn json_nested_deeper_than_32_is_refused() {
    let app = spawn_app().await;
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let send = |body: String| app.send("PUT", "/users/1", Some("application/json"), body);
    send(nested(32)).await.check_error(404, "User 1 not found");
    send(nested(33)).await.check_error(400, "32 deep");
    send(nested(100_000)).await.check_error(400, "32 deep");
    send(format!("{{\"x\":\"{}\"}}", "[".repeat(33))).await.check_error(404, "User 1 not found");
}

#[tokio::test]
async fn body_over_one_mebibyte_is_refused() {
    let app = spawn_app().await;
    let object = r#"{"username":"ann","email":"ann@mail.example"}"#;
    let padded = |len: usize| format!("{object}{}", " ".repeat(len - object.len()));
    for (method, path) in WRITES {
        let answer = app.send(method, path, Some("application/json"), padded(1024 * 1024 + 1)).await;
        answer.check_error(413, "1.0 MiB");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(app.send("POST", "/users", Some("application/json"), padded(1024 * 1024)).await.status, 201);
}

#[tokio::test]
async fn body_over_the_limit_is_refused_before_it_is_read() {
    let app = spawn_app().await;
    let head = "POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let began = Instant::now();
    // Announced and never sent, with and without `Expect: 100-continue`.
    let announced = format!("{head}Content-Length: 1099511627776\r\n");
    app.send_raw(format!("{announced}\r\n{{")).await.check_error(413, "body");
    app.send_raw(format!("{announced}Expect: 100-continue\r\n\r\n")).await.check_error(413, "body");
    // Chunked, without an end.
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(17));
    app.send_raw(chunked).await.check_error(413, "body");
    assert!(began.elapsed() < Duration::from_secs(4), "the server keeps the connection open");
}

#[tokio::test]
async fn refused_client_that_keeps_sending_receives_the_answer() {
    let app = spawn_app().await;
    let body = " ".repeat(2_500_000);
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let chunk = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let check = async |content_type: &str, sent: &str, expected: u16| {
        let head = "POST /users HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let request = format!("{head}Content-Type: {content_type}\r\n{sent}");
        let (first, rest) = request.as_bytes().split_at(1_500_000);
        let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
        socket.write_all(first).await.unwrap();
        socket.readable().await.unwrap();
        for piece in rest.chunks(100_000) {
            socket.write_all(piece).await.unwrap();
        }
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        Answer::parse(&answer).check_error(expected, "");
    };
    check("application/json", &length, 413).await;
    check("application/json", &chunk, 413).await;
    check("text/plain", &length, 400).await;
    check("text/plain", &chunk, 400).await;
}

#[tokio::test]
async fn large_body_of_wrong_type_is_refused_before_it_is_sent() {
    let app = spawn_app().await;
    let head = "POST /users HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n";
    let began = Instant::now();
    app.send_raw(format!("{head}Content-Length: 500000\r\n\r\n")).await.check_error(400, "application/json");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    app.send("POST", "/users", Some("text/plain"), "x".repeat(900_000)).await.check_error(400, "application/json");
}

#[tokio::test]
async fn chunked_body_is_accepted() {
    let app = spawn_app().await;
    let head = "POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let chunks = "14\r\n{\"username\":\"ann\",\"e\r\n19\r\nmail\":\"ann@mail.example\"}\r\n0\r\n\r\n";
    let answer = app.send_raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn compressed_body_is_refused_with_415() {
    let app = spawn_app().await;
    for (method, path) in WRITES.into_iter().chain([("POST", "/users/bulk")]) {
        let content_type = if path == "/users/bulk" { "multipart/form-data; boundary=x" } else { "application/json" };
        for coding in ["gzip", "br", "identity, gzip"] {
            let headers = [("content-type", content_type), ("content-encoding", coding)];
            app.send_with(method, path, &headers).await.check_error(415, "Content-Encoding");
        }
        let headers = [("content-type", content_type), ("content-encoding", "Identity")];
        assert_eq!(app.send_with(method, path, &headers).await.status, 400, "{method} {path}");
    }
}
