//! Accepts connections and starts one coroutine for each.
//!
//! No error of accept(2) ends the listener or makes it spin. It never reads from a connection.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use may::coroutine::{self, Builder};

use super::Service;
use super::connection;
use super::connections::{Permit, PortState};
use super::limits::BACKLOG;
use super::socket::Socket;
use super::stats::count;

/// First pause after a failed accept, such as without free descriptors. Each further pause is twice as long.
const FIRST_BACK_OFF: Duration = Duration::from_millis(5);

/// Longest pause after a failed accept. Accepting has to recover within a second.
const LAST_BACK_OFF: Duration = Duration::from_millis(500);

/// Answer to a connection over the limit. It is fixed, because the request is not awaited.
const OVER_LIMIT: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 73\r\n\
    Retry-After: 1\r\nConnection: close\r\n\r\n\
    {\"error\":\"Service Unavailable\",\"message\":\"Too many connections are open\"}";

/// The listening socket. It closes when both owners, the coroutine and the server, have dropped it.
pub(super) struct Listener {
    socket: Socket<TcpListener>,
}

impl Listener {
    /// Starts to accept on a listening socket.
    pub(super) fn start(
        listener: TcpListener,
        shared: Arc<PortState>,
        service: Arc<impl Service>,
    ) -> io::Result<Arc<Self>> {
        let listener = Arc::new(Self { socket: Socket::new(listener)? });
        let id = listener.socket.as_raw_fd() as usize;
        let running = listener.clone();
        let run = move || {
            running.accept_until_drained(&shared, &service);
            drop(running);
            shared.notify_ended();
        };
        may::go!(Builder::new().id(id), run)?;
        Ok(listener)
    }

    /// Wakes the coroutine, so that it notices a drain. A coroutine on the same worker does it, as for connections.
    pub(super) fn wake(self: &Arc<Self>) {
        let listener = self.clone();
        let id = self.socket.as_raw_fd() as usize;
        drop(may::go!(Builder::new().id(id), move || listener.socket.waker().wakeup()));
    }

    fn accept_until_drained(&self, shared: &Arc<PortState>, service: &Arc<impl Service>) {
        let mut back_off = FIRST_BACK_OFF;
        // Queued connections are accepted, because closing the socket would reset them. New ones arrive, so it is
        // bounded.
        let mut queued = BACKLOG;
        while queued > 0 {
            // Read before accept, so that an empty queue proves that no connection from before the drain is left.
            let draining = shared.draining();
            queued -= i32::from(draining);
            match self.socket.get().accept() {
                Ok((stream, peer)) => {
                    back_off = FIRST_BACK_OFF;
                    admit(stream, peer, shared, service);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if draining {
                        return;
                    }
                    self.socket.wait();
                }
                Err(error) => {
                    count_error(shared, &error);
                    if draining {
                        return;
                    }
                    // These two errors concern one connection. Others concern the process, so accepting pauses.
                    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
                        sleep(back_off, shared);
                        back_off = (back_off * 2).min(LAST_BACK_OFF);
                    }
                }
            }
        }
    }
}

/// Sleeps without blocking the worker, in steps short enough for a drain.
fn sleep(duration: Duration, shared: &PortState) {
    const STEP: Duration = Duration::from_millis(50);
    let mut left = duration;
    while !left.is_zero() && !shared.draining() {
        coroutine::sleep(left.min(STEP));
        left = left.saturating_sub(STEP);
    }
    // may resumes a sleeper on its timer thread. Yielding moves it back to a worker.
    coroutine::yield_now();
}

fn count_error(shared: &PortState, error: &io::Error) {
    count(&shared.stats.accept_errors);
    shared.last_accept_error.store(error.raw_os_error().unwrap_or(0), Ordering::Relaxed);
}

fn admit(stream: TcpStream, peer: SocketAddr, shared: &Arc<PortState>, service: &Arc<impl Service>) {
    let peer_ip = peer.ip().to_canonical();
    let Some(permit) = Permit::take(shared, service.share_of(peer_ip)) else {
        return refuse(stream);
    };
    // The socket belongs to the epoll of worker `fd % workers`, and its coroutine to the same.
    let id = stream.as_raw_fd() as usize;
    let service = service.clone();
    let run = move || connection::run(stream, peer_ip, permit, &*service);
    // may panics without memory for a stack. Only this connection must end, and not the listener.
    let started = catch_unwind(AssertUnwindSafe(|| may::go!(Builder::new().id(id), run)));
    if !matches!(started, Ok(Ok(_))) {
        count_error(shared, &io::ErrorKind::OutOfMemory.into());
    }
}

/// Answers a connection over the limit, as a best effort.
///
/// The answer fits into an empty send buffer. A client whose request has already arrived may see a reset instead.
fn refuse(mut stream: TcpStream) {
    if stream.set_nonblocking(true).is_ok() && stream.write_all(OVER_LIMIT).is_ok() {
        drop(stream.shutdown(Shutdown::Write));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_answer_states_its_length() {
        let text = std::str::from_utf8(OVER_LIMIT).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
