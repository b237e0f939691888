//! Answers that occupy a place of their token until their last byte is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// A body whose bytes carry the place that their request occupies.
///
/// The server drops a body as soon as it has taken its last part into a buffer, and the client may never read that.
struct OccupyingBody {
    body: Body,
    place: Arc<OwnedSemaphorePermit>,
}

/// A part of a body, and the place that it occupies.
struct OccupyingBytes {
    bytes: Bytes,
    _place: Arc<OwnedSemaphorePermit>,
}

/// Makes an answer occupy a place until the client has taken all of it or the connection has ended.
pub(super) fn occupy(response: Response, place: Option<OwnedSemaphorePermit>) -> Response {
    match place {
        Some(place) => response.map(|body| Body::new(OccupyingBody { body, place: Arc::new(place) })),
        None => response,
    }
}

impl HttpBody for OccupyingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let carry = |bytes| Bytes::from_owner(OccupyingBytes { bytes, _place: Arc::clone(&self.place) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(carry))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AsRef<[u8]> for OccupyingBytes {
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
    async fn answer_occupies_its_place_until_its_bytes_are_dropped() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let mut response = occupy(Response::new(Body::from("abc")), Some(place));
        assert_eq!(response.body().size_hint().exact(), Some(3));
        let bytes = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(response.body().is_end_stream());
        drop(response);
        assert_eq!((&bytes[..], places.available_permits()), (&b"abc"[..], 0));
        drop(bytes);
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test]
    async fn empty_answer_gives_its_place_back_at_once() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let response = occupy(Response::new(Body::empty()), Some(place));
        assert!(response.body().is_end_stream());
        drop(response);
        assert_eq!(places.available_permits(), 1);
    }
}
