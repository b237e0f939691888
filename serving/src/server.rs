//! Accepts connections, gives each a task, and drains them.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tower::ServiceExt;

use crate::body::{PacedBody, keep_exchange};
use crate::connection::{InExchange, Order, WatchedStream};
use crate::crowd::{Crowd, Place, Refusal};
use crate::limits::Limits;
use crate::stats::PortStats;

/// Bytes of a request head. The redirect port and nginx take as much.
const HEAD_BYTES: usize = 16 * 1024;

/// Bytes that hyper reads ahead, and bytes of answers that it makes ahead, for one connection.
const BUFFER_BYTES: usize = 64 * 1024;

/// Time and bytes for which a client is read on whose head was refused.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 256 * 1024;

/// Connections that the kernel queues for a listener of tokio, at most.
const QUEUED: usize = 1024;

/// Time between tries to accept while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time in which connections that were told to end have ended, before a newcomer is refused.
const ROOM_PATIENCE: Duration = Duration::from_millis(50);

/// The answer to a newcomer that is not admitted. Fixed, since nothing waits for its request.
const NOT_ADMITTED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 73\r\n\
    Cache-Control: no-store\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
    {\"error\":\"Service Unavailable\",\"message\":\"Too many connections are open\"}";

/// The answer to a head that does not come to its end.
const HEAD_TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: 77\r\n\
    Cache-Control: no-store\r\nConnection: close\r\n\r\n\
    {\"error\":\"Request Timeout\",\"message\":\"The request head did not come in time\"}";

/// A router that is being served.
#[derive(Debug)]
pub struct Serving {
    leaving: Arc<AtomicBool>,
    stop: oneshot::Sender<Instant>,
    task: JoinHandle<bool>,
}

impl Serving {
    /// Starts to serve `router` on `listener`, within `limits`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(listener: TcpListener, router: Router, limits: Limits, stats: PortStats) -> Serving {
        let (stop, stops) = oneshot::channel();
        let leaving = Arc::new(AtomicBool::new(false));
        let port = Port { crowd: Crowd::new(limits, stats), router, leaving: Arc::clone(&leaving), http: http() };
        Serving { leaving, stop, task: tokio::spawn(port.serve(listener, stops)) }
    }

    /// Waits for an end that nothing asked for, which would be a defect.
    pub async fn ended(&mut self) -> anyhow::Error {
        let ended = (&mut self.task).await;
        anyhow::anyhow!("a port ended by itself: {ended:?}")
    }

    /// Goes on serving, but closes each connection with its next answer, so that its client connects elsewhere.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Stops accepting and finishes the requests that are under way. An idle connection ends with one more request, or
    /// after half a second without one: closed at once, it would meet a request that is on its way. The rest is cut at
    /// the deadline. Returns false if any connection was cut.
    pub async fn drain(self, deadline: Instant) -> bool {
        self.leave();
        let _ = self.stop.send(deadline);
        self.task.await.unwrap_or(false)
    }

    /// Stops at once: accepts nothing more and cuts every connection.
    pub fn abort(&self) {
        self.task.abort();
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // Timeouts are this crate's: hyper's timer does not tell an idle connection from a slow head.
    // Clients compare names without case, and people look for `X-Cache`.
    http.title_case_headers(true);
    http.header_read_timeout(None).max_header_size(HEAD_BYTES).max_buf_size(BUFFER_BYTES);
    http
}

/// Reads on for a moment after a refusal: a socket that is closed over unread bytes is reset, and the answer is lost.
async fn linger(stream: TcpStream) {
    let _ = timeout(LINGER, tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink())).await;
}

#[derive(Clone)]
struct Port {
    crowd: Arc<Crowd>,
    router: Router,
    leaving: Arc<AtomicBool>,
    http: http1::Builder,
}

impl Port {
    async fn serve(self, listener: TcpListener, mut stops: oneshot::Receiver<Instant>) -> bool {
        let limits = &self.crowd.limits;
        let mut connections = JoinSet::new();
        let mut ticks = interval(limits.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = loop {
            tokio::select! {
                deadline = &mut stops => break deadline.unwrap_or_else(|_| Instant::now()),
                _ = ticks.tick() => self.crowd.end_overdue(),
                // Ended connections are forgotten as they end.
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer, &mut connections).await,
                    Err(error) => {
                        // Out of descriptors, or a client that went away while it waited: neither ends the port.
                        self.crowd.stats.accept_error.inc();
                        tracing::debug!(%error, "connection was not accepted; accepting goes on");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        };
        let grace = deadline.min(Instant::now() + limits.drain_grace);
        self.take_the_queue(listener, &mut connections, grace).await;
        let finish = async |connections: &mut JoinSet<()>, ticks: &mut tokio::time::Interval| {
            loop {
                tokio::select! {
                    ended = connections.join_next() => if ended.is_none() { break },
                    _ = ticks.tick() => self.crowd.end_overdue(),
                }
            }
        };
        let _ = timeout_at(grace, finish(&mut connections, &mut ticks)).await;
        self.crowd.finish_all();
        let is_drained = timeout_at(deadline, finish(&mut connections, &mut ticks)).await.is_ok();
        connections.shutdown().await;
        is_drained
    }

    async fn take(&self, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        match self.admit(peer.ip(), connections).await {
            Ok(place) => {
                connections.spawn(self.clone().run(stream, peer, place));
            }
            Err(refusal) => self.refuse(&stream, refusal),
        }
    }

    /// Closes the listener, and before that accepts the connections in the kernel's queue, which it would reset. Ends at
    /// `until` and after as many as the queue holds, since others come meanwhile.
    async fn take_the_queue(&self, listener: TcpListener, connections: &mut JoinSet<()>, until: Instant) {
        // The readiness that tokio remembers may be older than the queue, so the kernel is asked.
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..QUEUED {
            if Instant::now() >= until {
                return;
            }
            let accepted = listener.accept().and_then(|(stream, peer)| {
                stream.set_nonblocking(true)?;
                Ok((TcpStream::from_std(stream)?, peer))
            });
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, connections).await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It says something of one connection, or the next call says it again.
                Err(_) => {}
            }
        }
    }

    /// Admits a newcomer, for which others may have to end first. Those behind it wait in the kernel's queue.
    async fn admit(&self, peer: IpAddr, connections: &mut JoinSet<()>) -> Result<Place, Refusal> {
        let patience = Instant::now() + ROOM_PATIENCE;
        loop {
            match self.crowd.admit(peer) {
                Err(Refusal::Ending) if timeout_at(patience, connections.join_next()).await.is_ok() => {}
                admitted => return admitted,
            }
        }
    }

    /// Answers a newcomer that is not admitted. A best effort: a client whose request is here already may see a reset
    /// instead of the answer.
    fn refuse(&self, stream: &TcpStream, refusal: Refusal) {
        let stats = &self.crowd.stats;
        let counter = if refusal == Refusal::ShareFull { &stats.over_share } else { &stats.over_limit };
        counter.inc();
        let _ = stream.try_write(NOT_ADMITTED);
    }

    /// Serves one connection to its end.
    async fn run(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Answers are small and whole; without it they would wait for the acknowledgement of the last one.
        let _ = stream.set_nodelay(true);
        let watched = Arc::clone(&place.watched);
        let malformed_head = self.crowd.stats.malformed_head.clone();
        let stream = TokioIo::new(WatchedStream::new(stream, Arc::clone(&watched), malformed_head));
        let service = service_fn(|request| self.answer(request, peer, &place));
        let mut connection = self.http.serve_connection(stream, service);
        let is_cut = loop {
            tokio::select! {
                biased;
                // A connection that broke is the client's affair; a request that failed was logged where it did.
                _ = &mut connection => break false,
                order = watched.ordered() => match order {
                    // A request whose beginning has just come is finished, and its answer is the last.
                    Order::Finish if watched.is_within_head() => {}
                    Order::Finish => std::pin::Pin::new(&mut connection).graceful_shutdown(),
                    Order::Cut => break true,
                },
            }
        };
        let stream = connection.into_parts().io.into_inner();
        if is_cut && watched.is_within_head() {
            // A best effort: the answer fits an empty send buffer.
            let _ = stream.stream.try_write(HEAD_TOO_SLOW);
        } else if stream.has_refused() {
            linger(stream.stream).await;
        }
    }

    async fn answer(
        &self,
        mut request: hyper::Request<Incoming>,
        peer: SocketAddr,
        place: &Place,
    ) -> Result<hyper::Response<Body>, std::convert::Infallible> {
        let exchange = InExchange::begin(&place.watched);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (limits, too_slow) = (&self.crowd.limits, self.crowd.stats.body_timeout.clone());
        let request = request.map(|body| Body::new(PacedBody::new(body, Arc::clone(&place.watched), limits, too_slow)));
        let mut response = self.router.clone().oneshot(request).await?;
        if self.leaving.load(Ordering::Relaxed) || place.watched.is_ending() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| keep_exchange(body, exchange)))
    }
}
