//! Watches the workers: `/live` is 503 while one stands still, and the process ends itself when it goes on for seconds.
//!
//! A worker that stands still keeps its connections waiting for ever, and only another process helps them. The watchdog
//! counts ticks of its own thread and no clock: a process that is frozen, or a machine that sleeps, makes no tick.
//! Threads that wait for a disk or a store are not watched: what they hold up is counted, and redirects go on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, process};

use tern_common::console::write_line;
use tern_common::systemd::Notifier;

use crate::http::Pulse;

/// Between two questions to each worker.
const TICK: Duration = Duration::from_millis(500);

/// Ticks without an answer after which `/live` is 503: 4 s, so that it is within five.
const STALLED: u32 = 8;

/// Ticks without an answer after which the process ends: 10 s.
const FATAL: u32 = 20;

/// How long the last log line has to reach the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The running watchdog. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watchdog {
    vitals: Arc<Vitals>,
    /// The thread, and the channel that ends it when it closes.
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

/// How long each worker has not answered.
#[derive(Debug)]
pub struct Vitals {
    pulse: Arc<Pulse>,
    /// Ticks since the worker was asked and has not answered. Written by the watchdog.
    missed: Box<[AtomicU32]>,
}

/// A worker that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    pub worker: usize,
    /// How long it has not answered.
    pub age: Duration,
}

impl Watchdog {
    /// Starts to watch the workers of the process, and reports to the service manager while they all answer.
    pub fn start(notifier: Notifier) -> io::Result<Watchdog> {
        let pulse = Pulse::new();
        // The first coroutine of the process, unless another redirector ran in it.
        pulse.ask();
        let missed = (0..pulse.workers()).map(|_| AtomicU32::new(0)).collect();
        let vitals = Arc::new(Vitals { pulse, missed });
        let (stop, stopped) = channel();
        let watch = {
            let vitals = Arc::clone(&vitals);
            move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    vitals.tick();
                    match vitals.longest() {
                        Some(stalled) if stalled.age >= TICK * FATAL => end(stalled),
                        Some(_) => {}
                        None => notifier.alive(),
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("tern-watchdog".to_owned()).spawn(watch)?;
        Ok(Watchdog { vitals, running: Some((stop, thread)) })
    }

    /// Returns the findings of the watchdog, for `/live`.
    pub fn vitals(&self) -> Arc<Vitals> {
        Arc::clone(&self.vitals)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // It panics nowhere, and a panic was logged.
            let _ = thread.join();
        }
    }
}

impl Vitals {
    /// Looks for answers, and asks again.
    fn tick(&self) {
        for (worker, missed) in self.missed.iter().enumerate() {
            let ticks = if self.pulse.has_answered(worker) { 0 } else { missed.load(Ordering::Relaxed) + 1 };
            missed.store(ticks, Ordering::Relaxed);
        }
        self.pulse.ask();
    }

    /// The workers that stand still.
    pub fn stalled(&self) -> Vec<Stalled> {
        let ages = self.missed.iter().map(|missed| missed.load(Ordering::Relaxed)).enumerate();
        let stalled = ages.filter(|(_, ticks)| *ticks >= STALLED);
        stalled.map(|(worker, ticks)| Stalled { worker, age: TICK * ticks }).collect()
    }

    fn longest(&self) -> Option<Stalled> {
        self.stalled().into_iter().max_by_key(|stalled| stalled.age)
    }
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} has not answered for {:.1} s", self.worker, self.age.as_secs_f64())
    }
}

/// Ends the process at once, with SIGABRT. Clicks stand in the journals, which the next process takes over.
fn end(stalled: Stalled) -> ! {
    // On a thread of its own: the log may be what stands still.
    let log = thread::Builder::new().name("tern-last-words".to_owned()).spawn(move || {
        let (worker, seconds) = (stalled.worker, stalled.age.as_secs_f64());
        tracing::error!(
            worker,
            seconds,
            "a worker stands still; the process ends, and its clicks wait in the journals"
        );
        write_line("tern", &format!("{stalled}; the process ends."));
    });
    if log.is_ok() {
        thread::sleep(LAST_WORDS);
    }
    process::abort()
}
