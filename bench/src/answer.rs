//! Minimal HTTP/1.1 parsing for clients on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Answer at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Length of the head in bytes.
    pub head: usize,
    /// Length of head and body in bytes.
    pub length: usize,
}

/// Parses the answer at the beginning of `bytes`; returns `None` while it is incomplete. Bodies have a `Content-Length`
/// or are empty.
///
/// # Errors
/// If the bytes are not HTTP.
pub fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).context("a head that is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let Some(status) = status else { bail!("no status: {text:?}") };
    let body = field(text, "content-length").map_or(Ok(0), str::parse::<usize>)?;
    let length = head + body;
    Ok((bytes.len() >= length).then_some(Answer { status, head, length }))
}

/// Returns the value of a header field.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// Sends a GET for `path` to a server on loopback; returns status, head and body.
pub fn get(port: u16, path: &str) -> Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(answer) = parse(&bytes)? {
            let body = bytes.split_off(answer.head);
            return Ok((answer.status, String::from_utf8(bytes)?, String::from_utf8(body)?));
        }
        match stream.read(&mut buffer) {
            Ok(0) => bail!("the connection ended without an answer"),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_ends_after_its_content_length() {
        let empty = "HTTP/1.1 302 Found\r\nLocation: /x\r\ncontent-length:0\r\n\r\n";
        let with_body = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";
        let whole = |text: &str| parse(text.as_bytes()).unwrap();
        assert_eq!(whole(empty), Some(Answer { status: 302, head: empty.len(), length: empty.len() }));
        assert_eq!(whole(&format!("{empty}{with_body}")).unwrap().length, empty.len());
        assert_eq!(
            whole(with_body).unwrap(),
            Answer { status: 404, head: with_body.len() - 3, length: with_body.len() }
        );
        assert_eq!(whole(&with_body[..with_body.len() - 1]), None);
        assert_eq!(whole(&empty[..20]), None);
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
        assert_eq!(field(empty, "location"), Some("/x"));
        assert_eq!(field(empty, "status"), None);
    }
}
