//! Finds out whether each worker still runs its coroutines. It costs the redirect path nothing.
//!
//! A coroutine is handed to each worker now and then, and takes note that it ran. A worker that stands still has one that
//! waits, and gets no other until it ran.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use may::coroutine::Builder;

use super::limits::workers;

/// Questions to the workers, and their answers.
#[derive(Debug)]
pub struct Pulse(Box<[CachePadded<Worker>]>);

#[derive(Debug, Default)]
struct Worker {
    /// Coroutines that were handed to it. Written by the thread that asks.
    asked: AtomicU64,
    /// Coroutines of those that ran. Written by the worker.
    answered: AtomicU64,
}

impl Pulse {
    /// Prepares to ask the workers of the process, whose number must have been configured.
    pub fn new() -> Arc<Pulse> {
        Arc::new(Pulse((0..workers()).map(|_| CachePadded::default()).collect()))
    }

    /// Asks each worker that has answered the last time. It is called on one thread at a time, which is no worker.
    pub fn ask(self: &Arc<Self>) {
        for index in 0..self.0.len() {
            if !self.has_answered(index) {
                continue;
            }
            let pulse = Arc::clone(self);
            self.0[index].asked.fetch_add(1, Ordering::Relaxed);
            let answer = move || {
                pulse.0[index].answered.fetch_add(1, Ordering::Release);
            };
            // Without memory for its stack, the question was none.
            let handed = catch_unwind(AssertUnwindSafe(|| may::go!(Builder::new().id(index), answer)));
            if !matches!(handed, Ok(Ok(_))) {
                self.0[index].asked.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether the worker has answered all that it was asked.
    pub fn has_answered(&self, worker: usize) -> bool {
        let worker = &self.0[worker];
        worker.answered.load(Ordering::Acquire) == worker.asked.load(Ordering::Relaxed)
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.0.len()
    }
}
