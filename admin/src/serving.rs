//! Serving a router on a socket: bounded in connections and in time, and ended for good when told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
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

/// Between tries to accept while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A router that is being served.
#[derive(Debug)]
pub struct Serving {
    stop: oneshot::Sender<Instant>,
    task: JoinHandle<bool>,
}

impl Serving {
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(listener: TcpListener, router: Router) -> Serving {
        let (stop, stops) = oneshot::channel();
        Serving { stop, task: tokio::spawn(serve(listener, router, stops)) }
    }

    /// Waits for what should not happen: that it ends by itself.
    pub async fn ended(&mut self) -> anyhow::Error {
        let ended = (&mut self.task).await;
        anyhow::anyhow!("the API ended by itself: {ended:?}")
    }

    /// Stops accepting and finishes what is under way. At the deadline the rest is cut, and then there are no
    /// connections left; false if any had to be.
    pub async fn drain(self, deadline: Instant) -> bool {
        let _ = self.stop.send(deadline);
        self.task.await.unwrap_or(false)
    }
}

async fn serve(listener: TcpListener, router: Router, mut stops: oneshot::Receiver<Instant>) -> bool {
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
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that broke is the client's affair; a request that failed was logged where it did.
            let _ = connection.await;
            drop(slot);
        });
    };
    drop(listener);
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
