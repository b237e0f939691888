//! Serving a router on a socket: bounded in connections and in time, and ended for good when told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

/// Administrators and their programs, not the public; more of them wait to be accepted.
const MAX_CONNECTIONS: usize = 1_024;

/// A head comes in one packet; whoever sends a byte now and then is not waited for.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// For the next part of a body to arrive: as long as a phone may lose its network.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// For a request that is on its way on a connection that was kept, before the connection is closed.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// Between tries to accept while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A router that is being served.
#[derive(Debug)]
pub struct Serving {
    leaving: Arc<AtomicBool>,
    stop: oneshot::Sender<Instant>,
    task: JoinHandle<bool>,
}

impl Serving {
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(listener: TcpListener, router: Router) -> Serving {
        let (stop, stops) = oneshot::channel();
        let leaving = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(serve(listener, router, Arc::clone(&leaving), stops));
        Serving { leaving, stop, task }
    }

    /// Waits for what should not happen: that it ends by itself.
    pub async fn ended(&mut self) -> anyhow::Error {
        let ended = (&mut self.task).await;
        anyhow::anyhow!("the API ended by itself: {ended:?}")
    }

    /// Goes on, but each answer from here on closes its connection, so that its client asks elsewhere next.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Stops accepting and finishes what is under way. An idle connection ends with one more request, or when none has
    /// come for half a second: closed at once, it would meet a request that is on its way. At the deadline the rest is
    /// cut, and then there are no connections left; false if any had to be.
    pub async fn drain(self, deadline: Instant) -> bool {
        self.leave();
        let _ = self.stop.send(deadline);
        self.task.await.unwrap_or(false)
    }
}

async fn serve(
    listener: TcpListener,
    router: Router,
    leaving: Arc<AtomicBool>,
    mut stops: oneshot::Receiver<Instant>,
) -> bool {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let deadline = loop {
        let accepted = tokio::select! {
            deadline = &mut stops => break deadline.unwrap_or_else(|_| Instant::now()),
            accepted = accept(&listener, &slots) => accepted,
            // Ended connections are forgotten as they end.
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer, slot) = accepted;
        let service = router.clone().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(|body| axum::body::Body::new(TimeoutBody::new(BODY_TIMEOUT, body)))
        });
        let leaving = Arc::clone(&leaving);
        let service = service.map_response(move |mut response: axum::response::Response| {
            if leaving.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that broke is the client's affair; a request that failed was logged where it did.
            let _ = connection.await;
            drop(slot);
        });
    };
    drop(listener);
    let grace = deadline.min(Instant::now() + DRAIN_GRACE);
    let _ = timeout_at(grace, async { while connections.join_next().await.is_some() {} }).await;
    let is_drained = timeout_at(deadline, graceful.shutdown()).await.is_ok();
    connections.shutdown().await;
    is_drained
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, SocketAddr, impl Send + use<>) {
    let slot = Arc::clone(slots).acquire_owned().await;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and whole; without it they would wait for the acknowledgement of the last one.
                let _ = stream.set_nodelay(true);
                return (stream, peer, slot);
            }
            Err(error) => {
                // Out of descriptors, or a client that went away while it waited: neither ends the port.
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn start() -> (Serving, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Serving::start(listener, Router::new().route("/", get(async || "here"))), address)
    }

    /// Asks once more on a connection; false if the answer closes it.
    async fn ask(stream: &mut TcpStream) -> bool {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: tern\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("here") {
            let mut bytes = [0; 1024];
            let length = stream.read(&mut bytes).await.unwrap();
            assert_ne!(length, 0, "closed without an answer: {answer}");
            answer.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
        !answer.contains("\r\nconnection: close\r\n")
    }

    async fn is_closed(stream: &mut TcpStream) -> bool {
        matches!(stream.read(&mut [0; 1]).await, Ok(0))
    }

    #[tokio::test]
    async fn who_leaves_answers_on_and_keeps_no_connection() {
        let (serving, address) = start().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await);
        serving.leave();
        assert!(!ask(&mut stream).await);
        assert!(is_closed(&mut stream).await);
        assert!(!ask(&mut TcpStream::connect(address).await.unwrap()).await);
    }

    #[tokio::test]
    async fn a_drain_meets_no_request_that_is_on_its_way() {
        let (serving, address) = start().await;
        let (mut busy, mut idle) =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        assert!(ask(&mut busy).await && ask(&mut idle).await);
        let last_request = async {
            sleep(DRAIN_GRACE / 5).await;
            assert!(!ask(&mut busy).await);
            is_closed(&mut busy).await && is_closed(&mut idle).await
        };
        let began = Instant::now();
        let (is_drained, are_closed) = tokio::join!(serving.drain(began + 10 * DRAIN_GRACE), last_request);
        assert!(is_drained && are_closed);
        assert!(began.elapsed() < 5 * DRAIN_GRACE);
    }
}
