//! The life of the port: bind (or adopt), serve, drain.

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

/// After the cut, connections end as soon as their worker looks at them.
const CUT_TIME: Duration = Duration::from_secs(1);

/// How often a drain asks the listener again to end.
const LISTENER_STEP: Duration = Duration::from_millis(20);

/// What became of the connections at a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Ended by themselves, with their last request answered. Those that were queued at the drain are among them.
    pub finished: u64,
    /// Still open at the deadline, and cut.
    pub cut: u64,
}

/// A port that is being served. Dropping it cuts what is open; [`drain`](Self::drain) first.
pub struct Server {
    local_addr: SocketAddr,
    shared: Arc<PortState>,
    /// Taken by the drain.
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

    /// Binds the address; who connects waits until it is served. A port in use is an error: without SO_REUSEPORT two
    /// processes cannot share one without knowing.
    pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the last connections of the one before to leave TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }

    /// Serves a socket that listens already, for example one that was passed on by the process before.
    pub fn adopt(listener: TcpListener, limits: Limits, service: Arc<impl Service>) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        // Accepted sockets inherit it: one system call in all instead of one a connection.
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

    /// Where it listens; the port is the real one if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The counters of this port.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// The connections that stand in the registry.
    pub fn registered(&self) -> usize {
        self.shared.registered()
    }

    /// Goes on accepting and answering, and says with each answer that it is the connection's last: those who keep
    /// connections turn elsewhere before the port closes.
    pub fn leave(&self) {
        self.shared.start_leaving();
    }

    /// Whether it is about to end, or ends.
    pub fn is_leaving(&self) -> bool {
        self.shared.leaving()
    }

    /// Stops accepting and closes the port, lets requests under way be answered, and those that come within `grace` on
    /// the connections that stand; cuts what is left at the deadline. Blocks its thread, which must not be a may worker.
    /// A second call has nothing left to do.
    pub fn drain(&self, deadline: Duration, grace: Duration) -> Drained {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { listener, reaper }) = running else {
            return Drained { finished: 0, cut: 0 };
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
            tracing::error!("the reaper thread panicked");
        }
        Drained { finished, cut }
    }
}

/// Waits for the listener's coroutine to end, which it does once the queue is empty, and closes the socket.
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
