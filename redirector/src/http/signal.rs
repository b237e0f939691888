//! A signal from another thread to a request that waits. Few requests wait, so it may allocate and lock.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// The longest wait of a request. Then it is answered without what it waited for.
pub const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// The end of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// The request has what it waited for.
    Granted = 1,
    /// There is none for the request.
    Refused,
    /// It cannot be known now whether there is one.
    Unknown,
}

/// The state of one wait. The first verdict counts.
#[derive(Debug)]
pub struct Signal {
    /// The subject of the wait, such as the id of a link.
    subject: i64,
    /// A [`Verdict`]; 0 while there is none.
    verdict: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    pub fn new(subject: i64) -> Signal {
        Signal { subject, verdict: AtomicU8::new(0), waker: Mutex::default() }
    }

    pub fn subject(&self) -> i64 {
        self.subject
    }

    /// Returns the verdict, once there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.verdict.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Verdict::Granted),
            2 => Some(Verdict::Refused),
            _ => Some(Verdict::Unknown),
        }
    }

    /// Ends the wait and wakes the request, unless the wait had ended before.
    pub fn end(&self, verdict: Verdict) {
        if self.verdict.compare_exchange(0, verdict as u8, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns the verdict, or has `waker` woken when there is one.
    pub fn poll(&self, waker: &Waker) -> Option<Verdict> {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        // Read after the waker is there, so that no verdict is missed.
        self.verdict()
    }

    /// Waits for the verdict.
    pub async fn wait(&self) -> Verdict {
        poll_fn(|context| self.poll(context.waker()).map_or(Poll::Pending, Poll::Ready)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn first_verdict_counts_and_wakes_once() {
        for verdict in [Verdict::Granted, Verdict::Refused, Verdict::Unknown] {
            let (signal, count) = (Signal::new(7), Arc::new(Count::default()));
            assert_eq!((signal.subject(), signal.poll(&count.clone().into())), (7, None));
            signal.end(verdict);
            signal.end(Verdict::Unknown);
            assert_eq!((signal.verdict(), count.0.load(Ordering::Relaxed)), (Some(verdict), 1));
            assert_eq!(signal.poll(&count.into()), Some(verdict));
        }
    }
}
