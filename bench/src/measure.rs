//! Time in turns, memory by counting.

use std::alloc::{GlobalAlloc, Layout};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;

use crate::maps::Reader;
use crate::sample::text;

/// The allocator of the binaries, which counts what it has given.
#[derive(Debug)]
pub struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the allocator below.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.dealloc(at, layout) }
    }
}

/// Bytes that are allocated now.
pub fn allocated() -> usize {
    ALLOCATED.load(Ordering::Relaxed)
}

/// Bytes of this process that are in memory now, and the most that ever were.
pub fn resident() -> (usize, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0)
    };
    (kilobytes("VmRSS:") << 10, kilobytes("VmHWM:") << 10)
}

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let value = work();
    (value, started.elapsed())
}

/// Seconds that the processor spent on this thread: what others do on the machine meanwhile is not in it.
pub fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// How long the processor needs for `work` on this thread, in seconds.
pub fn processor_time<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = processor_seconds();
    let value = work();
    (value, processor_seconds() - before)
}

/// Nanoseconds of the processor for each of the answers.
pub fn answers(reader: &impl Reader, queries: &[[u8; 6]]) -> f64 {
    let mut reply = Vec::with_capacity(1 << 12);
    let ((), seconds) = processor_time(|| {
        for code in queries {
            reply.clear();
            std::hint::black_box(reader.answer(text(code), &mut reply));
            std::hint::black_box(&reply);
        }
    });
    seconds * 1e9 / queries.len() as f64
}
