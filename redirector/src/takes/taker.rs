//! The task that takes clicks of limited links from the store.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use tern_common::store::ClickSink;
use tern_common::{ClickTake, TakenClicks};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Takes;

/// The interval at which clicks without demand are returned.
const UPKEEP: Duration = Duration::from_secs(1);

/// The shortest time between two log entries about a store that grants nothing.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Counts of clicks of limited links between the store and the answers.
#[derive(Clone, Debug)]
pub(crate) struct TakeMetrics {
    taken: IntCounter,
    returned: IntCounter,
    wasted: IntCounter,
    uncertain: IntCounter,
    failures: IntCounter,
    seconds: Histogram,
}

impl TakeMetrics {
    pub(crate) fn new(registry: &Registry) -> TakeMetrics {
        let help = "Clicks of limited links: taken from the store, returned to it unused, wasted because \
            their return failed, or uncertain because a failed call may have taken them. A crash wastes clicks that nothing counts.";
        let clicks = IntCounterVec::new(Opts::new("tern_limited_clicks_total", help), &["event"]);
        let clicks = clicks.expect("name and label are constants that are valid");
        let failures = IntCounter::new(
            "tern_limited_take_failures_total",
            "Calls that were to take clicks of limited links from the store and failed. The requests that waited were answered 503.",
        );
        let failures = failures.expect("the name is a constant that is valid");
        let seconds = HistogramOpts::new(
            "tern_limited_take_seconds",
            "Seconds that the store took to grant clicks of limited links. Requests wait for it at most half a second.",
        );
        let seconds = seconds.buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0]);
        let seconds = Histogram::with_opts(seconds).expect("name and buckets are constants that are valid");
        registry.register(Box::new(clicks.clone())).expect("one taker for each registry");
        registry.register(Box::new(failures.clone())).expect("one taker for each registry");
        registry.register(Box::new(seconds.clone())).expect("one taker for each registry");
        let [taken, returned, wasted, uncertain] =
            ["taken", "returned", "wasted", "uncertain"].map(|event| clicks.with_label_values(&[event]));
        TakeMetrics { taken, returned, wasted, uncertain, failures, seconds }
    }
}

/// Waits for the signal to stop. A sender that was dropped without a signal stops the task too.
async fn stopped(stops: &mut watch::Receiver<bool>) {
    drop(stops.wait_for(|stops| *stops).await);
}

/// Takes clicks for all requests that wait, with one call of the store at a time.
#[derive(Debug)]
pub(crate) struct Taker {
    takes: Arc<Takes>,
    sink: Arc<dyn ClickSink>,
    metrics: TakeMetrics,
    /// Whether the last call succeeded, so that the next one needs not connect first.
    is_connected: bool,
    logged_at: Option<Instant>,
}

impl Taker {
    pub(crate) fn new(takes: Arc<Takes>, sink: Arc<dyn ClickSink>, metrics: TakeMetrics) -> Taker {
        Taker { takes, sink, metrics, is_connected: false, logged_at: None }
    }

    /// Takes and returns clicks until `stops` is true, then returns all that are unused.
    pub(crate) async fn run(mut self, mut stops: watch::Receiver<bool>) {
        let mut upkeep = interval(UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stops) => break,
                () = self.takes.wanted.notified() => while self.take().await {},
                _ = upkeep.tick() => {
                    self.connect().await;
                    self.give_back(false).await;
                }
            }
        }
        self.give_back(true).await;
    }

    /// Connects to the store before a visitor has to wait for it. From afar a connection takes longer than visitors wait.
    async fn connect(&mut self) {
        if !self.is_connected {
            self.is_connected = self.sink.take_clicks(&[]).await.is_ok();
        }
    }

    /// Takes what is wanted now. Returns false if nothing is.
    async fn take(&mut self) -> bool {
        let orders = self.takes.orders();
        if orders.is_empty() {
            return false;
        }
        let began = Instant::now();
        match self.sink.take_clicks(&orders).await {
            Ok(outcomes) => {
                self.is_connected = true;
                self.metrics.seconds.observe(began.elapsed().as_secs_f64());
                for (order, outcome) in orders.iter().zip(outcomes) {
                    if let TakenClicks::Granted(granted) = outcome {
                        self.metrics.taken.inc_by(granted.unsigned_abs());
                    }
                    self.takes.fulfil(*order, Some(outcome));
                }
            }
            Err(error) => {
                self.is_connected = false;
                self.metrics.failures.inc();
                let asked: i64 = orders.iter().map(|ClickTake { needed, ahead, .. }| needed + ahead).sum();
                self.metrics.uncertain.inc_by(asked.unsigned_abs());
                if self.logged_at.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
                    self.logged_at = Some(Instant::now());
                    tracing::warn!(
                        %error,
                        links = orders.len(),
                        "store granted no clicks of limited links; their visitors are answered 503; each next visit asks again"
                    );
                }
                orders.iter().for_each(|order| self.takes.fulfil(*order, None));
            }
        }
        true
    }

    /// Returns clicks that no request asks for, so that other redirectors can take them.
    ///
    /// A return that fails is not repeated, since clicks that are returned twice would exceed the limit.
    async fn give_back(&mut self, is_end: bool) {
        let unused = self.takes.remove_unused(is_end);
        if unused.is_empty() {
            return;
        }
        let clicks: i64 = unused.iter().map(|(_, clicks)| clicks).sum();
        match self.sink.return_clicks(&unused).await {
            Ok(()) => self.metrics.returned.inc_by(clicks.unsigned_abs()),
            Err(error) => {
                self.metrics.wasted.inc_by(clicks.unsigned_abs());
                tracing::warn!(%error, clicks, "unused clicks of limited links could not be returned; they are wasted");
            }
        }
    }
}
