//! A look at the database that many want at a time: one looks, and whoever asked meanwhile has its word for it.
//!
//! So strangers cannot keep the database busy, nor wait for one that is silent one after the other.

use std::time::Duration;

use anyhow::anyhow;
use tern_common::store::{Result, StoreError};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Between the beginnings of two looks.
const APART: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct SharedLook(Mutex<Option<Last>>);

/// The look that was finished last.
#[derive(Clone, Copy, Debug)]
struct Last {
    began: Instant,
    ended: Instant,
    has_failed: bool,
}

impl SharedLook {
    /// Looks, unless somebody else did since this was called.
    ///
    /// # Errors
    /// Those of the look; or [`StoreError::Unavailable`], when somebody else's failed since this was called.
    pub(crate) async fn look(&self, look: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let called = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(last) = *last {
            if last.has_failed && last.ended >= called {
                return Err(StoreError::Unavailable(anyhow!("the database did not answer a moment ago")));
            }
            if !last.has_failed && last.began >= called {
                return Ok(());
            }
            sleep_until(last.began + APART).await;
        }
        let began = Instant::now();
        let looked = look().await;
        *last = Some(Last { began, ended: Instant::now(), has_failed: looked.is_err() });
        looked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    /// How many looks there were for twenty who ask at once, how many of them failed, and how long the last one waited.
    async fn ask(look: SharedLook, fails: bool) -> (u32, usize, Duration) {
        let (look, looks, began) = (Arc::new(look), Arc::new(AtomicU32::new(0)), Instant::now());
        let asked = (0..20).map(|_| {
            let (look, looks) = (Arc::clone(&look), Arc::clone(&looks));
            tokio::spawn(async move {
                let slowly = async || {
                    looks.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_secs(1)).await;
                    if fails { Err(StoreError::Unavailable(anyhow!("silence"))) } else { Ok(()) }
                };
                look.look(slowly).await
            })
        });
        let asked: Vec<_> = asked.collect();
        let mut failed = 0;
        for asked in asked {
            failed += usize::from(asked.await.unwrap().is_err());
        }
        (looks.load(Ordering::Relaxed), failed, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_at_once_share_one_look() {
        assert_eq!(ask(SharedLook::default(), false).await, (1, 0, Duration::from_secs(1)));
        assert_eq!(ask(SharedLook::default(), true).await, (1, 20, Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_one_looks_again_and_not_too_soon() {
        let (look, began) = (SharedLook::default(), Instant::now());
        for _ in 0..3 {
            sleep(Duration::from_millis(1)).await;
            look.look(async || Ok(())).await.unwrap();
        }
        assert_eq!(began.elapsed(), Duration::from_millis(1) + 2 * APART);
    }
}
