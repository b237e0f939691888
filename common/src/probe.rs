//! The health check of containers, whose images contain no other program.
//!
//! The check is no general HTTP client: it reads the status line of one answer, and follows no redirect.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// The time limit of each step. Not every container runtime ends a check that takes too long.
const STEP_LIMIT: Duration = Duration::from_secs(2);

/// Requests `path` from the process that listens on an address. Returns an error unless the answer is 200.
pub fn ask(listener: SocketAddr, path: &str) -> anyhow::Result<()> {
    let address = reachable(listener);
    let line = first_line(address, path).with_context(|| format!("no answer from {address}"))?;
    match line.strip_prefix("HTTP/1.1 200 ") {
        Some(_) => Ok(()),
        None => bail!("{address}{path} answered {line:?}"),
    }
}

/// Returns an address at which the listener is reachable: loopback for the unspecified address.
pub fn reachable(listener: SocketAddr) -> SocketAddr {
    let address = match listener.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listener.port())
}

fn first_line(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, STEP_LIMIT)?;
    stream.set_read_timeout(Some(STEP_LIMIT))?;
    stream.set_write_timeout(Some(STEP_LIMIT))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut line = Vec::new();
    // 256 bytes are longer than any status line. One read may return less.
    let mut stream = stream.take(256);
    let mut bytes = [0; 256];
    while !line.contains(&b'\n') {
        match stream.read(&mut bytes)? {
            0 => break,
            read => line.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&line).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ask_server_with_answer(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1:"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        // A container listens on the unspecified address.
        let asked = ask(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), "/ready");
        server.join().unwrap();
        asked.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn answer_other_than_200_is_an_error() {
        assert_eq!(ask_server_with_answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(()));
        for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 302 Found\r\n", "200", "SSH-2.0 200 x", ""]
        {
            assert!(ask_server_with_answer(answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn port_without_a_listener_is_an_error() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(free, "/ready").unwrap_err().to_string().contains("no answer"));
    }
}
