//! Heads that hyper refuses itself, and the bodies of these refusals.

use super::*;

#[tokio::test]
async fn large_head_is_answered_431() {
    let port = serve(generous_limits()).await;
    let head = |bytes: usize| format!("GET / HTTP/1.1\r\nhost: tern\r\nx: {}\r\n\r\n", "v".repeat(bytes));
    assert!(ask(&mut port.connect().await, &head(15 * 1024)).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&mut port.connect().await, &head(17 * 1024)).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn unreadable_head_is_refused_with_a_json_body_and_counted() {
    let port = serve(generous_limits()).await;
    let check = async |request: &str, status: &str, message: &str| {
        let mut stream = port.connect().await;
        let answer = ask(&mut stream, request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{answer}");
        assert!(head.contains("\r\nConnection: close") && head.contains("\r\nDate: "), "{answer}");
        assert_eq!(body, format!("{{\"error\":\"{}\",\"message\":\"{message}\"}}", &status[4..]), "{request:.50}");
        assert!(is_closed(&mut stream).await, "{request:.50}");
    };
    let malformed = "The request head is malformed";
    for request in ["GET / HTTP/1.1\r\nhost tern", "G(T / HTTP/1.1", "GET / HTTP/3.0", "x"] {
        check(&format!("{request}\r\n\r\n"), "400 Bad Request", malformed).await;
    }
    check("POST / HTTP/1.1\r\nhost: tern\r\ncontent-length: x\r\n\r\n", "400 Bad Request", malformed).await;
    let large = format!("GET / HTTP/1.1\r\nhost: tern\r\nx: {}\r\n\r\n", "v".repeat(200_000));
    check(&large, "431 Request Header Fields Too Large", "The request head is too large").await;
    assert_eq!(port.count("malformed_head"), 6);

    let read = async |request: &str| {
        let (mut stream, mut answer) = (port.connect().await, String::new());
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let both = read(&format!("{GET}nonsense\r\n\r\n")).await;
    let (good, bad) = both.split_once("\r\n\r\nhere").unwrap();
    assert!(good.starts_with("HTTP/1.1 200 OK\r\n") && bad.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{both}");
    assert!(bad.ends_with("malformed\"}"), "{both}");
    let behind_head = read("HEAD / HTTP/1.1\r\nhost: tern\r\n\r\nGET no field\r\n\r\n").await;
    assert!(behind_head.starts_with("HTTP/1.1 200 OK\r\n") && behind_head.ends_with("malformed\"}"), "{behind_head}");
}

#[tokio::test]
async fn unreadable_head_request_is_refused_without_a_body() {
    let port = serve(generous_limits()).await;
    let refused = async |first: &[&str]| {
        let (mut stream, mut answer) = (port.connect().await, String::new());
        for piece in first.iter().chain(&["/ HTTP/1.1\r\nno field\r\n\r\n"]) {
            stream.write_all(piece.as_bytes()).await.unwrap();
            sleep(MOMENT / 10).await;
        }
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("HTTP/1.1 400 ") && answer.contains("Content-Length: 65\r\n"), "{first:?}: {answer}");
        answer.ends_with("\r\n\r\n")
    };
    for head in [&["HEAD "][..], &["HE", "A", "D "], &["\r\n\nHEAD "], &["\r\n", "HEAD "], &[GET, "HEAD "]] {
        assert!(refused(head).await, "{head:?}");
    }
    for other in
        [&["GET "][..], &["HEADS "], &["HEA", "T "], &["X", "HEAD "], &["HEAD / HTTP/1.1\r\nhost: t\r\n\r\n", "GET "]]
    {
        assert!(!refused(other).await, "{other:?}");
    }
}
