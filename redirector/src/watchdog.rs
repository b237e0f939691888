//! Finds blocked workers: `/live` answers 503 after 4 s, and the process ends itself after 10 s.
//!
//! The connections of a blocked worker get no answer, and only another process can serve their clients. The watchdog
//! counts ticks of its own thread instead of reading a clock: a frozen process or a sleeping machine makes no tick.
//! Threads that wait for a disk or a store are not watched. They delay no redirect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, process};

use tern_common::console::write_line;
use tern_common::systemd::Notifier;

use crate::http::WorkerProbe;

/// Interval between two probes of each worker.
const TICK: Duration = Duration::from_millis(500);

/// Ticks without an answer after which a worker counts as blocked: 4 s, so that `/live` answers 503 within 5 s.
const BLOCKED: u32 = 8;

/// Ticks without an answer after which the process ends: 10 s.
const FATAL: u32 = 20;

/// Time for the last log line to reach the log.
const LOG_TIME: Duration = Duration::from_secs(1);

/// The running watchdog. Dropping it ends its thread.
#[derive(Debug)]
pub struct Watchdog {
    health: Arc<WorkerHealth>,
    /// The thread, and the channel that ends it when it closes.
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The time for which each worker has not answered.
#[derive(Debug)]
pub struct WorkerHealth {
    probe: Arc<WorkerProbe>,
    /// Ticks since a probe that the worker has not answered. Written by the watchdog.
    missed: Box<[AtomicU32]>,
}

/// A worker that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedWorker {
    pub worker: usize,
    /// Time without an answer.
    pub age: Duration,
}

impl Watchdog {
    /// Starts to watch the workers of the process. Reports to the service manager while no worker is blocked.
    pub fn start(notifier: Notifier) -> io::Result<Watchdog> {
        let probe = WorkerProbe::new();
        // This starts the first coroutine of the process, unless another redirector ran in it.
        probe.ask();
        let missed = (0..probe.workers()).map(|_| AtomicU32::new(0)).collect();
        let health = Arc::new(WorkerHealth { probe, missed });
        let (stop, stopped) = channel();
        let watch = {
            let health = Arc::clone(&health);
            move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    health.tick();
                    match health.longest() {
                        Some(blocked) if blocked.age >= TICK * FATAL => end(blocked),
                        Some(_) => {}
                        None => notifier.alive(),
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("tern-watchdog".to_owned()).spawn(watch)?;
        Ok(Watchdog { health, running: Some((stop, thread)) })
    }

    /// Returns the health of the workers, for `/live`.
    pub fn health(&self) -> Arc<WorkerHealth> {
        Arc::clone(&self.health)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // The panic hook has logged a panic of the thread.
            let _ = thread.join();
        }
    }
}

impl WorkerHealth {
    /// Notes which workers have answered, and probes them again.
    fn tick(&self) {
        for (worker, missed) in self.missed.iter().enumerate() {
            let ticks = if self.probe.has_answered(worker) { 0 } else { missed.load(Ordering::Relaxed) + 1 };
            missed.store(ticks, Ordering::Relaxed);
        }
        self.probe.ask();
    }

    /// Returns the blocked workers.
    pub fn blocked(&self) -> Vec<BlockedWorker> {
        let ages = self.missed.iter().map(|missed| missed.load(Ordering::Relaxed)).enumerate();
        let blocked = ages.filter(|(_, ticks)| *ticks >= BLOCKED);
        blocked.map(|(worker, ticks)| BlockedWorker { worker, age: TICK * ticks }).collect()
    }

    fn longest(&self) -> Option<BlockedWorker> {
        self.blocked().into_iter().max_by_key(|blocked| blocked.age)
    }
}

impl fmt::Display for BlockedWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} has not answered for {:.1} s", self.worker, self.age.as_secs_f64())
    }
}

/// Ends the process with SIGABRT. The next process adopts the journals with their clicks.
#[expect(clippy::disallowed_methods, reason = "the thread of the watchdog serves no other work")]
fn end(blocked: BlockedWorker) -> ! {
    // On a thread of its own, because the log may be what blocks.
    let log = thread::Builder::new().name("tern-final-log".to_owned()).spawn(move || {
        let (worker, seconds) = (blocked.worker, blocked.age.as_secs_f64());
        tracing::error!(worker, seconds, "worker is blocked; the process ends, and the next one ships its clicks");
        write_line("tern", &format!("{blocked}; the process ends."));
    });
    if log.is_ok() {
        thread::sleep(LOG_TIME);
    }
    process::abort()
}
