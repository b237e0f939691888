//! A listener on loopback in place of Discord, which receives the messages.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Stand-in for Discord that listens until the test process ends.
#[derive(Debug)]
pub struct Discord {
    pub webhook: String,
    messages: Arc<Mutex<Vec<Value>>>,
}

impl Discord {
    pub fn start() -> Discord {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let webhook = format!("http://{}/api/webhooks/1234/secret", listener.local_addr().unwrap());
        let messages = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&messages);
        std::thread::spawn(move || listener.incoming().for_each(|stream| receive(stream.unwrap(), &received)));
        Discord { webhook, messages }
    }

    /// Returns the messages that contain all of `texts`.
    pub fn messages_with(&self, texts: &[&str]) -> Vec<Value> {
        let messages = self.messages.lock().unwrap();
        let holds = |message: &&Value| texts.iter().all(|text| message.to_string().contains(text));
        messages.iter().filter(holds).cloned().collect()
    }
}

/// Receives one message on one connection. Discord answers 204.
fn receive(mut stream: TcpStream, messages: &Mutex<Vec<Value>>) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    let message = loop {
        let Ok(read @ 1..) = stream.read(&mut chunk) else { return };
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("POST /api/webhooks/1234/secret HTTP/1.1\r\n"), "{head}");
        if let Ok(message) = serde_json::from_str(body) {
            break message;
        }
    };
    messages.lock().unwrap().push(message);
    // Alertmanager may have closed the connection.
    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}
