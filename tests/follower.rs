//! A cheap client that follows links over one connection. The machine's power is shared with the measured processes.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connection to one redirector, with its last answer.
#[derive(Debug)]
pub struct Follower {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Follower {
    pub async fn connect(address: &str) -> io::Result<Follower> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Follower { stream, answer: Vec::new() })
    }

    /// Returns the target of a code. The request is a HEAD, which is no click.
    pub async fn target(&mut self, code: &str) -> io::Result<Option<String>> {
        self.ask(&format!("HEAD /{code} HTTP/1.1\r\nHost: fleet.example\r\n\r\n"), false).await?;
        Ok(self.location().map(str::to_owned))
    }

    /// Returns the location of the last answer.
    pub fn location(&self) -> Option<&str> {
        self.field("location")
    }

    /// Follows a code, with `name` as the click's referrer; returns the status.
    pub async fn follow(&mut self, code: &str, name: u64) -> io::Result<u16> {
        let request =
            format!("GET /{code} HTTP/1.1\r\nHost: fleet.example\r\nUser-Agent: follower\r\nReferer: {name}\r\n\r\n");
        self.ask(&request, true).await?;
        let status = self.head().get(9..12).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Returns whether no byte answered the last request.
    pub fn has_no_answer(&self) -> bool {
        self.answer.is_empty()
    }

    /// Returns whether the last answer announced the connection's close.
    pub fn is_closing(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Sends a request and reads the whole answer.
    async fn ask(&mut self, request: &str, has_body: bool) -> io::Result<()> {
        self.answer.clear();
        self.stream.write_all(request.as_bytes()).await?;
        let head = loop {
            if let Some(end) = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let length = self.field("content-length").filter(|_| has_body).and_then(|length| length.parse().ok());
        while self.answer.len() < head + length.unwrap_or(0) {
            self.read().await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.answer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn head(&self) -> &str {
        let end = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(0);
        std::str::from_utf8(&self.answer[..end]).unwrap_or_default()
    }

    fn field(&self, wanted: &str) -> Option<&str> {
        self.head().lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then_some(value)
        })
    }
}
