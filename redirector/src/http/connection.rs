//! One connection, from its first byte to its last: reads, has every complete head answered, writes once.
//!
//! It keeps the times, and decides when the connection ends; what the bytes mean is [`Exchange`]'s to say. It must not hold anything of a
//! thread (a guard, a thread-local) across [`Socket::wait`], which is the only place where it yields.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsRawFd as _;

use ::http::StatusCode;

use super::Service;
use super::connections::{Permit, Phase, PortState, Registered, Registration};
use super::exchange::{Exchange, Next, Terms};
use super::limits::worker_of;
use super::refusal::Refusal;
use super::socket::Socket;
use super::stats::count;

/// What an idle connection may keep of the buffer for answers: 302s with ordinary targets fit.
const IDLE_OUTPUT: usize = 2 * 1024;

/// Big buffers are given back after this time without a request, and not at once: a client with long cookies would
/// have them allocated for each.
const GIVE_BACK_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs a connection to its end. The body of its coroutine.
pub(super) fn run(stream: TcpStream, peer: IpAddr, permit: Permit, service: &impl Service) {
    let Ok(socket) = Socket::new(stream) else {
        // Out of memory or watches in epoll: nothing was said yet, so closing is an answer.
        count(&permit.shared().stats.accept_errors);
        return;
    };
    let registration = permit.register(socket.as_raw_fd(), socket.waker());
    let mut connection = Connection {
        readable: false,
        ending: false,
        drain: Drain::Unknown,
        looked: false,
        exchange: Exchange::new(peer, worker_of(socket.as_raw_fd())),
        socket,
        registration,
    };
    connection.serve(service);
}

struct Connection {
    /// A read may bring something. Cleared by a short read: the epoll is edge-triggered and tells of what comes later,
    /// so that a second read for nothing but `EAGAIN` is saved on every request.
    readable: bool,
    /// The peer has sent its last byte, or broken; told once, so it is kept.
    ending: bool,
    drain: Drain,
    /// It is to end for another, and has looked once more at what may have come at this moment.
    looked: bool,
    exchange: Exchange,
    /// Before the registration: who waits for the registry to be empty finds the socket closed.
    socket: Socket<TcpStream>,
    registration: Registration,
}

/// What this connection knows of the drain of its server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// Nothing, or there is none.
    Unknown,
    /// It waits for a last request.
    Waiting,
    /// Its time is over, and it looks once more at what may have come at this moment.
    LastLook,
}

/// What came of waiting for bytes.
enum Filled {
    /// Some came.
    Bytes,
    /// The client will send no more.
    End,
    /// The connection broke.
    Broken,
    /// The time for it is over.
    Overdue,
    /// The server drains, and no request is under way.
    Drained,
    /// The server makes room for another connection.
    Evicted,
    /// The server is out of patience.
    Cut,
}

impl Connection {
    fn serve(&mut self, service: &impl Service) {
        loop {
            match self.fill() {
                Filled::Bytes => {}
                Filled::End => {
                    if !self.exchange.input.is_empty() {
                        count(&self.shared().stats.aborted);
                    }
                    return;
                }
                Filled::Broken => return count(&self.shared().stats.aborted),
                Filled::Overdue => return self.end_overdue(),
                Filled::Evicted => return self.count_evicted(),
                Filled::Drained | Filled::Cut => return,
            }
            loop {
                let next = self.answer(service);
                if !self.flush() {
                    return;
                }
                match next {
                    Next::Write => {}
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

    fn state(&self) -> &Registered {
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
    fn fill(&mut self) -> Filled {
        loop {
            if self.readable {
                match self.read() {
                    Ok(0) => return Filled::End,
                    Ok(_) => return Filled::Bytes,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Filled::Broken,
                }
            }
            if self.shared().cutting() {
                return Filled::Cut;
            }
            if self.shared().draining() && self.drain() {
                return Filled::Drained;
            }
            if self.state().is_evicted() {
                if self.looked {
                    return Filled::Evicted;
                }
                self.looked = true;
                self.readable = true;
            }
            if self.readable {
                continue;
            }
            if self.overdue() && !self.give_back() {
                return Filled::Overdue;
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
        self.exchange.input.filled(taken);
        read
    }

    /// Answers every complete head in the input.
    fn answer(&mut self, service: &impl Service) -> Next {
        let shared = self.registration.shared();
        let terms = Terms {
            limits: &shared.limits,
            stats: &shared.stats,
            draining: shared.leaving() || self.registration.state.is_evicted(),
        };
        self.exchange.answer(terms, self.readable, service)
    }

    /// Sets the deadline of the next event: the rest of a head, or another head.
    fn set_deadline(&mut self) {
        let (shared, state) = (self.registration.shared(), &self.registration.state);
        if !self.exchange.input.is_empty() {
            // The time runs from the first byte of a head. What is left after an answer starts a new one.
            if !state.is(Phase::Head) || self.exchange.input.is_new() {
                state.enter(Phase::Head, shared.now_ms(), shared.deadline_in(shared.limits.header_timeout));
            }
        } else {
            let timeout = shared.limits.idle_timeout;
            state.enter(
                Phase::Idle,
                shared.now_ms(),
                shared.deadline_in(if self.is_big() { timeout.min(GIVE_BACK_AFTER) } else { timeout }),
            );
        }
        self.exchange.input.mark_seen();
    }

    fn is_big(&self) -> bool {
        self.exchange.input.is_big() || self.exchange.output.capacity() > IDLE_OUTPUT
    }

    /// Gives big buffers back when the time for that has come; otherwise it is the connection's own time.
    fn give_back(&mut self) -> bool {
        let big = self.state().is(Phase::Idle) && self.is_big();
        if big {
            self.exchange.input.give_back();
            self.exchange.output = Vec::new();
            let shared = self.shared();
            let left = shared.limits.idle_timeout.saturating_sub(GIVE_BACK_AFTER);
            self.state().extend(shared.deadline_in(left));
        }
        big
    }

    /// What a drain means to this connection: true if it can end now. A request under way is finished first. One that is
    /// still on its way is waited for, since its client could only see the connection break.
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
                    self.drain = Drain::LastLook;
                    self.readable = true;
                }
                false
            }
            Drain::LastLook => awaits_request && !self.readable,
        }
    }

    fn end_overdue(&mut self) {
        let stats = &self.shared().stats;
        match self.state().is(Phase::Idle) {
            true => count(&stats.idle_timeouts),
            false => count(&stats.header_timeouts),
        }
        // Who sent nothing has asked nothing.
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

    /// Writes all answers; false if the connection is over. One call to write, unless the client does not read.
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
                        // Progress moves the deadline, but a slow reader stays the slow reader that it was.
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

    /// Ends the answers, then reads and forgets until the client closes, so that bytes it is still sending do not
    /// reset the connection under its answer. Bounded in time and bytes.
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
