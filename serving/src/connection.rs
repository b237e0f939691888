//! One connection and its phase, as hyper reads from it, works for it and writes to it.
//!
//! The task of the connection writes the phase; the acceptor reads it, and orders the connection to end.

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

/// State of a connection, apart from waits for a body or for its client to read.
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

/// How a connection is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// After the request that it has begun, or at once if there is none.
    Finish = 1,
    /// At once.
    Cut = 2,
}

/// A connection at one moment, as far as the choice between connections depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) share: Option<u64>,
    /// It has been told to end, so its place is as good as free.
    pub(crate) is_ending: bool,
    pub(crate) is_idle: bool,
    /// The time since it began to wait for its client, or since the request began whose answer or body is slow. `None`
    /// while this process works for it.
    pub(crate) waits: Option<Duration>,
}

/// The wait of a client that took longer than a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    Idle,
    Head,
    Write,
}

/// Value of [`Watched::write_blocked_ms`] while the client reads.
const NOT_BLOCKED: u64 = u64::MAX;

/// The acceptor's view of a connection.
#[derive(Debug)]
pub(crate) struct Watched {
    share: Option<u64>,
    started: Instant,
    phase: AtomicU8,
    /// Milliseconds from `started` to the beginning of the phase.
    since_ms: AtomicU64,
    /// Milliseconds from `started` to the last byte that the client took, while it takes no more.
    write_blocked_ms: AtomicU64,
    body_waits: AtomicBool,
    order: AtomicU8,
    ordered: Notify,
}

impl Watched {
    pub(crate) fn new(share: Option<u64>, started: Instant) -> Watched {
        let watched = Watched {
            share,
            started,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since_ms: AtomicU64::new(0),
            write_blocked_ms: AtomicU64::new(NOT_BLOCKED),
            body_waits: AtomicBool::new(false),
            order: AtomicU8::new(0),
            ordered: Notify::new(),
        };
        watched.enter(Phase::Fresh);
        watched
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

    /// Notes whether the body of the current request has stopped to arrive.
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

    /// The wait that took longer than `limits` allow. A slow body is not among them: its reader ends it.
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
    pub(crate) async fn ordered(&self) -> Order {
        self.ordered.notified().await;
        if self.order.load(Ordering::Relaxed) == Order::Cut as u8 { Order::Cut } else { Order::Finish }
    }

    /// Whether the next answer is the last one of the connection.
    pub(crate) fn is_ending(&self) -> bool {
        self.order.load(Ordering::Relaxed) != 0
    }

    /// Whether a part of a head has come, and the rest is to be waited for.
    pub(crate) fn is_within_head(&self) -> bool {
        self.is(Phase::Head)
    }
}

/// The time from a request's head to the end of its answer.
#[derive(Debug)]
pub(crate) struct InExchange(Arc<Watched>);

impl InExchange {
    pub(crate) fn begin(watched: &Arc<Watched>) -> InExchange {
        watched.enter(Phase::Exchange);
        InExchange(Arc::clone(watched))
    }
}

impl Drop for InExchange {
    fn drop(&mut self) {
        self.0.body_waits(false);
        self.0.enter(Phase::Idle);
    }
}

/// The method whose answers have no body, and the space behind it.
const HEAD_METHOD: [u8; HEAD_METHOD_LEN] = *b"HEAD ";
const HEAD_METHOD_LEN: usize = 5;

/// A stream that notes when bytes come and when the client does not take them, and completes hyper's own refusals.
#[derive(Debug)]
pub(crate) struct WatchedStream<S> {
    pub(crate) stream: S,
    watched: Arc<Watched>,
    malformed_head: IntCounter,
    /// How many of the head's first bytes are those of [`HEAD_METHOD`]; `None` once one differs.
    method_bytes: Option<usize>,
    /// The rest of a refusal that takes the place of hyper's.
    refusal: Option<Vec<u8>>,
}

impl<S> WatchedStream<S> {
    pub(crate) fn new(stream: S, watched: Arc<Watched>, malformed_head: IntCounter) -> WatchedStream<S> {
        WatchedStream { stream, watched, malformed_head, method_bytes: None, refusal: None }
    }

    /// Compares what came of a head with [`HEAD_METHOD`], for which it may come in parts, after empty lines.
    fn note_method(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let Some(at @ ..HEAD_METHOD_LEN) = self.method_bytes else { return };
            if at > 0 || !matches!(byte, b'\r' | b'\n') {
                self.method_bytes = (*byte == HEAD_METHOD[at]).then_some(at + 1);
            }
        }
    }

    /// Whether a head that hyper refuses now is that of a HEAD, whose answer has no body.
    ///
    /// A best effort: hyper does not tell. A head behind another one in a single read counts as no HEAD: a body too many
    /// confuses no client, since the connection ends with it. The rest of such a head is taken for a head of its own.
    fn is_to_head(&self) -> bool {
        self.watched.is_within_head() && self.method_bytes == Some(HEAD_METHOD_LEN)
    }

    /// Whether the connection ends because hyper could not read a head.
    pub(crate) fn has_refused(&self) -> bool {
        self.refusal.is_some()
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        let blocked = &self.watched.write_blocked_ms;
        match written {
            Poll::Pending if blocked.load(Ordering::Relaxed) == NOT_BLOCKED => {
                blocked.store(self.watched.now_ms(), Ordering::Relaxed);
            }
            Poll::Pending => {}
            Poll::Ready(_) => blocked.store(NOT_BLOCKED, Ordering::Relaxed),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let arrived = &buffer.filled()[before..];
        if !arrived.is_empty() && (self.watched.is(Phase::Fresh) || self.watched.is(Phase::Idle)) {
            self.watched.enter(Phase::Head);
            self.method_bytes = Some(0);
        }
        if self.watched.is(Phase::Head) {
            self.note_method(arrived);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> WatchedStream<S> {
    /// Writes a complete refusal in place of hyper's, which `bare` is.
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

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
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
