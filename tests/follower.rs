//! Looks what a redirector serves as often and as cheaply as can be: what it takes of the machine, it takes from those
//! whom it measures.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to one redirector, and what was read from it.
#[derive(Debug)]
pub struct Follower {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Follower {
    pub async fn connect(address: &str) -> Follower {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Follower { stream, answer: Vec::new() }
    }

    /// Whether the code leads to `target` now. A HEAD, so that looking leaves no click.
    pub async fn leads_to(&mut self, code: &str, target: &str) -> bool {
        let request = format!("HEAD /{code} HTTP/1.1\r\nHost: fleet.example\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer.clear();
        while !self.answer.ends_with(b"\r\n\r\n") {
            let read = self.stream.read_buf(&mut self.answer).await.unwrap();
            assert!(read > 0, "the redirector closed the connection");
        }
        let answer = std::str::from_utf8(&self.answer).unwrap();
        let location = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location").then_some(value)
        });
        location == Some(target)
    }
}
