//! Accepts connections, starts a task for each, and drains them.

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
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tower::ServiceExt;

use crate::body::{PacedBody, keep_exchange};
use crate::connection::{ExchangeGuard, Order, TrackedStream};
use crate::connections::{Connections, Entry, Refusal};
use crate::limits::Limits;
use crate::port_state::PortState;
use crate::stats::PortStats;

/// Bytes of a request head, as on the redirect port and in nginx.
const HEAD_BYTES: usize = 16 * 1024;

/// Bytes of requests, and of answers, that hyper buffers for one connection.
const BUFFER_BYTES: usize = 64 * 1024;

/// Time for which bytes of a client are discarded after its head was refused.
const LINGER: Duration = Duration::from_millis(500);

/// Bytes that are discarded meanwhile.
const LINGER_BYTES: u64 = 256 * 1024;

/// Connections that the kernel queues for a listener of tokio, at most.
const QUEUED: usize = 1024;

/// Time between tries to accept while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time for connections with the order to end before a newcomer is refused.
const ADMISSION_TIMEOUT: Duration = Duration::from_millis(50);

/// The answer to a newcomer that is not admitted. It is fixed, because the request is not awaited.
const NOT_ADMITTED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 73\r\n\
    Cache-Control: no-store\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
    {\"error\":\"Service Unavailable\",\"message\":\"Too many connections are open\"}";

/// The answer to a head that is not complete in time.
const HEAD_TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: 77\r\n\
    Cache-Control: no-store\r\nConnection: close\r\n\r\n\
    {\"error\":\"Request Timeout\",\"message\":\"The request head did not come in time\"}";

/// A router that is being served.
#[derive(Debug)]
pub struct Serving {
    notice: Arc<AtomicBool>,
    drains: watch::Sender<bool>,
    stop: oneshot::Sender<Instant>,
    task: JoinHandle<bool>,
}

impl Serving {
    /// Starts to serve `router` on `listener`, within `limits`.
    ///
    /// # Panics
    /// It is called outside of a tokio runtime.
    pub fn start(listener: TcpListener, router: Router, limits: Limits, stats: PortStats) -> Serving {
        let (stop, stops) = oneshot::channel();
        let notice = Arc::new(AtomicBool::new(false));
        let drains = watch::Sender::new(false);
        let state = PortState { connections: limits.connections, drains: drains.subscribe() };
        let open = Connections::new(limits, stats);
        let port = Port { open, router, notice: Arc::clone(&notice), state, http: http() };
        Serving { notice, drains, stop, task: tokio::spawn(port.serve(listener, stops)) }
    }

    /// Waits until the port ends by itself, which is a defect.
    pub async fn ended(&mut self) -> anyhow::Error {
        let ended = (&mut self.task).await;
        anyhow::anyhow!("a port ended by itself: {ended:?}")
    }

    /// Closes each connection with its next answer from now on, so that its client connects elsewhere.
    pub fn give_notice(&self) {
        self.notice.store(true, Ordering::Relaxed);
    }

    /// Stops accepting, finishes the requests under way, and cuts the other connections at the deadline.
    ///
    /// An idle connection ends after one more request, or after half a second, since a request may be on its way.
    /// Returns false if any connection was cut.
    pub async fn drain(self, deadline: Instant) -> bool {
        self.give_notice();
        self.drains.send_replace(true);
        let _ = self.stop.send(deadline);
        self.task.await.unwrap_or(false)
    }

    /// Stops accepting and cuts every connection at once.
    pub fn abort(&self) {
        self.task.abort();
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // This crate has its own timeouts, because the timer of hyper does not distinguish an idle connection from a slow
    // head. Clients ignore the case of names, and people search for `X-Cache`.
    http.title_case_headers(true);
    http.header_read_timeout(None).max_header_size(HEAD_BYTES).max_buf_size(BUFFER_BYTES);
    http
}

/// Discards bytes for a moment after a refusal. Closing a socket with unread bytes resets it, and the answer is lost.
async fn linger(stream: TcpStream) {
    let _ = timeout(LINGER, tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink())).await;
}

#[derive(Clone)]
struct Port {
    open: Arc<Connections>,
    router: Router,
    notice: Arc<AtomicBool>,
    state: PortState,
    http: http1::Builder,
}

impl Port {
    async fn serve(self, listener: TcpListener, mut stops: oneshot::Receiver<Instant>) -> bool {
        let limits = &self.open.limits;
        let mut connections = JoinSet::new();
        let mut ticks = interval(limits.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = loop {
            tokio::select! {
                deadline = &mut stops => break deadline.unwrap_or_else(|_| Instant::now()),
                _ = ticks.tick() => self.open.end_overdue(),
                // Joining frees the tasks of ended connections.
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer, &mut connections).await,
                    Err(error) => {
                        // No free descriptor, or a queued client that disconnected. Neither ends the port.
                        self.open.stats.accept_error.inc();
                        tracing::debug!(%error, "connection could not be accepted; accepting continues after a pause");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        };
        let grace = deadline.min(Instant::now() + limits.drain_grace);
        self.accept_queue(listener, &mut connections, grace).await;
        let finish = async |connections: &mut JoinSet<()>, ticks: &mut tokio::time::Interval| {
            loop {
                tokio::select! {
                    ended = connections.join_next() => if ended.is_none() { break },
                    _ = ticks.tick() => self.open.end_overdue(),
                }
            }
        };
        let _ = timeout_at(grace, finish(&mut connections, &mut ticks)).await;
        self.open.finish_all();
        let is_drained = timeout_at(deadline, finish(&mut connections, &mut ticks)).await.is_ok();
        connections.shutdown().await;
        is_drained
    }

    async fn take(&self, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        match self.admit(peer.ip(), connections).await {
            Ok(entry) => {
                connections.spawn(self.clone().run(stream, peer, entry));
            }
            Err(refusal) => self.refuse(&stream, refusal),
        }
    }

    /// Accepts the connections in the queue of the kernel, then closes the listener, which would reset them.
    ///
    /// New connections arrive meanwhile, so it ends at `until`, and after as many connections as the queue can have.
    async fn accept_queue(&self, listener: TcpListener, connections: &mut JoinSet<()>, until: Instant) {
        // The cached readiness of tokio may be older than the queue, so the kernel is asked.
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
                // The error concerns one connection, or the next call returns it again.
                Err(_) => {}
            }
        }
    }

    /// Admits a newcomer, for which others may have to end first. Further newcomers wait in the queue of the kernel.
    async fn admit(&self, peer: IpAddr, connections: &mut JoinSet<()>) -> Result<Entry, Refusal> {
        let give_up = Instant::now() + ADMISSION_TIMEOUT;
        loop {
            match self.open.admit(peer) {
                Err(Refusal::Ending) if timeout_at(give_up, connections.join_next()).await.is_ok() => {}
                admitted => return admitted,
            }
        }
    }

    /// Answers a newcomer that is not admitted, as a best effort.
    ///
    /// A client whose request has already arrived may see a reset instead of the answer.
    fn refuse(&self, stream: &TcpStream, refusal: Refusal) {
        let stats = &self.open.stats;
        let counter = if refusal == Refusal::ShareFull { &stats.over_share } else { &stats.over_limit };
        counter.inc();
        let _ = stream.try_write(NOT_ADMITTED);
    }

    /// Serves one connection to its end.
    async fn run(self, stream: TcpStream, peer: SocketAddr, entry: Entry) {
        // Without the option, an answer would wait for the acknowledgement of the previous one.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&entry.state);
        let malformed_head = self.open.stats.malformed_head.clone();
        let stream = TokioIo::new(TrackedStream::new(stream, Arc::clone(&state), malformed_head));
        let service = service_fn(|request| self.answer(request, peer, &entry));
        let mut connection = self.http.serve_connection(stream, service);
        let is_cut = loop {
            tokio::select! {
                biased;
                // An error of the connection concerns its client alone. A failed request was logged by its handler.
                _ = &mut connection => break false,
                order = state.next_order() => match order {
                    // A request whose head has begun to arrive is answered, and the connection closes after it.
                    Order::Finish if state.is_within_head() => {}
                    Order::Finish => std::pin::Pin::new(&mut connection).graceful_shutdown(),
                    Order::Cut => break true,
                },
            }
        };
        let stream = connection.into_parts().io.into_inner();
        if is_cut && state.is_within_head() {
            // A best effort: the answer fits into an empty send buffer.
            let _ = stream.stream.try_write(HEAD_TOO_SLOW);
        } else if stream.has_refused() {
            linger(stream.stream).await;
        }
    }

    async fn answer(
        &self,
        mut request: hyper::Request<Incoming>,
        peer: SocketAddr,
        entry: &Entry,
    ) -> Result<hyper::Response<Body>, std::convert::Infallible> {
        let exchange = ExchangeGuard::begin(&entry.state);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(self.state.clone());
        let (limits, too_slow) = (&self.open.limits, self.open.stats.body_timeout.clone());
        let request = request.map(|body| Body::new(PacedBody::new(body, Arc::clone(&entry.state), limits, too_slow)));
        let mut response = self.router.clone().oneshot(request).await?;
        if self.notice.load(Ordering::Relaxed) || entry.state.is_ending() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| keep_exchange(body, exchange)))
    }
}
