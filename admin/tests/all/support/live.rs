//! A client of server-sent events.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::App;

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub event: String,
    pub id: Option<i64>,
    pub data: Value,
}

/// A stream of events, read as a browser reads it.
#[derive(Debug)]
pub struct Live {
    response: reqwest::Response,
    text: String,
    pub comments: usize,
}

impl App {
    /// Opens a stream and waits for its first part.
    pub async fn listen(&self, path: &str, headers: &[(&str, &str)]) -> Live {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut live = Live { response, text: String::new(), comments: 0 };
        while live.comments == 0 {
            assert!(live.read().await, "{path}: the stream ended");
        }
        live
    }
}

impl Live {
    /// Reads one part. Returns false at the end of the stream.
    async fn read(&mut self) -> bool {
        let read = timeout(Duration::from_secs(20), self.response.chunk());
        let Some(chunk) = read.await.expect("the stream is silent").unwrap() else { return false };
        self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some(rest) = self.text.strip_prefix(":\n\n") {
            self.comments += 1;
            self.text = rest.to_owned();
        }
        true
    }

    /// Returns the next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    block.lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
                };
                let sent = Sent {
                    event: field("event").unwrap(),
                    id: field("id").map(|id| id.parse().unwrap()),
                    data: serde_json::from_str(&field("data").unwrap()).unwrap(),
                };
                self.text = rest.trim_start_matches(":\n\n").to_owned();
                return Some(sent);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// Returns the ids of the next clicks.
    pub async fn ids(&mut self, number: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        while ids.len() < number {
            let sent = self.next().await.expect("the stream ended");
            assert_eq!(sent.event, "click", "{sent:?}");
            ids.push(sent.id.unwrap());
        }
        ids
    }
}
