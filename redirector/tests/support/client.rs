//! A minimal HTTP client that shares no code, and so no mistakes, with the server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const GET: &[u8] = b"GET /CODE12 HTTP/1.1\r\nHost: t.example\r\n\r\n";

/// Longest wait for anything on loopback.
const WAIT_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pending: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).unwrap())
    }

    /// Returns a client on a connected socket.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        stream.set_write_timeout(Some(WAIT_LIMIT)).unwrap();
        Self { stream, pending: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes and returns the one answer.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Answer {
        self.send(bytes);
        self.answer(bytes.starts_with(b"HEAD ")).unwrap().expect("an answer")
    }

    /// Returns the next answer, or `None` at the end of the stream.
    pub(crate) fn answer(&mut self, to_head: bool) -> io::Result<Option<Answer>> {
        let end = loop {
            if let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if !self.read_more()? {
                return if self.pending.is_empty() { Ok(None) } else { Err(broken("an answer is cut short")) };
            }
        };
        let head = String::from_utf8(self.pending.drain(..end + 4).collect()).map_err(|_| broken("not ASCII"))?;
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default();
        let (status, reason) = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| Some((rest.get(..3)?.parse().ok()?, rest.get(4..).unwrap_or_default().to_owned())))
            .ok_or_else(|| broken(&format!("not a status line: {line:?}")))?;
        let fields: Vec<_> = lines
            .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| broken("not a field"))?;
        let mut answer = Answer { status, reason, fields, body: Vec::new() };
        if !to_head && status >= 200 && status != 204 {
            let length = answer.field("Content-Length").and_then(|length| length.parse().ok());
            let length: usize = length.ok_or_else(|| broken("no Content-Length"))?;
            while self.pending.len() < length {
                if !self.read_more()? {
                    return Err(broken("a body is cut short"));
                }
            }
            answer.body = self.pending.drain(..length).collect();
        }
        Ok(Some(answer))
    }

    /// Checks that the stream ends without a further byte or a reset.
    #[track_caller]
    pub(crate) fn ends(&mut self) {
        assert_eq!(self.answer(false).unwrap(), None);
    }

    /// Returns whether bytes or the stream's end arrive within `time`.
    pub(crate) fn receives_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let heard = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        heard
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk)?;
        self.pending.extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
