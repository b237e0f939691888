//! Finds out whether each worker still runs its coroutines, at no cost to the redirect path.
//!
//! Each worker regularly gets a coroutine that notes its run. A blocked worker gets no further one until the last has
//! run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use may::coroutine::Builder;

use super::limits::workers;

/// Probes of the workers, and their answers.
#[derive(Debug)]
pub struct WorkerProbe(Box<[CachePadded<Worker>]>);

#[derive(Debug, Default)]
struct Worker {
    /// Coroutines that the worker was given. Written by the thread that probes.
    asked: AtomicU64,
    /// Coroutines that have run. Written by the worker.
    answered: AtomicU64,
}

impl WorkerProbe {
    /// Creates a probe. The number of workers must have been configured before.
    pub fn new() -> Arc<WorkerProbe> {
        Arc::new(WorkerProbe((0..workers()).map(|_| CachePadded::default()).collect()))
    }

    /// Probes each worker that has answered its last probe. Only one thread may call it, and not a worker.
    pub fn ask(self: &Arc<Self>) {
        for index in 0..self.0.len() {
            if !self.has_answered(index) {
                continue;
            }
            let probe = Arc::clone(self);
            self.0[index].asked.fetch_add(1, Ordering::Relaxed);
            let answer = move || {
                probe.0[index].answered.fetch_add(1, Ordering::Release);
            };
            // If its stack cannot be allocated, the coroutine never runs, so the probe is not counted.
            let spawned = catch_unwind(AssertUnwindSafe(|| may::go!(Builder::new().id(index), answer)));
            if !matches!(spawned, Ok(Ok(_))) {
                self.0[index].asked.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns whether the worker has answered every probe.
    pub fn has_answered(&self, worker: usize) -> bool {
        let worker = &self.0[worker];
        worker.answered.load(Ordering::Acquire) == worker.asked.load(Ordering::Relaxed)
    }

    /// Returns the number of workers.
    pub fn workers(&self) -> usize {
        self.0.len()
    }
}
