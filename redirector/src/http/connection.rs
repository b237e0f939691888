//! One connection: reads, lets [`Exchange`] answer every complete head, and writes once.
//!
//! This module sets the deadlines and decides when the connection ends. It yields only in [`Socket::wait`], and must
//! not hold a guard or a thread-local there.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::task::Waker;

use ::http::StatusCode;

use super::Service;
use super::connections::{ConnectionState, Permit, Phase, PortState, Registration};
use super::exchange::{Exchange, Next, Terms};
use super::limits::worker_of;
use super::refusal::Refusal;
use super::signal::{LONGEST_WAIT, Verdict};
use super::socket::Socket;
use super::stats::count;

/// Largest output buffer of an idle connection. 302s with ordinary targets fit.
const IDLE_OUTPUT: usize = 2 * 1024;

/// Time without a request after which big buffers are freed. Freed at once, they would be allocated for each request of
/// a client with long cookies.
const FREE_BUFFERS_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs a connection to its end. This is the body of its coroutine.
pub(super) fn run(stream: TcpStream, peer: IpAddr, permit: Permit, service: &impl Service) {
    let Ok(socket) = Socket::new(stream) else {
        // No memory or no watch in epoll. The client has received no byte, so closing is correct.
        count(&permit.shared().stats.accept_errors);
        return;
    };
    let registration = permit.register(socket.as_raw_fd(), socket.waker());
    let mut connection = Connection {
        readable: false,
        ending: false,
        drain: Drain::Unknown,
        has_read_last: false,
        exchange: Exchange::new(peer, worker_of(socket.as_raw_fd())),
        socket,
        registration,
    };
    connection.serve(service);
}

struct Connection {
    /// Whether a read may return bytes. A short read clears it: the epoll is edge-triggered and reports later bytes, so
    /// each request saves a second read that would return `EAGAIN`.
    readable: bool,
    /// Whether the peer has closed or reset its side. The epoll reports it once.
    ending: bool,
    drain: Drain,
    /// Whether an evicted connection has made its last read.
    has_read_last: bool,
    exchange: Exchange,
    /// Dropped before the registration, so that the socket is closed when the registry is empty.
    socket: Socket<TcpStream>,
    registration: Registration,
}

/// State of a connection in a drain of the port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// The connection has not noticed a drain.
    Unknown,
    /// The connection waits for a last request.
    Waiting,
    /// The grace time is over, and the connection makes its last read.
    LastRead,
}

/// Result of a wait for bytes.
enum Arrival {
    /// Bytes were read.
    Bytes,
    /// The client sends no more bytes.
    End,
    /// The connection broke.
    Broken,
    /// The deadline has passed.
    Overdue,
    /// The port drains, and no request is under way.
    Drained,
    /// The port ends the connection for another one.
    Evicted,
    /// The deadline of the drain has passed.
    Cut,
}

impl Connection {
    fn serve(&mut self, service: &impl Service) {
        loop {
            match self.fill() {
                Arrival::Bytes => {}
                Arrival::End => {
                    if !self.exchange.input.is_empty() {
                        count(&self.shared().stats.aborted);
                    }
                    return;
                }
                Arrival::Broken => return count(&self.shared().stats.aborted),
                Arrival::Overdue => return self.end_overdue(),
                Arrival::Evicted => return self.count_evicted(),
                Arrival::Drained | Arrival::Cut => return,
            }
            loop {
                let next = self.answer(service);
                if !self.flush() {
                    return;
                }
                match next {
                    Next::Write => {}
                    Next::Wait => {
                        if !self.pause() {
                            return;
                        }
                    }
                    Next::Read => break,
                    Next::Close { linger: false } => return,
                    Next::Close { linger: true } => return self.linger(),
                }
            }
            self.set_deadline();
        }
    }

    fn shared(&self) -> &PortState {
        self.registration.shared()
    }

    fn state(&self) -> &ConnectionState {
        &self.registration.state
    }

    fn overdue(&self) -> bool {
        self.state().deadline_ms() <= self.shared().now_ms()
    }

    fn wait(&mut self) {
        let ready = self.socket.wait();
        self.readable |= ready.readable();
        self.ending |= ready.ending();
    }

    /// Waits for bytes and reads them, once.
    fn fill(&mut self) -> Arrival {
        loop {
            if self.readable {
                match self.read() {
                    Ok(0) => return Arrival::End,
                    Ok(_) => return Arrival::Bytes,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Arrival::Broken,
                }
            }
            if self.shared().cutting() {
                return Arrival::Cut;
            }
            if self.shared().draining() && self.drain() {
                return Arrival::Drained;
            }
            if self.state().is_evicted() {
                if self.has_read_last {
                    return Arrival::Evicted;
                }
                self.has_read_last = true;
                self.readable = true;
            }
            if self.readable {
                continue;
            }
            if self.overdue() && !self.free_buffers() {
                return Arrival::Overdue;
            }
            self.wait();
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let space = self.exchange.input.space(self.registration.shared().limits.head_bytes);
        let wanted = space.len();
        let read = loop {
            match self.socket.get().read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let taken = *read.as_ref().unwrap_or(&0);
        self.readable = taken == wanted || (self.ending && taken > 0);
        self.exchange.input.extend(taken);
        read
    }

    /// Answers every complete head in the input.
    fn answer(&mut self, service: &impl Service) -> Next {
        let shared = self.registration.shared();
        let terms = Terms {
            limits: &shared.limits,
            stats: &shared.stats,
            is_last: shared.gives_notice() || self.registration.state.is_evicted(),
        };
        self.exchange.answer(terms, self.readable, service)
    }

    /// Waits until the postponed answer can be given. Returns false if the connection has to end.
    ///
    /// A client that ends its side meanwhile may still read the answer.
    fn pause(&mut self) -> bool {
        let Some(signal) = self.exchange.signal() else { return true };
        let waker = Waker::from(Arc::clone(&self.registration.state));
        let (shared, state) = (self.registration.shared(), &self.registration.state);
        // The deadline is late by a tick at most.
        let timeout = LONGEST_WAIT.saturating_sub(shared.limits.tick);
        state.enter(Phase::Wait, shared.now_ms(), shared.now_ms() + timeout.as_millis() as u64);
        while signal.poll(&waker).is_none() {
            if self.shared().cutting() {
                return false;
            }
            if self.overdue() {
                signal.end(Verdict::Unknown);
            } else {
                self.wait();
            }
        }
        true
    }

    /// Sets the deadline for the rest of a head, or for the next head.
    fn set_deadline(&mut self) {
        let (shared, state) = (self.registration.shared(), &self.registration.state);
        if !self.exchange.input.is_empty() {
            // The time runs from the first byte of a head. Bytes after an answered head start a new one.
            if !state.is(Phase::Head) || self.exchange.input.is_new() {
                state.enter(Phase::Head, shared.now_ms(), shared.deadline_in(shared.limits.header_timeout));
            }
        } else {
            let timeout = shared.limits.idle_timeout;
            state.enter(
                Phase::Idle,
                shared.now_ms(),
                shared.deadline_in(if self.is_big() { timeout.min(FREE_BUFFERS_AFTER) } else { timeout }),
            );
        }
        self.exchange.input.mark_seen();
    }

    fn is_big(&self) -> bool {
        self.exchange.input.is_big() || self.exchange.output.capacity() > IDLE_OUTPUT
    }

    /// Frees the buffers of an idle connection if they are big. Returns whether it did; otherwise the connection is
    /// overdue.
    fn free_buffers(&mut self) -> bool {
        let big = self.state().is(Phase::Idle) && self.is_big();
        if big {
            self.exchange.input.free();
            self.exchange.output = Vec::new();
            let shared = self.shared();
            let left = shared.limits.idle_timeout.saturating_sub(FREE_BUFFERS_AFTER);
            self.state().extend(shared.deadline_in(left));
        }
        big
    }

    /// Advances the drain of this connection. Returns whether the connection can end now.
    ///
    /// A request under way is finished. An idle connection waits for a request that may be on its way, since its client
    /// would see a broken connection.
    fn drain(&mut self) -> bool {
        let shared = self.registration.shared();
        let awaits_request = self.state().is(Phase::Idle) || self.state().is(Phase::Fresh);
        match self.drain {
            Drain::Unknown => {
                self.drain = Drain::Waiting;
                if awaits_request {
                    self.state().enter(Phase::Idle, shared.now_ms(), shared.deadline_in(shared.grace()));
                }
                false
            }
            Drain::Waiting => {
                if awaits_request && self.overdue() {
                    self.drain = Drain::LastRead;
                    self.readable = true;
                }
                false
            }
            Drain::LastRead => awaits_request && !self.readable,
        }
    }

    fn end_overdue(&mut self) {
        let stats = &self.shared().stats;
        match self.state().is(Phase::Idle) {
            true => count(&stats.idle_timeouts),
            false => count(&stats.header_timeouts),
        }
        // A client that sent no byte gets no answer.
        if !self.exchange.input.is_empty() {
            let (status, message) = (StatusCode::REQUEST_TIMEOUT, "The request head did not come in time");
            let refusal = Refusal { status, message };
            self.exchange.refuse(refusal, &self.registration.shared().stats);
            if self.flush() {
                self.linger();
            }
        }
    }

    fn count_evicted(&self) {
        let stats = &self.shared().stats;
        count(if self.state().is(Phase::Idle) { &stats.evicted_idle } else { &stats.evicted_slow });
    }

    /// Writes all answers, with one call unless the client does not read. Returns false if the connection has ended.
    fn flush(&mut self) -> bool {
        let mut written = 0;
        let mut blocked = false;
        while written < self.exchange.output.len() {
            match self.socket.get().write(&self.exchange.output[written..]) {
                Ok(bytes) if bytes > 0 => {
                    written += bytes;
                    blocked = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let (shared, state) = (self.registration.shared(), &self.registration.state);
                    if !blocked {
                        blocked = true;
                        let deadline_ms = shared.deadline_in(shared.limits.write_timeout);
                        // Progress moves the deadline, but not the beginning of the phase, by which slow readers are
                        // evicted.
                        if state.is(Phase::Write) {
                            state.extend(deadline_ms);
                        } else {
                            state.enter(Phase::Write, shared.now_ms(), deadline_ms);
                        }
                    } else if self.overdue() {
                        count(&shared.stats.write_timeouts);
                        return false;
                    }
                    if shared.cutting() {
                        return false;
                    }
                    if state.is_evicted() {
                        self.count_evicted();
                        return false;
                    }
                    self.wait();
                }
                _ => {
                    count(&self.shared().stats.aborted);
                    return false;
                }
            }
        }
        self.exchange.output.clear();
        true
    }

    /// Closes the sending side, then reads and discards bytes until the client closes, within limits of time and bytes.
    ///
    /// Closing at once would reset the connection if the client still sends, and the client could lose the answer.
    fn linger(&mut self) {
        if self.socket.get().shutdown(Shutdown::Write).is_err() {
            return;
        }
        let shared = self.registration.shared();
        let mut left = shared.limits.linger_bytes;
        let deadline_ms = shared.deadline_in(shared.limits.linger_timeout);
        self.registration.state.enter(Phase::Linger, shared.now_ms(), deadline_ms);
        self.readable = true;
        loop {
            while self.readable {
                self.exchange.input.clear();
                match self.read() {
                    Ok(bytes) if bytes > 0 && bytes < left => left -= bytes,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    _ => return,
                }
            }
            if self.overdue() || self.shared().cutting() {
                return;
            }
            if self.state().is_evicted() {
                return self.count_evicted();
            }
            self.wait();
        }
    }
}
