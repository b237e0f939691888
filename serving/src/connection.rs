//! The phase of one connection while hyper reads from it, works for it and writes to it.
//!
//! The task of the connection writes the phase. The acceptor reads it, and orders the connection to end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::Limits;
use crate::refusal::{complete, find_bare_refusal};

/// Phase of a connection. Waits for a body, or for the client to read, are noted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Accepted, without a byte yet.
    Fresh,
    /// Between requests.
    Idle,
    /// Within a head.
    Head,
    /// Between a head and the end of its answer.
    Exchange,
}

/// An order to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// End after the request under way, or at once if there is none.
    Finish = 1,
    /// End at once.
    Cut = 2,
}

/// Properties of a connection that determine whether it ends for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) share: Option<u64>,
    /// Whether the connection has the order to end.
    pub(crate) is_ending: bool,
    pub(crate) is_idle: bool,
    /// Time for which the connection has waited for its client, or since the start of a request with a slow body or a
    /// slow reader. `None` while this process works for the connection.
    pub(crate) waits: Option<Duration>,
}

/// The kind of a wait that exceeded its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Idle,
    Head,
    Write,
}

/// Value of [`ConnectionState::write_blocked_ms`] while the client reads.
const NOT_BLOCKED: u64 = u64::MAX;

/// The state that a connection shares with the acceptor.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    share: Option<u64>,
    started: Instant,
    phase: AtomicU8,
    /// Milliseconds from `started` to the beginning of the phase.
    since_ms: AtomicU64,
    /// Milliseconds from `started` to the time at which the client stopped reading.
    write_blocked_ms: AtomicU64,
    body_waits: AtomicBool,
    order: AtomicU8,
    ordered: Notify,
}

impl ConnectionState {
    pub(crate) fn new(share: Option<u64>, started: Instant) -> ConnectionState {
        let state = ConnectionState {
            share,
            started,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since_ms: AtomicU64::new(0),
            write_blocked_ms: AtomicU64::new(NOT_BLOCKED),
            body_waits: AtomicBool::new(false),
            order: AtomicU8::new(0),
            ordered: Notify::new(),
        };
        state.enter(Phase::Fresh);
        state
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NOT_BLOCKED - 1)
    }

    fn enter(&self, phase: Phase) {
        self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    fn since(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.since_ms.load(Ordering::Relaxed)))
    }

    fn write_blocked(&self) -> Option<Duration> {
        let since = self.write_blocked_ms.load(Ordering::Relaxed);
        (since != NOT_BLOCKED).then(|| Duration::from_millis(self.now_ms().saturating_sub(since)))
    }

    /// Notes whether the reader waits for the body of the current request.
    pub(crate) fn body_waits(&self, waits: bool) {
        self.body_waits.store(waits, Ordering::Relaxed);
    }

    pub(crate) fn view(&self) -> View {
        let is_blocked = self.write_blocked().is_some();
        let in_exchange = self.is(Phase::Exchange);
        let waits = !in_exchange || is_blocked || self.body_waits.load(Ordering::Relaxed);
        View {
            share: self.share,
            is_ending: self.order.load(Ordering::Relaxed) != 0,
            is_idle: self.is(Phase::Idle) && !is_blocked,
            waits: waits.then(|| self.since()),
        }
    }

    /// Returns the wait that has exceeded its limit. A slow body is not checked here, because its reader ends it.
    pub(crate) fn overdue(&self, limits: &Limits) -> Option<Overdue> {
        if self.order.load(Ordering::Relaxed) == Order::Cut as u8 {
            return None;
        }
        if let Some(blocked) = self.write_blocked() {
            return (blocked >= limits.write_timeout).then_some(Overdue::Write);
        }
        let since = self.since();
        if self.is(Phase::Idle) {
            (since >= limits.idle_timeout).then_some(Overdue::Idle)
        } else {
            (!self.is(Phase::Exchange) && since >= limits.header_timeout).then_some(Overdue::Head)
        }
    }

    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        self.ordered.notify_one();
    }

    /// Waits for an order to end.
    pub(crate) async fn next_order(&self) -> Order {
        self.ordered.notified().await;
        if self.order.load(Ordering::Relaxed) == Order::Cut as u8 { Order::Cut } else { Order::Finish }
    }

    /// Returns whether the next answer is the last one of the connection.
    pub(crate) fn is_ending(&self) -> bool {
        self.order.load(Ordering::Relaxed) != 0
    }

    /// Returns whether a part of a head has arrived.
    pub(crate) fn is_within_head(&self) -> bool {
        self.is(Phase::Head)
    }
}

/// Guard of an exchange, from the head of a request to the end of its answer.
#[derive(Debug)]
pub(crate) struct ExchangeGuard(Arc<ConnectionState>);

impl ExchangeGuard {
    pub(crate) fn begin(state: &Arc<ConnectionState>) -> ExchangeGuard {
        state.enter(Phase::Exchange);
        ExchangeGuard(Arc::clone(state))
    }
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        self.0.body_waits(false);
        self.0.enter(Phase::Idle);
    }
}

/// The method whose answers have no body, with the space after it.
const HEAD_METHOD: [u8; HEAD_METHOD_LEN] = *b"HEAD ";
const HEAD_METHOD_LEN: usize = 5;

/// A stream that notes when bytes arrive and when the client does not read, and completes the refusals of hyper.
#[derive(Debug)]
pub(crate) struct TrackedStream<S> {
    pub(crate) stream: S,
    state: Arc<ConnectionState>,
    malformed_head: IntCounter,
    /// Number of first bytes of the head that match [`HEAD_METHOD`]. `None` after a mismatch.
    method_bytes: Option<usize>,
    /// The unwritten rest of a refusal that replaces the one of hyper.
    refusal: Option<Vec<u8>>,
}

impl<S> TrackedStream<S> {
    pub(crate) fn new(stream: S, state: Arc<ConnectionState>, malformed_head: IntCounter) -> TrackedStream<S> {
        TrackedStream { stream, state, malformed_head, method_bytes: None, refusal: None }
    }

    /// Compares the start of a head with [`HEAD_METHOD`]. The head may arrive in parts, after empty lines.
    fn note_method(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let Some(at @ ..HEAD_METHOD_LEN) = self.method_bytes else { return };
            if at > 0 || !matches!(byte, b'\r' | b'\n') {
                self.method_bytes = (*byte == HEAD_METHOD[at]).then_some(at + 1);
            }
        }
    }

    /// Returns whether a head that hyper refuses now belongs to a HEAD, whose answer has no body.
    ///
    /// This is a best effort, since hyper does not report it. A head after another one in a single read counts as no
    /// HEAD. A superfluous body does no harm, since the connection ends with it.
    fn is_to_head(&self) -> bool {
        self.state.is_within_head() && self.method_bytes == Some(HEAD_METHOD_LEN)
    }

    /// Returns whether the connection ends because hyper could not read a head.
    pub(crate) fn has_refused(&self) -> bool {
        self.refusal.is_some()
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        let blocked = &self.state.write_blocked_ms;
        match written {
            Poll::Pending if blocked.load(Ordering::Relaxed) == NOT_BLOCKED => {
                blocked.store(self.state.now_ms(), Ordering::Relaxed);
            }
            Poll::Pending => {}
            Poll::Ready(_) => blocked.store(NOT_BLOCKED, Ordering::Relaxed),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let arrived = &buffer.filled()[before..];
        if !arrived.is_empty() && (self.state.is(Phase::Fresh) || self.state.is(Phase::Idle)) {
            self.state.enter(Phase::Head);
            self.method_bytes = Some(0);
        }
        if self.state.is(Phase::Head) {
            self.note_method(arrived);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> TrackedStream<S> {
    /// Writes a complete refusal in place of `bare`, the one of hyper.
    fn poll_write_refusal(&mut self, context: &mut Context<'_>, bare: &[u8]) -> Poll<io::Result<usize>> {
        let mut rest = self.refusal.take().unwrap_or_else(|| {
            self.malformed_head.inc();
            complete(bare, self.is_to_head())
        });
        let written = loop {
            match Pin::new(&mut self.stream).poll_write(context, &rest) {
                Poll::Ready(Ok(length @ 1..)) if length < rest.len() => drop(rest.drain(..length)),
                Poll::Ready(Ok(1..)) => break Poll::Ready(Ok(bare.len())),
                other => break other,
            }
        };
        self.refusal = Some(rest);
        self.note_write(&written);
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = match find_bare_refusal(bytes) {
            Some(0) => return self.poll_write_refusal(context, bytes),
            Some(begin) => &bytes[..begin],
            None => bytes,
        };
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last = slices.iter().rposition(|slice| !slice.is_empty()).unwrap_or(0);
        let has_refusal = slices.get(last).is_some_and(|slice| find_bare_refusal(slice).is_some());
        if has_refusal && slices[..last].iter().all(|slice| slice.is_empty()) {
            return self.poll_write(context, &slices[last]);
        }
        let slices = if has_refusal { &slices[..last] } else { slices };
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
