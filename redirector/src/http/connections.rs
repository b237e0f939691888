//! The registry of open connections with their deadlines, and the coarse clock. The reaper reads both.
//!
//! A connection locks the registry when it opens and when it closes. It shares everything else with the reaper by
//! atomics that only the connection writes. This module knows no HTTP.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use may::io::WaitIoWaker;
use slab::Slab;

use super::limits::Limits;
use super::shares::Shares;
use super::stats::{Stats, count};

/// Slots that a scan visits under one lock. It lasts some microseconds, so no worker waits for a whole scan.
const SCAN_CHUNK: usize = 128;

/// Phase of a connection. Written by its coroutine, read by the reaper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Accepted, without a byte received.
    Fresh,
    /// Between requests.
    Idle,
    /// Within a head.
    Head,
    /// Waiting for the signal of a postponed answer.
    Wait,
    /// Waiting for the client to read.
    Write,
    /// Waiting for the client to read the last answer and close.
    Linger,
}

/// State that a connection shares with the reaper.
pub(super) struct ConnectionState {
    pub(super) fd: RawFd,
    /// Coarse milliseconds ([`PortState::now_ms`]) at which the connection wants to be woken.
    /// Written by the coroutine, read by the reaper.
    deadline_ms: AtomicU64,
    /// Coarse milliseconds at which the phase began. Written by the coroutine, read by the reaper.
    since_ms: AtomicU64,
    phase: AtomicU8,
    /// Whether the connection has to end for another one. Set once by the reaper.
    evicted: AtomicBool,
    /// The slot of the client's share.
    pub(super) slot: Option<usize>,
    pub(super) waker: WaitIoWaker,
}

impl ConnectionState {
    pub(super) fn deadline_ms(&self) -> u64 {
        self.deadline_ms.load(Ordering::Relaxed)
    }

    /// Begins a phase that may last from `now_ms` to `deadline_ms`.
    pub(super) fn enter(&self, phase: Phase, now_ms: u64, deadline_ms: u64) {
        self.since_ms.store(now_ms, Ordering::Relaxed);
        self.deadline_ms.store(deadline_ms, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Moves the deadline of the current phase.
    pub(super) fn extend(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::Relaxed);
    }

    pub(super) fn since_ms(&self) -> u64 {
        self.since_ms.load(Ordering::Relaxed)
    }

    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }
}

/// State that the listener, the connections, the reaper and the server share.
pub(super) struct PortState {
    pub(super) limits: Limits,
    pub(super) stats: Stats,
    pub(super) started: Instant,
    /// Milliseconds since `started`, at most a tick old. Written by the reaper.
    pub(super) now_ms: AtomicU64,
    /// Whether each connection closes with its next answer. Set once by the server.
    notice: AtomicBool,
    /// Whether the port drains. Set once by the server, after `notice`.
    draining: AtomicBool,
    /// Milliseconds that an idle connection waits for a last request during a drain. Written before `draining`.
    grace_ms: AtomicU64,
    /// Whether every connection ends at once. Set once by the server, after `draining`.
    cutting: AtomicBool,
    /// Whether the reaper ends. Set last by the server.
    pub(super) stopped: AtomicBool,
    /// The last error of accept(2). The reaper logs it, since formatting needs too much of a coroutine's stack.
    pub(super) last_accept_error: AtomicI32,
    registry: Mutex<Slab<Arc<ConnectionState>>>,
    pub(super) shares: Shares,
    /// Whether there are too many connections. Set by the listener, cleared by the reaper.
    pub(super) crowded: AtomicBool,
    /// The thread of the reaper, once it runs.
    pub(super) reaper: OnceLock<Thread>,
    /// Notified, under the registry's lock, when a connection or the listener ends during a drain.
    ended: Condvar,
}

impl PortState {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            stats: Stats::default(),
            started: Instant::now(),
            now_ms: AtomicU64::new(0),
            notice: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            grace_ms: AtomicU64::new(0),
            cutting: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            last_accept_error: AtomicI32::new(0),
            registry: Mutex::default(),
            shares: Shares::new(),
            crowded: AtomicBool::new(false),
            reaper: OnceLock::new(),
            ended: Condvar::new(),
        }
    }

    /// Returns the coarse time at which `timeout` has certainly passed.
    pub(super) fn deadline_in(&self, timeout: Duration) -> u64 {
        self.now_ms() + (timeout + self.limits.tick).as_millis() as u64
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(super) fn gives_notice(&self) -> bool {
        self.notice.load(Ordering::Relaxed)
    }

    pub(super) fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Returns the time that an idle connection waits for a last request during a drain.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms.load(Ordering::Relaxed))
    }

    pub(super) fn cutting(&self) -> bool {
        self.cutting.load(Ordering::Relaxed)
    }

    /// Returns the number of permits. The listener adds permits, and ending connections remove them.
    pub(super) fn open(&self) -> u64 {
        self.stats.open.load(Ordering::Acquire)
    }

    pub(super) fn start_notice(&self) {
        self.notice.store(true, Ordering::Relaxed);
    }

    pub(super) fn start_draining(&self, grace: Duration) {
        self.start_notice();
        self.grace_ms.store(grace.as_millis() as u64, Ordering::Relaxed);
        self.draining.store(true, Ordering::Release);
    }

    pub(super) fn start_cutting(&self) {
        self.cutting.store(true, Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Blocks a plain thread until `done` returns true, or until the deadline. Returns whether it is done.
    ///
    /// `done` is called again after each [end](Self::notify_ended).
    pub(super) fn wait_until(&self, deadline: Instant, done: impl Fn() -> bool) -> bool {
        let mut registry = self.lock();
        while !done() {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return false;
            };
            registry = self.ended.wait_timeout(registry, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn notify_ended(&self) {
        if self.draining() {
            // Under the lock, so that the notification cannot fall between a call of `done` and the wait.
            let _registry = self.lock();
            self.ended.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<ConnectionState>>> {
        // No code can panic in the middle of a change of the slab.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the reaper to end connections.
    fn ask_for_room(&self) {
        if !self.crowded.swap(true, Ordering::AcqRel)
            && let Some(reaper) = self.reaper.get()
        {
            reaper.unpark();
        }
    }

    /// Calls `look` with every registered connection, under the lock for some microseconds at a time.
    pub(super) fn for_each(&self, mut look: impl FnMut(&Arc<ConnectionState>)) {
        let mut from = 0;
        loop {
            let registry = self.lock();
            let to = (from + SCAN_CHUNK).min(registry.capacity());
            (from..to).filter_map(|key| registry.get(key)).for_each(&mut look);
            from = to;
            if from == registry.capacity() {
                return;
            }
        }
    }

    /// Returns the number of registered connections.
    pub(super) fn registered(&self) -> usize {
        self.lock().len()
    }
}

/// Permission of a connection to be open, counted against the limits until it is dropped.
pub(super) struct Permit {
    shared: Arc<PortState>,
    slot: Option<usize>,
}

impl Permit {
    /// Admits a connection of the client with this share. Over a limit, the reaper ends other connections for it.
    ///
    /// Returns `None` while too many of them have not ended yet.
    pub(super) fn take(shared: &Arc<PortState>, share: Option<u64>) -> Option<Self> {
        let Limits { connections, share: most, .. } = shared.limits;
        // Only the listener adds connections, so the number cannot have grown since.
        let open = shared.open() as usize;
        let slot = share.map(|key| shared.shares.slot(key));
        let own = slot.map_or(0, |slot| shared.shares.open(slot));
        let permit = if open >= connections + Limits::slack(connections) {
            count(&shared.stats.over_limit);
            None
        } else if own >= most + Limits::slack(most) {
            count(&shared.stats.over_share);
            None
        } else {
            shared.stats.open.fetch_add(1, Ordering::AcqRel);
            slot.inspect(|&slot| shared.shares.enter(slot));
            count(&shared.stats.accepted);
            Some(Self { shared: shared.clone(), slot })
        };
        if open >= connections || own >= most {
            shared.ask_for_room();
        }
        permit
    }

    pub(super) fn shared(&self) -> &Arc<PortState> {
        &self.shared
    }

    /// Registers the connection until the returned guard is dropped, even by a panic.
    pub(super) fn register(self, fd: RawFd, waker: WaitIoWaker) -> Registration {
        let state = Arc::new(ConnectionState {
            fd,
            deadline_ms: self.shared.deadline_in(self.shared.limits.header_timeout).into(),
            since_ms: self.shared.now_ms().into(),
            phase: AtomicU8::new(Phase::Fresh as u8),
            evicted: AtomicBool::new(false),
            slot: self.slot,
            waker,
        });
        let key = self.shared.lock().insert(state.clone());
        Registration { key, state, permit: self }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            count(&self.shared.stats.panicked);
        }
        self.slot.inspect(|&slot| self.shared.shares.leave(slot));
        self.shared.stats.open.fetch_sub(1, Ordering::AcqRel);
        self.shared.notify_ended();
    }
}

/// A connection's entry in the registry.
pub(super) struct Registration {
    key: usize,
    pub(super) state: Arc<ConnectionState>,
    permit: Permit,
}

impl Registration {
    pub(super) fn shared(&self) -> &PortState {
        &self.permit.shared
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        drop(self.permit.shared.lock().try_remove(self.key));
    }
}
