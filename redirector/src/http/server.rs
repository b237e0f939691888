//! The redirect port from its socket to its drain.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Service;
use super::connections::PortState;
use super::limits::{BACKLOG, Limits};
use super::listener::Listener;
use super::reaper::reap;
use super::stats::Stats;

/// Time for cut connections to end, which they do when their worker runs them.
const CUT_TIME: Duration = Duration::from_secs(1);

/// Interval at which a drain wakes the listener until it ends.
const LISTENER_STEP: Duration = Duration::from_millis(20);

/// Counts of the connections at a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that ended by themselves with their last request answered, including queued ones.
    pub finished: u64,
    /// Connections that were open at the deadline and were cut.
    pub cut: u64,
}

/// A port that is being served. Dropping it cuts open connections, so [drain](Self::drain) it first.
pub struct Server {
    local_addr: SocketAddr,
    shared: Arc<PortState>,
    /// `None` after the drain.
    running: Mutex<Option<Running>>,
}

struct Running {
    listener: Arc<Listener>,
    reaper: JoinHandle<()>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the address and serves it.
    pub fn bind(addr: SocketAddr, limits: Limits, service: Arc<impl Service>) -> io::Result<Self> {
        Self::adopt(Self::listen(addr)?, limits, service)
    }

    /// Binds the address. Clients that connect wait in the queue until the socket is served.
    ///
    /// A port in use is an error. Without SO_REUSEPORT, two processes cannot share a port by accident.
    pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait until old connections have left TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }

    /// Serves a socket that already listens, such as one of a predecessor.
    pub fn adopt(listener: TcpListener, limits: Limits, service: Arc<impl Service>) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        // Accepted sockets inherit the option, which saves one system call for each.
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        let shared = Arc::new(PortState::new(limits));
        let reaper = std::thread::Builder::new().name("tern-reaper".into()).spawn({
            let shared = shared.clone();
            move || reap(&shared)
        })?;
        let listener = Listener::start(listener, shared.clone(), service).inspect_err(|_| {
            shared.stop();
            reaper.thread().unpark();
        })?;
        Ok(Self { local_addr, shared, running: Mutex::new(Some(Running { listener, reaper })) })
    }

    /// Returns the address of the socket, with the real port if the configured one is 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns the counters of the port.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Returns the number of registered connections.
    pub fn registered(&self) -> usize {
        self.shared.registered()
    }

    /// Closes each connection with its next answer from now on, while new connections are still accepted.
    ///
    /// Clients connect elsewhere before the port closes.
    pub fn give_notice(&self) {
        self.shared.start_notice();
    }

    /// Returns whether notice of the end has been given.
    pub fn gives_notice(&self) -> bool {
        self.shared.gives_notice()
    }

    /// Stops accepting, finishes the requests under way and those that arrive within `grace`, and cuts the other
    /// connections after `deadline`.
    ///
    /// It blocks its thread, which must not be a `may` worker. A second call does nothing.
    pub fn drain(&self, deadline: Duration, grace: Duration) -> DrainReport {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { listener, reaper }) = running else {
            return DrainReport { finished: 0, cut: 0 };
        };
        let deadline = Instant::now() + deadline;
        let shared = &self.shared;
        let accepted = || shared.stats.accepted.load(Ordering::Relaxed);
        let (open, accepted_before) = (shared.open(), accepted());
        shared.start_draining(grace);
        reaper.thread().unpark();
        close(listener, shared);
        shared.wait_until(deadline, || shared.open() == 0);
        let cut = shared.open();
        let finished = (open + accepted() - accepted_before).saturating_sub(cut);
        if cut > 0 {
            shared.stats.cut.fetch_add(cut, Ordering::Relaxed);
            shared.start_cutting();
            reaper.thread().unpark();
            shared.wait_until(Instant::now() + CUT_TIME, || shared.open() == 0);
        }
        shared.stop();
        reaper.thread().unpark();
        if reaper.join().is_err() {
            tracing::error!("reaper thread panicked; overdue connections were not ended");
        }
        DrainReport { finished, cut }
    }
}

/// Waits until the listener has emptied its queue and ended, and closes the socket.
fn close(listener: Arc<Listener>, shared: &PortState) {
    let give_up = Instant::now() + CUT_TIME;
    while Arc::strong_count(&listener) > 1 && Instant::now() < give_up {
        listener.wake();
        shared.wait_until(Instant::now() + LISTENER_STEP, || Arc::strong_count(&listener) == 1);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain(Duration::ZERO, Duration::ZERO);
    }
}
