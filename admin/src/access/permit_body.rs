//! Answers that hold a permit of their token until their last byte is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// A body whose bytes hold the permit of their request.
///
/// The body itself cannot hold it: the server drops a body whose last part is in a buffer that the client may never read.
struct PermitBody {
    body: Body,
    permit: Arc<OwnedSemaphorePermit>,
}

/// A part of a body, with the permit.
struct PermitBytes {
    bytes: Bytes,
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Makes an answer hold a permit until the client has received all of it or the connection has ended.
pub(super) fn hold_permit(response: Response, permit: Option<OwnedSemaphorePermit>) -> Response {
    match permit {
        Some(permit) => response.map(|body| Body::new(PermitBody { body, permit: Arc::new(permit) })),
        None => response,
    }
}

impl HttpBody for PermitBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let carry = |bytes| Bytes::from_owner(PermitBytes { bytes, _permit: Arc::clone(&self.permit) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(carry))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AsRef<[u8]> for PermitBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn answer_with_permit_releases_it_when_its_bytes_are_dropped() {
        let permits = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
        let mut response = hold_permit(Response::new(Body::from("abc")), Some(permit));
        assert_eq!(response.body().size_hint().exact(), Some(3));
        let bytes = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(response.body().is_end_stream());
        drop(response);
        assert_eq!((&bytes[..], permits.available_permits()), (&b"abc"[..], 0));
        drop(bytes);
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn empty_answer_releases_its_permit_at_once() {
        let permits = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
        let response = hold_permit(Response::new(Body::empty()), Some(permit));
        assert!(response.body().is_end_stream());
        drop(response);
        assert_eq!(permits.available_permits(), 1);
    }
}
