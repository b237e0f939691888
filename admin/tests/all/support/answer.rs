//! Answers, whichever client received them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Header values by lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub async fn read(response: reqwest::Response) -> Answer {
        let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let (status, headers) = (response.status().as_u16(), response.headers().iter().map(header).collect());
        let mut answer = Answer { status, headers, body: String::new() };
        // A stream of events has no end.
        if answer.header("content-type") != Some("text/event-stream") {
            answer.body = response.text().await.unwrap();
        }
        answer
    }

    pub fn parse(bytes: &[u8]) -> Answer {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("the answer has no head");
        let (status_line, headers) = head.split_once("\r\n").unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        };
        Answer {
            status: status_line.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: headers.split("\r\n").map(header).collect(),
            body: body.to_owned(),
        }
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn ids(&self) -> Vec<i64> {
        assert_eq!(self.status, 200, "{self:?}");
        self.json().as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }

    /// Checks that this is an error in the envelope whose message contains `message`.
    #[track_caller]
    pub fn check_error(&self, status: u16, message: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let reason = match status {
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            412 => "Precondition Failed",
            413 => "Payload Too Large",
            414 => "URI Too Long",
            415 => "Unsupported Media Type",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            _ => panic!("the contract has no such error"),
        };
        let body = self.json();
        assert_eq!(body["error"], json!(reason));
        assert!(body["message"].as_str().unwrap().contains(message), "{self:?}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
    }
}
