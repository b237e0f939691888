//! Work of a replica in progress, and the timers of periodic work. It makes no decisions.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use tern_common::bus::{BusError, Delivery, Subscription};
use tern_common::link_digest::DigestKey;
use tern_common::store::StoreError;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::audit::{AUDIT_RETRY, Suspects};
use super::fetch::{FetchTimes, StoreAnswer};
use super::file::{SnapshotFile, Written};

pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A snapshot file and the outcome of its write.
pub(super) type WriteResult = (SnapshotFile, io::Result<Written>);

/// Work in progress, at most one piece of each kind.
pub(super) struct InFlight {
    pub(super) subscription: Option<Box<dyn Subscription>>,
    pub(super) subscribing: Option<Work<Result<Box<dyn Subscription>, BusError>>>,
    pub(super) fetching: Option<Work<(FetchTimes, Result<StoreAnswer, StoreError>)>>,
    pub(super) beginning_audit: Option<Work<Result<Option<DigestKey>, StoreError>>>,
    pub(super) comparing: Option<Work<Result<Suspects, StoreError>>>,
    pub(super) writing: Option<Work<WriteResult>>,
    write_ticks: Interval,
    audit_ticks: Option<Interval>,
}

/// A completed piece of work, a message or a timer.
pub(super) enum Completion {
    Stopped,
    Subscribed(Result<Box<dyn Subscription>, BusError>),
    Delivery(Result<Delivery, BusError>),
    Fetched(FetchTimes, Result<StoreAnswer, StoreError>),
    /// The key of the digests, with which an audit begins.
    DigestKey(Result<Option<DigestKey>, StoreError>),
    Compared(Result<Suspects, StoreError>),
    Saved(WriteResult),
    WriteDue,
    AuditDue,
    /// The store did not answer in time, so the links of the file are to be served.
    ServeDue,
    WakeUp,
}

impl InFlight {
    /// Starts the timers for writes of the snapshot file and for audits. A zero `audit_every` disables audits.
    pub(super) fn new(write_every: Duration, audit_every: Duration) -> InFlight {
        InFlight {
            subscription: None,
            subscribing: None,
            fetching: None,
            beginning_audit: None,
            comparing: None,
            writing: None,
            write_ticks: start_interval(write_every),
            audit_ticks: (!audit_every.is_zero()).then(|| start_interval(audit_every)),
        }
    }

    /// Waits for the next completion, at most until `wake_at`. `serve_at` is the time of [`Completion::ServeDue`].
    pub(super) async fn next(
        &mut self,
        serve_at: Option<Instant>,
        wake_at: Instant,
        stop: &mut watch::Receiver<bool>,
    ) -> Completion {
        tokio::select! {
            // A dropped sender stops the replica, too.
            _ = stop.wait_for(|stop| *stop) => Completion::Stopped,
            subscribed = wait_for_work(&mut self.subscribing) => Completion::Subscribed(subscribed),
            received = wait_for_some(self.subscription.as_mut().map(|it| it.next())) => Completion::Delivery(received),
            (times, fetched) = wait_for_work(&mut self.fetching) => Completion::Fetched(times, fetched),
            key = wait_for_work(&mut self.beginning_audit) => Completion::DigestKey(key),
            compared = wait_for_work(&mut self.comparing) => Completion::Compared(compared),
            saved = wait_for_work(&mut self.writing) => Completion::Saved(saved),
            _ = self.write_ticks.tick() => Completion::WriteDue,
            _ = wait_for_some(self.audit_ticks.as_mut().map(Interval::tick)) => Completion::AuditDue,
            () = wait_for_some(serve_at.map(sleep_until)) => Completion::ServeDue,
            () = sleep_until(wake_at) => Completion::WakeUp,
        }
    }

    /// Makes the write timer due at once.
    pub(super) fn write_soon(&mut self) {
        self.write_ticks.reset_immediately();
    }

    /// Makes the write timer due after `pause`.
    pub(super) fn postpone_write(&mut self, pause: Duration) {
        self.write_ticks.reset_after(pause);
    }

    /// Makes the audit timer due at once, unless audits are disabled.
    pub(super) fn audit_soon(&mut self) {
        if let Some(ticks) = &mut self.audit_ticks {
            ticks.reset_immediately();
        }
    }

    /// Makes the audit timer due after [`AUDIT_RETRY`], or after one interval if that is shorter.
    pub(super) fn retry_audit(&mut self) {
        if let Some(ticks) = &mut self.audit_ticks {
            ticks.reset_after(AUDIT_RETRY.min(ticks.period()));
        }
    }
}

/// Creates a timer whose first tick comes after one period.
fn start_interval(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for the work and removes it; waits forever if there is none. Cancelling it loses nothing.
async fn wait_for_work<T>(work: &mut Option<Work<T>>) -> T {
    let output = wait_for_some(work.as_mut()).await;
    *work = None;
    output
}

/// Waits for the future; waits forever if there is none.
async fn wait_for_some<F: IntoFuture>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
