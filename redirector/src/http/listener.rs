//! Accepts connections and starts one coroutine for each.
//!
//! It must go on for ever: whatever accept(2) says, it neither spins nor ends, and it never looks into a connection.

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

/// Out of descriptors or memory, the next try waits this long, doubling.
const FIRST_BACK_OFF: Duration = Duration::from_millis(5);

/// Half of the second within which accepting must have recovered.
const LAST_BACK_OFF: Duration = Duration::from_millis(500);

/// What a connection over the limit is told. Fixed, because nobody may wait for its request.
const OVER_LIMIT: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 73\r\n\
    Retry-After: 1\r\nConnection: close\r\n\r\n\
    {\"error\":\"Service Unavailable\",\"message\":\"Too many connections are open\"}";

/// The listening socket. It is closed with the last of its owners: the coroutine and the server.
pub(super) struct Listener {
    socket: Socket<TcpListener>,
}

impl Listener {
    /// Starts to accept. The socket listens already.
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

    /// Makes the coroutine look at whether it should end. From a coroutine on its own worker, as for connections.
    pub(super) fn wake(self: &Arc<Self>) {
        let listener = self.clone();
        let id = self.socket.as_raw_fd() as usize;
        drop(may::go!(Builder::new().id(id), move || listener.socket.waker().wakeup()));
    }

    fn accept_until_drained(&self, shared: &Arc<PortState>, service: &Arc<impl Service>) {
        let mut back_off = FIRST_BACK_OFF;
        // Who was queued when the drain began is still taken, and not reset by the close. Bounded, because others come.
        let mut queued = BACKLOG;
        while queued > 0 {
            // Read before accept, so that the queue is known to have been empty after the drain began.
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
                    // These two say something of one connection; the others (descriptors, memory, the network) of us.
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
    // may resumes a sleeper on its timer thread; leave it for a worker.
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
    // may panics when there is no memory for a stack. That is this connection's end and must not be the listener's.
    let started = catch_unwind(AssertUnwindSafe(|| may::go!(Builder::new().id(id), run)));
    if !matches!(started, Ok(Ok(_))) {
        count_error(shared, &io::ErrorKind::OutOfMemory.into());
    }
}

/// A best effort: the answer fits an empty send buffer, and a client whose request is already here may see a reset
/// instead. Whoever stays to read that request is no longer over the limit.
fn refuse(mut stream: TcpStream) {
    if stream.set_nonblocking(true).is_ok() && stream.write_all(OVER_LIMIT).is_ok() {
        drop(stream.shutdown(Shutdown::Write));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_answer_has_its_length() {
        let text = std::str::from_utf8(OVER_LIMIT).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
