//! Bodies that report their progress to the connection.
//!
//! A request body has to keep a minimum rate. The body of an answer ends the exchange when it is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prometheus::IntCounter;
use tokio::time::{Duration, Instant, Sleep, sleep_until};

use crate::connection::{ConnectionState, ExchangeGuard};
use crate::limits::Limits;

/// The error of a body that did not arrive at the minimum rate.
#[derive(Debug, thiserror::Error)]
#[error("the body arrives too slowly")]
struct TooSlow;

/// A request body that ends with an error when it stalls, or when it is slower than the minimum rate.
pub(crate) struct PacedBody {
    body: Incoming,
    state: Arc<ConnectionState>,
    too_slow: IntCounter,
    stall: Duration,
    bytes_per_second: u64,
    /// The time at which the reader first waited for the body.
    began: Option<Instant>,
    bytes: u64,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl PacedBody {
    pub(crate) fn new(body: Incoming, state: Arc<ConnectionState>, limits: &Limits, too_slow: IntCounter) -> PacedBody {
        PacedBody {
            body,
            state,
            too_slow,
            stall: limits.body_stall,
            bytes_per_second: limits.body_bytes_per_second,
            began: None,
            bytes: 0,
            deadline: None,
        }
    }

    /// Returns the time by which the next bytes have to arrive.
    fn next_deadline(&self, began: Instant, now: Instant) -> Instant {
        let earned = Duration::from_millis(self.bytes.saturating_mul(1_000) / self.bytes_per_second.max(1));
        (now + self.stall).min(began + self.stall + earned)
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.state.body_waits(false);
                this.deadline = None;
                let frame = frame.transpose()?;
                let length = frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
                this.bytes += length as u64;
                Poll::Ready(frame.map(Ok))
            }
            Poll::Pending => {
                this.state.body_waits(true);
                let now = Instant::now();
                let began = *this.began.get_or_insert(now);
                let next = this.next_deadline(began, now);
                let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep_until(next)));
                match deadline.as_mut().poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        this.too_slow.inc();
                        Poll::Ready(Some(Err(TooSlow.into())))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Makes the exchange of an answer last until its body is dropped.
pub(crate) fn keep_exchange(body: Body, exchange: ExchangeGuard) -> Body {
    // The closure owns the exchange, and is dropped with the body. It does not change errors.
    Body::new(body.map_err(move |error| {
        let _guard = &exchange;
        error
    }))
}
