//! Asks a process of Tern on this machine whether it is well: what a container's health check runs, since the images hold
//! no other program.
//!
//! It must not become an HTTP client: it looks at the first line of one answer, and follows nothing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// For each step. Container runtimes give up later by themselves, but not all of them end the check.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks for `path` at the port on which the process listens; an error unless the answer is a 200.
pub fn ask(listens: SocketAddr, path: &str) -> anyhow::Result<()> {
    let address = reachable(listens);
    let line = first_line(address, path).with_context(|| format!("no answer from {address}"))?;
    match line.strip_prefix("HTTP/1.1 200 ") {
        Some(_) => Ok(()),
        None => bail!("{address}{path} answered {line:?}"),
    }
}

/// A process that listens everywhere is reached on loopback, too.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let address = match listens.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listens.port())
}

fn first_line(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut line = Vec::new();
    // Longer than any status line; one read may bring less.
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

    fn ask_one_who_says(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1:"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        // Everywhere, as in a container.
        let asked = ask(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), "/ready");
        server.join().unwrap();
        asked.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn only_a_200_is_well() {
        assert_eq!(ask_one_who_says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(()));
        for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 302 Found\r\n", "200", "SSH-2.0 200 x", ""]
        {
            assert!(ask_one_who_says(answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn nobody_there_is_an_error() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(free, "/ready").unwrap_err().to_string().contains("no answer"));
    }
}
