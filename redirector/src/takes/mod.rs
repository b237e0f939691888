//! Clicks of limited links that this redirector takes from the store before it answers.
//!
//! A request for a limited link uses a click that was taken, or waits for the next one. One call of the store at a time
//! takes the clicks of all links for which requests wait, so requests for one link share a call.
//!
//! ```text
//! stock   the clicks of one link that are taken and not used, and the requests that wait; pure
//! taker   the task that takes clicks from the store, and returns those that nobody asks for
//! ```
//!
//! Only requests for limited links come here. A lock is taken for less than a microsecond.

mod stock;
mod taker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossbeam_utils::CachePadded;
use tern_common::{ClickTake, Id, TakenClicks};
use tokio::sync::Notify;

use self::stock::Stock;
pub(crate) use self::taker::{TakeMetrics, Taker};
use crate::http::{Signal, Verdict};

/// The number of independent locks.
const SHARDS: usize = 16;

/// The most links for which one call of the store takes clicks.
const LINKS_AT_ONCE: usize = 1_000;

/// The clicks that are taken and not used, of all limited links that were asked for.
#[derive(Debug)]
pub struct Takes {
    shards: [CachePadded<Mutex<Shard>>; SHARDS],
    /// Wakes the taker.
    wanted: Notify,
    began: Instant,
}

/// Links whose ids have the same remainder.
#[derive(Debug, Default)]
struct Shard {
    stocks: HashMap<Id, Stock>,
    /// Links for which clicks are wanted, each once.
    wanted: Vec<Id>,
}

/// The answer to a request for a click.
#[derive(Debug)]
pub enum Admission {
    /// The request uses a click that is taken.
    Granted,
    /// The request has to wait for the verdict of the signal.
    Wait(Arc<Signal>),
}

impl Default for Takes {
    fn default() -> Takes {
        Takes { shards: Default::default(), wanted: Notify::new(), began: Instant::now() }
    }
}

impl Takes {
    fn shard(&self, link: Id) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[link.get().unsigned_abs() as usize % SHARDS];
        // No code can panic in the middle of a change.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    /// Uses a click of a link for a request, or lets the request wait for one.
    pub fn admit(&self, link: Id) -> Admission {
        let now = self.now();
        let mut shard = self.shard(link);
        let Shard { stocks, wanted } = &mut *shard;
        let stock = stocks.entry(link).or_default();
        let is_granted = stock.use_one(now);
        let admission = if is_granted {
            Admission::Granted
        } else {
            let signal = Arc::new(Signal::new(link.get()));
            stock.wait(&signal);
            Admission::Wait(signal)
        };
        if stock.wants_more() {
            wanted.push(link);
            drop(shard);
            self.wanted.notify_one();
        }
        admission
    }

    /// Returns what the next call of the store is to take.
    fn orders(&self) -> Vec<ClickTake> {
        let now = self.now();
        let mut orders = Vec::new();
        for mut shard in self.all() {
            let Shard { stocks, wanted } = &mut *shard;
            while orders.len() < LINKS_AT_ONCE
                && let Some(url_id) = wanted.pop()
            {
                let order = stocks.get_mut(&url_id).and_then(|stock| stock.order(now));
                orders.extend(order.map(|(needed, ahead)| ClickTake { url_id, needed, ahead }));
            }
        }
        orders
    }

    /// Gives clicks that the store granted to the requests that wait for them, and keeps the rest.
    fn fulfil(&self, order: ClickTake, outcome: Option<TakenClicks>) {
        let mut verdicts = Vec::new();
        let mut shard = self.shard(order.url_id);
        if let Some(stock) = shard.stocks.get_mut(&order.url_id) {
            stock.fulfil(order.needed, outcome, &mut verdicts);
        }
        drop(shard);
        // A request is woken without the lock, for which it may ask at once.
        verdicts.into_iter().for_each(|(signal, verdict): (Arc<Signal>, Verdict)| signal.end(verdict));
    }

    /// Removes clicks for which no request has asked lately, or all, and returns them to be given back.
    fn remove_unused(&self, is_end: bool) -> Vec<(Id, i64)> {
        let now = self.now();
        let mut unused = Vec::new();
        for mut shard in self.all() {
            shard.stocks.retain(|link, stock| {
                if !is_end && !stock.is_idle(now) {
                    return true;
                }
                let clicks = stock.empty();
                unused.extend((clicks > 0).then_some((*link, clicks)));
                stock.has_waiting()
            });
        }
        unused
    }

    /// Returns the number of clicks that are taken and not used.
    pub fn unused(&self) -> i64 {
        self.all().map(|shard| shard.stocks.values().map(Stock::available).sum::<i64>()).sum()
    }
}
