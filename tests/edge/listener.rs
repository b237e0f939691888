//! An upstream server that records requests, and then answers or closes the connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Upstream server that listens until the test process ends.
#[derive(Debug)]
pub struct Listener {
    pub address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

/// A redirect for nginx.
pub const REDIRECT: &str = "HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n";

impl Listener {
    /// Starts a server that answers every request with `answer`, or closes the connection after reading it if there is
    /// none.
    pub fn start(answer: Option<&'static str>) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let written = Arc::clone(&written);
                std::thread::spawn(move || serve(stream.unwrap(), answer, &written));
            }
        });
        Listener { address, heads }
    }

    /// Returns the recorded requests, as they were sent.
    pub fn requests(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: Option<&str>, requests: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        request.extend_from_slice(&chunk[..read]);
        if request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            requests.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            request.clear();
            let Some(answer) = answer else { return };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}
