//! The floor: the least work that a socket server can do. A bare epoll loop finds the ends of heads and answers a
//! constant 302, without parsing, lookup or recording.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use anyhow::Result;
use clap::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use tern_bench::yardstick::Arguments;

/// Event number of new connections; connections are numbered from 0.
const NEW_CONNECTIONS: u64 = u64::MAX;

/// End of a head.
const END: &[u8; 4] = b"\r\n\r\n";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(("127.0.0.1", arguments.port))?;
    let answer: Arc<[u8]> = constant_answer(arguments.location).into_bytes().into();
    let mut workers = Vec::new();
    for _ in 0..arguments.workers {
        let (sender, receiver) = channel();
        let news = Arc::new(EventFd::new()?);
        let (their_news, answer) = (Arc::clone(&news), Arc::clone(&answer));
        std::thread::spawn(move || work(&receiver, &their_news, &answer));
        workers.push((sender, news));
    }
    // Connections are distributed in turns, as Tern does; a listener for each worker would distribute them randomly.
    for (stream, (sender, news)) in listener.incoming().zip(workers.iter().cycle()) {
        let stream = stream?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        sender.send(stream)?;
        news.write(1)?;
    }
    Ok(())
}

/// Returns an answer as long as Tern's with such a location.
fn constant_answer(location: usize) -> String {
    let location = format!("https://www.example.com/{}", "x".repeat(location.saturating_sub(24)));
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\
         X-Robots-Tag: noindex\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
    )
}

struct Connection {
    stream: TcpStream,
    /// Number of bytes of [`END`] at the end of the bytes read so far.
    seen: usize,
}

fn work(new: &Receiver<TcpStream>, news: &EventFd, answer: &[u8]) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(news.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, NEW_CONNECTIONS))?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = vec![EpollEvent::empty(); 256];
    let mut buffer = [0; 4096];
    let mut replies = Vec::new();
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() == NEW_CONNECTIONS {
                news.read()?;
                for stream in new.try_iter() {
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, connections.len() as u64);
                    epoll.add(stream.as_fd(), event)?;
                    connections.push(Some(Connection { stream, seen: 0 }));
                }
                continue;
            }
            let slot = &mut connections[event.data() as usize];
            let Some(connection) = slot else { continue };
            match connection.stream.read(&mut buffer) {
                Ok(0) => *slot = None,
                Ok(read) => {
                    let heads = ends(&buffer[..read], &mut connection.seen);
                    replies.clear();
                    (0..heads).for_each(|_| replies.extend_from_slice(answer));
                    // A client that does not read its answers is disconnected.
                    if connection.stream.write_all(&replies).is_err() {
                        *slot = None;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => *slot = None,
            }
        }
    }
}

/// Returns how many heads end in `bytes`.
fn ends(bytes: &[u8], seen: &mut usize) -> usize {
    let mut count = 0;
    for byte in bytes {
        *seen = match (*byte == END[*seen], *byte) {
            (true, _) => *seen + 1,
            (false, b'\r') => 1,
            (false, _) => 0,
        };
        if *seen == END.len() {
            (count, *seen) = (count + 1, 0);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_cut_anywhere_are_counted() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET /\r\r\n\r\n";
        for cut in 0..=bytes.len() {
            let mut seen = 0;
            assert_eq!(ends(&bytes[..cut], &mut seen) + ends(&bytes[cut..], &mut seen), 2);
        }
    }

    #[test]
    fn constant_answer_has_the_length_of_terns_answer() {
        let tern = "HTTP/1.1 302 Found\r\nLocation: https://a.example/?q=%20#x\r\nCache-Control: no-store\r\n\
                    Content-Length: 0\r\nX-Robots-Tag: noindex\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        assert_eq!(constant_answer(26).len(), tern.len());
    }
}
