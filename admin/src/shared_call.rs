//! One database call that concurrent callers share.
//!
//! Clients without a token cannot keep the database busy, nor wait one after the other for a database that is silent.

use std::time::Duration;

use anyhow::anyhow;
use tern_common::store::{Result, StoreError};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Time between the starts of two calls.
const INTERVAL: Duration = Duration::from_millis(100);

/// A call that runs at most once at a time, and whose outcome serves every caller that waited for it.
#[derive(Debug, Default)]
pub(crate) struct SharedCall(Mutex<Option<LastCall>>);

/// The call that ended last.
#[derive(Clone, Copy, Debug)]
struct LastCall {
    began: Instant,
    ended: Instant,
    has_failed: bool,
}

impl SharedCall {
    /// Runs `call`, unless another caller ran one since this function was entered.
    ///
    /// # Errors
    /// The error of `call`; or [`StoreError::Unavailable`], when another caller's call failed meanwhile.
    pub(crate) async fn run(&self, call: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let entered = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(last) = *last {
            if last.has_failed && last.ended >= entered {
                return Err(StoreError::Unavailable(anyhow!("the database did not answer a moment ago")));
            }
            if !last.has_failed && last.began >= entered {
                return Ok(());
            }
            sleep_until(last.began + INTERVAL).await;
        }
        let began = Instant::now();
        let result = call().await;
        *last = Some(LastCall { began, ended: Instant::now(), has_failed: result.is_err() });
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    /// Runs a call of one second for twenty callers at once.
    /// Returns the number of calls, the number of callers that got an error, and the longest wait.
    async fn run_at_once(fails: bool) -> (u32, usize, Duration) {
        let (shared, calls, began) = (Arc::new(SharedCall::default()), Arc::new(AtomicU32::new(0)), Instant::now());
        let callers = (0..20).map(|_| {
            let (shared, calls) = (Arc::clone(&shared), Arc::clone(&calls));
            tokio::spawn(async move {
                let slowly = async || {
                    calls.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_secs(1)).await;
                    if fails { Err(StoreError::Unavailable(anyhow!("silence"))) } else { Ok(()) }
                };
                shared.run(slowly).await
            })
        });
        let callers: Vec<_> = callers.collect();
        let mut failed = 0;
        for caller in callers {
            failed += usize::from(caller.await.unwrap().is_err());
        }
        (calls.load(Ordering::Relaxed), failed, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_call() {
        assert_eq!(run_at_once(false).await, (1, 0, Duration::from_secs(1)));
        assert_eq!(run_at_once(true).await, (1, 20, Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn later_caller_calls_again_after_the_interval() {
        let (shared, began) = (SharedCall::default(), Instant::now());
        for _ in 0..3 {
            sleep(Duration::from_millis(1)).await;
            shared.run(async || Ok(())).await.unwrap();
        }
        assert_eq!(began.elapsed(), Duration::from_millis(1) + 2 * INTERVAL);
    }
}
