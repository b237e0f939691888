//! The life of a redirector: starts its parts, watches them, and ends them in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use prometheus::Registry;
use tern_common::budget::ClientBudget;
use tern_common::bus::Bus;
use tern_common::descriptors;
use tern_common::store::{ClickSink, LinkFeed};
use tern_serving::{PortStats, Serving};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};

use crate::clicks::journal::JournalThreads;
use crate::config::RedirectorConfig;
use crate::engine::Engine;
use crate::http::{Limits, Server};
use crate::link_map::LinkMap;
use crate::metrics::{ClickMetrics, RedirectCounters, ReplicaMetrics};
use crate::ops::{Observed, Ops};
use crate::replica::{self, Freshness};
use crate::sockets::{Origin, Sockets};
use crate::start_error::StartError;
use crate::watchdog::Watchdog;
use crate::{clicks, http, ops};

/// What of the time to end is kept for the clicks: in a second the slowest store takes thousands. Those that it does
/// not take wait in their journals for the next process.
const SHIPPING: Duration = Duration::from_secs(1);

/// A running redirector.
#[derive(Debug)]
pub struct Redirector {
    server: Arc<Server>,
    ops_addr: SocketAddr,
    engine: Arc<Engine>,
    config: RedirectorConfig,
    stop_replica: watch::Sender<bool>,
    stop_shipper: watch::Sender<Option<Instant>>,
    replica: JoinHandle<()>,
    shipper: JoinHandle<u64>,
    journal_threads: JournalThreads,
    watchdog: Watchdog,
    ops: Serving,
}

impl Redirector {
    /// Starts serving on ports of its own, at first with an empty map. Its control tasks run on the current tokio
    /// runtime, which must have more than one thread; redirects never wait for it.
    pub async fn start(
        config: RedirectorConfig,
        feed: Arc<dyn LinkFeed>,
        sink: Arc<dyn ClickSink>,
        bus: Arc<dyn Bus>,
        registry: &Registry,
    ) -> Result<Redirector, StartError> {
        let sockets = Sockets::bind(&config)?;
        Redirector::start_on(sockets, std::future::ready(()), config, feed, sink, bus, registry).await
    }

    /// The same on sockets that listen already. If their clients wait in a queue that outlives processes, nobody is
    /// accepted before the map is loaded; if another process serves them, before it has caught up with the store. Once
    /// `patience` is over, the map is served as it is.
    pub async fn start_on(
        sockets: Sockets,
        patience: impl Future<Output = ()>,
        config: RedirectorConfig,
        feed: Arc<dyn LinkFeed>,
        sink: Arc<dyn ClickSink>,
        bus: Arc<dyn Bus>,
        registry: &Registry,
    ) -> Result<Redirector, StartError> {
        let failed = |variable, address| move |error| StartError::Listen { variable, address, error };
        let origin = sockets.origin();
        let ops_listener = listen_async(sockets.ops).map_err(failed("REDIRECTOR_OPS_LISTEN", config.ops_listen))?;
        let ops_addr = ops_listener.local_addr().map_err(failed("REDIRECTOR_OPS_LISTEN", config.ops_listen))?;

        // Before the journals: with the first coroutine comes a handler of page faults, and that of the journals has to be
        // in front of it.
        http::configure_runtime(config.workers);
        let watchdog = Watchdog::start(config.notifier.clone()).map_err(StartError::Thread)?;
        let (ops_limits, limits) = divide_descriptors(&config);
        let ops_stats = PortStats::register(registry, "ops")?;

        // Once nothing is in the way of serving: journals are made on disk.
        let (map, writer) = LinkMap::new();
        let lanes = config.workers + config.other_recorders;
        let started = clicks::start(&config.journal, lanes, ClickMetrics::new(registry));
        let (recorder, journal_threads, shipper) = started.map_err(StartError::Thread)?;
        let engine = Arc::new(Engine {
            map,
            recorder,
            records_clicks: config.record_clicks,
            misses: ClientBudget::new(config.miss_burst, config.misses_per_second),
            proxies: config.trusted_proxies.clone(),
            counters: RedirectCounters::new(lanes),
            workers: config.workers,
            other_recorders: config.other_recorders,
        });
        let freshness = Arc::new(Freshness::default());
        let (stop_replica, replica_stops) = watch::channel(false);
        let (stop_shipper, shipper_stops) = watch::channel(None);
        let (replica_config, replica_metrics) = (config.replica.clone(), ReplicaMetrics::new(registry));
        let freshness_of_map = Arc::clone(&freshness);
        let following =
            replica::follow(feed, bus, writer, replica_config, freshness_of_map, replica_metrics, replica_stops);
        let replica = tokio::spawn(following);
        let may_serve = async {
            match origin {
                // Nobody else answers, and an honest 503 is better than silence.
                Origin::Bound => {}
                Origin::Activated => until(|| engine.is_ready()).await,
                // The process that served before knows all of the store.
                Origin::TakenOver => until(|| freshness.is_caught_up()).await,
            }
        };
        tokio::select! {
            () = may_serve => {}
            () = patience => {}
        }

        let server = Server::adopt(sockets.redirects, limits, Arc::clone(&engine))
            .map_err(failed("REDIRECTOR_LISTEN", config.listen))?;
        let server = Arc::new(server);
        let observed = Observed { engine: Arc::clone(&engine), server: Arc::clone(&server), freshness };
        registry.register(Box::new(observed)).expect("one redirector for each registry");
        let told = Ops {
            engine: Arc::clone(&engine),
            server: Arc::clone(&server),
            registry: registry.clone(),
            vitals: watchdog.vitals(),
        };
        let ops = ops::router(told, config.ops_hosts.clone());
        Ok(Redirector {
            server,
            ops_addr,
            engine,
            config,
            stop_replica,
            stop_shipper,
            replica,
            shipper: tokio::spawn(shipper.run(sink, shipper_stops)),
            journal_threads,
            watchdog,
            ops: Serving::start(ops_listener, ops, ops_limits, ops_stats),
        })
    }

    /// Where redirects are served.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where operators ask.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops_addr
    }

    /// Returns the engine that answers requests for codes, for another port that takes them too.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Tells an operator why there is no room to record clicks, if there is none.
    pub fn warning(&self) -> Option<String> {
        self.engine.warning()
    }

    /// Waits until the map was loaded for the first time.
    pub fn loaded(&self) -> impl Future<Output = ()> + use<> {
        let engine = Arc::clone(&self.engine);
        async move { until(|| engine.is_ready()).await }
    }

    /// Waits for what should not happen: that a control task ends by itself. Without them redirects go on,
    /// ever older and unrecorded, so it is better that somebody starts the process anew.
    pub async fn ended(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = &mut self.replica => anyhow!("the replica ended by itself: {ended:?}"),
            ended = &mut self.shipper => anyhow!("the shipper ended by itself: {ended:?}"),
            () = self.journal_threads.ended() => anyhow!("the thread of the journals ended by itself"),
            error = self.ops.ended() => error.context("the operators' port"),
        }
    }

    /// Goes on for as long as others need to notice that this process is about to end: `/ready` says so to load balancers,
    /// and each answer to whoever keeps a connection.
    pub async fn give_notice(&self) {
        self.server.leave();
        sleep(self.config.notice).await;
    }

    /// When everything that is under way is to be done, if it begins to end now.
    pub fn drain_deadline(&self) -> Instant {
        Instant::now() + self.config.drain
    }

    /// Stops accepting and answers what is under way; what is left a little before the deadline is cut.
    /// The rest of the time is for the clicks.
    pub async fn drain_connections(&self, deadline: Instant) -> http::Drained {
        self.drain_within(deadline, self.config.limits.drain_grace).await
    }

    /// The same once another process serves both ports: nobody waits for this one, so those who keep connections have
    /// half of the time to ask once more, and to be told.
    pub async fn drain_followed(&self, deadline: Instant) -> http::Drained {
        self.ops.abort();
        self.drain_within(deadline, deadline.saturating_duration_since(Instant::now()) / 2).await
    }

    async fn drain_within(&self, deadline: Instant, grace: Duration) -> http::Drained {
        let server = Arc::clone(&self.server);
        let time = connections_deadline(deadline).saturating_duration_since(Instant::now());
        spawn_blocking(move || server.drain(time, grace)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the drain of the redirect port ended badly");
            http::Drained { finished: 0, cut: 0 }
        })
    }

    /// Hands the clicks that wait to the store until the deadline, and ends; how many wait in the journals for the next
    /// process. Every port that follows codes must have been drained before.
    pub async fn finish(self, deadline: Instant) -> u64 {
        self.stop_shipper.send_replace(Some(deadline));
        let mut shipper = self.shipper;
        let clicks_kept = match timeout_at(deadline, &mut shipper).await {
            Ok(Ok(kept)) => kept,
            ended => {
                if let Ok(Err(error)) = ended {
                    tracing::error!(%error, "the shipper ended badly");
                }
                // A batch that is under way may be stored or not: the next process is told.
                shipper.abort();
                self.engine.recorder.pending()
            }
        };
        let (engine, journal_threads) = (self.engine, self.journal_threads);
        let kept = spawn_blocking(move || {
            engine.recorder.close();
            journal_threads.finish();
        });
        if let Err(error) = kept.await {
            tracing::error!(%error, "the journals of clicks were not closed");
        }
        self.stop_replica.send_replace(true);
        // Its last act is to write the snapshot file, which takes as long as the disk does.
        match timeout_at(deadline.max(Instant::now() + SHIPPING), self.replica).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the replica ended badly"),
            Err(_) => tracing::error!("the snapshot file could not be written in time"),
        }
        self.ops.abort();
        drop(self.watchdog);
        clicks_kept
    }
}

/// Waits until `is_done` returns true.
async fn until(is_done: impl Fn() -> bool) {
    while !is_done() {
        sleep(Duration::from_millis(2)).await;
    }
}

/// Limits of the operators' port and of the redirect port, so that neither takes the other's descriptors.
fn divide_descriptors(config: &RedirectorConfig) -> (tern_serving::Limits, Limits) {
    let all = descriptors::for_ports();
    let of_operators = descriptors::part(all, tern_serving::Limits::OPERATORS_DESCRIPTORS, 8);
    let of_redirects = all.saturating_sub(of_operators + config.other_descriptors);
    let limits = config.limits.clone().within_descriptors(of_redirects);
    let (wanted, connections) = (config.limits.connections, limits.connections);
    if connections < wanted {
        tracing::warn!(
            wanted,
            connections,
            "limit of open files is too small for MAX_CONNECTIONS; the redirect port takes fewer connections; raise the limit \
             (ulimit -n, LimitNOFILE) or lower MAX_CONNECTIONS"
        );
    }
    (tern_serving::Limits::operators(of_operators), limits)
}

/// A socket for the control threads.
fn listen_async(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// When connections are cut, so that their clicks can still be stored by `deadline`.
pub fn connections_deadline(deadline: Instant) -> Instant {
    deadline.checked_sub(SHIPPING).unwrap_or(deadline)
}
