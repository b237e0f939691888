//! The clicks of one link that this redirector has taken and not used, and the requests that wait for more. Pure.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use tern_common::TakenClicks;

use crate::http::{Signal, Verdict};

/// The part of a second for whose requests clicks are taken ahead. A crash wastes no more.
const AHEAD_PER_SECOND: i64 = 8;

/// Seconds without a request after which clicks are returned to the store.
const IDLE_AFTER: u64 = 2;

/// The clicks of a link.
#[derive(Debug, Default)]
pub(super) struct Stock {
    available: i64,
    /// Requests without a click, the oldest first. A request that has gone is dropped.
    waiting: VecDeque<Weak<Signal>>,
    /// Whether the link is in the list of links for which clicks are wanted.
    is_wanted: bool,
    /// The second of the last request, and the requests in it and in the one before.
    second: u64,
    requests: i64,
    requests_before: i64,
}

impl Stock {
    pub(super) fn available(&self) -> i64 {
        self.available
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Uses a click for a request, unless there is none or others wait.
    pub(super) fn use_one(&mut self, now: u64) -> bool {
        self.count_request(now);
        let is_available = self.available > 0 && self.waiting.is_empty();
        self.available -= i64::from(is_available);
        is_available
    }

    pub(super) fn wait(&mut self, signal: &Arc<Signal>) {
        self.waiting.push_back(Arc::downgrade(signal));
    }

    fn count_request(&mut self, now: u64) {
        if now != self.second {
            self.requests_before = if now == self.second + 1 { self.requests } else { 0 };
            self.requests = 0;
            self.second = now;
        }
        self.requests += 1;
    }

    /// Returns the number of clicks to have in advance, by the requests of the last second.
    fn target(&self) -> i64 {
        self.requests.max(self.requests_before) / AHEAD_PER_SECOND
    }

    /// Returns whether clicks are wanted, the first time that they are.
    pub(super) fn wants_more(&mut self) -> bool {
        let wants = !self.is_wanted && (self.has_waiting() || self.available < self.target() / 2);
        self.is_wanted |= wants;
        wants
    }

    /// Returns the numbers of clicks that are needed and wanted ahead, for the next call of the store.
    pub(super) fn order(&mut self, now: u64) -> Option<(i64, i64)> {
        self.is_wanted = false;
        self.waiting.retain(|signal| signal.strong_count() > 0);
        let needed = i64::try_from(self.waiting.len()).unwrap_or(i64::MAX);
        let is_recent = now <= self.second + 1;
        let ahead = if is_recent { (self.target() - self.available).max(0) } else { 0 };
        (needed + ahead > 0).then_some((needed, ahead))
    }

    /// Applies the outcome of a call that was to take `needed` clicks for the first waiting requests. `None` is a call that
    /// failed.
    ///
    /// A request without a click is refused only if the call was for it too and granted less than was needed.
    pub(super) fn fulfil(
        &mut self,
        needed: i64,
        outcome: Option<TakenClicks>,
        verdicts: &mut Vec<(Arc<Signal>, Verdict)>,
    ) {
        let (granted, others) = match outcome {
            Some(TakenClicks::Granted(granted)) => (granted, (granted < needed).then_some(Verdict::Refused)),
            Some(TakenClicks::Unlimited) => (0, Some(Verdict::Granted)),
            Some(TakenClicks::Unknown) | None => (0, Some(Verdict::Unknown)),
        };
        self.available += granted;
        let mut left = needed;
        while (left > 0 && others.is_some()) || self.available > 0 {
            let Some(waiting) = self.waiting.pop_front() else { break };
            left -= 1;
            // The click of a request that has gone is for the next one.
            let Some(signal) = waiting.upgrade() else { continue };
            if self.available > 0 {
                self.available -= 1;
                verdicts.push((signal, Verdict::Granted));
            } else if let Some(verdict) = others {
                verdicts.push((signal, verdict));
            }
        }
    }

    /// Returns whether no request has asked for the link lately.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        now > self.second + IDLE_AFTER && !self.has_waiting()
    }

    /// Removes the clicks that are not used.
    pub(super) fn empty(&mut self) -> i64 {
        std::mem::take(&mut self.available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(stock: &mut Stock, number: usize) -> Vec<Arc<Signal>> {
        let signals: Vec<_> = (0..number).map(|_| Arc::new(Signal::new(7))).collect();
        for signal in &signals {
            assert!(!stock.use_one(100));
            stock.wait(signal);
        }
        signals
    }

    fn fulfil(stock: &mut Stock, needed: i64, outcome: Option<TakenClicks>) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        stock.fulfil(needed, outcome, &mut verdicts);
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    }

    use Verdict::{Granted, Refused, Unknown};

    #[test]
    fn requests_that_wait_share_one_order() {
        let mut stock = Stock::default();
        let signals = waiting(&mut stock, 3);
        assert!(stock.wants_more());
        assert!(!stock.wants_more(), "it is wanted already");
        assert_eq!(stock.order(100), Some((3, 0)), "so few requests take nothing ahead");
        assert_eq!(fulfil(&mut stock, 3, Some(TakenClicks::Granted(3))), [Granted; 3]);
        assert_eq!((stock.available(), stock.has_waiting(), stock.order(100)), (0, false, None));
        drop(signals);
    }

    #[test]
    fn request_is_refused_only_by_a_call_that_was_for_it() {
        let mut stock = Stock::default();
        let _first = waiting(&mut stock, 3);
        assert_eq!(stock.order(100), Some((3, 0)));
        let _second = waiting(&mut stock, 2);
        assert_eq!(fulfil(&mut stock, 3, Some(TakenClicks::Granted(1))), [Granted, Refused, Refused]);
        assert!(stock.wants_more(), "two requests still wait");
        assert_eq!(stock.order(100), Some((2, 0)));
        assert_eq!(fulfil(&mut stock, 2, Some(TakenClicks::Granted(0))), [Refused, Refused]);
    }

    #[test]
    fn failed_call_answers_its_requests_and_grants_none() {
        let mut stock = Stock::default();
        for outcome in [None, Some(TakenClicks::Unknown)] {
            let _signals = waiting(&mut stock, 2);
            assert_eq!(stock.order(100), Some((2, 0)));
            assert_eq!(fulfil(&mut stock, 2, outcome), [Unknown, Unknown]);
        }
        let _signals = waiting(&mut stock, 2);
        assert_eq!(fulfil(&mut stock, 2, Some(TakenClicks::Unlimited)), [Granted, Granted]);
        assert_eq!(stock.available(), 0, "a link without a limit has no stock");
    }

    #[test]
    fn click_of_a_request_that_has_gone_is_for_the_next_one() {
        let mut stock = Stock::default();
        let mut signals = waiting(&mut stock, 3);
        assert_eq!(stock.order(100), Some((3, 0)));
        signals.remove(1);
        assert_eq!(fulfil(&mut stock, 3, Some(TakenClicks::Granted(3))), [Granted, Granted]);
        assert_eq!(stock.available(), 1);
        assert!(stock.use_one(100));
        assert!(!stock.use_one(100));
    }

    #[test]
    fn frequent_requests_take_ahead_for_an_eighth_of_a_second() {
        let mut stock = Stock::default();
        let _signals = waiting(&mut stock, 80);
        assert_eq!(stock.order(100), Some((80, 10)));
        assert_eq!(fulfil(&mut stock, 80, Some(TakenClicks::Granted(90))).len(), 80);
        assert_eq!(stock.available(), 10);
        let used = (0..6).filter(|_| stock.use_one(101)).count();
        assert!(used == 6 && stock.wants_more(), "less than a half is left");
        assert_eq!(stock.order(101), Some((0, 6)));
        assert_eq!(fulfil(&mut stock, 0, Some(TakenClicks::Granted(6))), []);
        assert_eq!(stock.available(), 10);
        assert!(!stock.is_idle(103) && stock.is_idle(104));
        assert_eq!((stock.empty(), stock.available()), (10, 0));
        assert_eq!(stock.order(105), None, "the demand has ended");
    }
}
