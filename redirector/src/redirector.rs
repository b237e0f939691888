//! Starts the parts of a redirector, watches them, and ends them in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use prometheus::Registry;
use tern_common::Visitor;
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
use crate::countries::Countries;
use crate::engine::Engine;
use crate::http::{Limits, Server};
use crate::link_map::LinkMap;
use crate::metrics::{ClickMetrics, RedirectCounters, ReplicaMetrics};
use crate::misses::Misses;
use crate::ops::{Ops, OpsCollector};
use crate::replica::{self, Freshness, ReplicaReports};
use crate::sockets::{Origin, Sockets};
use crate::start_error::StartError;
use crate::status::StatusReader;
use crate::takes::{TakeMetrics, Taker, Takes};
use crate::watchdog::Watchdog;
use crate::{clicks, http, ops};

/// Part of the drain that is reserved for shipping clicks: in a second the slowest store takes thousands.
///
/// Clicks that the store does not take wait in their journals for the next process.
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
    stop_taker: watch::Sender<bool>,
    replica: JoinHandle<()>,
    taker: JoinHandle<()>,
    shipper: JoinHandle<u64>,
    journal_threads: JournalThreads,
    watchdog: Watchdog,
    ops: Serving,
}

impl Redirector {
    /// Binds both ports and serves them, at first with an empty map.
    ///
    /// The control tasks run on the current tokio runtime, which must have more than one thread. Redirects never wait
    /// for it.
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

    /// Starts a redirector on sockets that already listen.
    ///
    /// Sockets of systemd queue clients, so none is accepted before the map is loaded. Sockets of a predecessor are
    /// served by it, so no client is accepted here before the map has caught up with the store. When `start_deadline`
    /// completes, clients are accepted with the map as it is.
    pub async fn start_on(
        sockets: Sockets,
        start_deadline: impl Future<Output = ()>,
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

        // The first coroutine installs a handler for page faults. The handler of the journals must be installed after
        // it, because the last one is called first.
        http::configure_runtime(config.workers);
        let watchdog = Watchdog::start(config.notifier.clone()).map_err(StartError::Thread)?;
        let (ops_limits, limits) = divide_descriptors(&config);
        let ops_stats = PortStats::register(registry, "ops")?;

        Visitor::prepare();

        // Journals are created on disk, so every step that can fail comes first.
        let (map, writer) = LinkMap::new();
        let lanes = config.workers + config.other_recorders;
        let misses = Arc::new(Misses::new(lanes));
        let metrics = ClickMetrics::new(registry);
        let countries = Arc::<Countries>::default();
        let started = clicks::start(&config.journal, lanes, Arc::clone(&misses), Arc::clone(&countries), metrics);
        let (recorder, journal_threads, shipper) = started.map_err(StartError::Thread)?;
        let engine = Arc::new(Engine {
            map,
            defaults: config.defaults.clone(),
            recorder,
            tracking: config.tracking.clone(),
            answers: config.answers.clone(),
            miss_budget: ClientBudget::new(config.miss_burst, config.misses_per_second),
            misses,
            countries,
            proxies: config.trusted_proxies.clone(),
            counters: RedirectCounters::new(lanes),
            takes: Arc::new(Takes::default()),
            workers: config.workers,
            other_recorders: config.other_recorders,
        });
        let freshness = Arc::new(Freshness::default());
        let (stop_replica, replica_stops) = watch::channel(false);
        let (stop_shipper, shipper_stops) = watch::channel(None);
        let (stop_taker, taker_stops) = watch::channel(false);
        let taker = Taker::new(Arc::clone(&engine.takes), Arc::clone(&sink), TakeMetrics::new(registry));
        let taker = tokio::spawn(taker.run(taker_stops));
        let address = sockets.redirects.local_addr().map_err(failed("REDIRECTOR_LISTEN", config.listen))?;
        let status = Arc::new(StatusReader::new(Arc::clone(&engine), Arc::clone(&freshness), address));
        let reports =
            ReplicaReports { freshness: Arc::clone(&freshness), metrics: ReplicaMetrics::new(registry), status };
        let following = replica::follow(feed, bus, writer, config.replica.clone(), reports, replica_stops);
        let replica = tokio::spawn(following);
        let may_serve = async {
            match origin {
                // No other process answers, and a 503 is better than silence.
                Origin::Bound => {}
                Origin::Activated => until(|| engine.is_ready()).await,
                // The predecessor answers from an up-to-date map until then.
                Origin::TakenOver => until(|| freshness.is_caught_up()).await,
            }
        };
        tokio::select! {
            () = may_serve => {}
            () = start_deadline => {}
        }

        let server = Server::adopt(sockets.redirects, limits, Arc::clone(&engine))
            .map_err(failed("REDIRECTOR_LISTEN", config.listen))?;
        let server = Arc::new(server);
        let collector = OpsCollector { engine: Arc::clone(&engine), server: Arc::clone(&server), freshness };
        registry.register(Box::new(collector)).expect("one redirector for each registry");
        let ops = Ops {
            engine: Arc::clone(&engine),
            server: Arc::clone(&server),
            registry: registry.clone(),
            health: watchdog.health(),
        };
        let ops = ops::router(ops, config.ops_hosts.clone());
        Ok(Redirector {
            server,
            ops_addr,
            engine,
            config,
            stop_replica,
            stop_shipper,
            stop_taker,
            replica,
            taker,
            shipper: tokio::spawn(shipper.run(sink, shipper_stops)),
            journal_threads,
            watchdog,
            ops: Serving::start(ops_listener, ops, ops_limits, ops_stats),
        })
    }

    /// Returns the address of the redirect port.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Returns the address of the operations port.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops_addr
    }

    /// Returns the engine, for another port that answers short codes.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Returns why there is no room to record clicks, if there is none, as a sentence for the operator.
    pub fn warning(&self) -> Option<String> {
        self.engine.warning()
    }

    /// Waits until the map has been loaded for the first time.
    pub fn loaded(&self) -> impl Future<Output = ()> + use<> {
        let engine = Arc::clone(&self.engine);
        async move { until(|| engine.is_ready()).await }
    }

    /// Waits until a control task ends by itself, which is a defect.
    ///
    /// Without its control tasks, a redirector serves ever older links and records no clicks, so the process has to be
    /// started again.
    pub async fn ended(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = &mut self.replica => anyhow!("the replica ended by itself: {ended:?}"),
            ended = &mut self.shipper => anyhow!("the shipper ended by itself: {ended:?}"),
            ended = &mut self.taker => anyhow!("the taker of limited clicks ended by itself: {ended:?}"),
            () = self.journal_threads.ended() => anyhow!("a thread of the click journals ended by itself"),
            error = self.ops.ended() => error.context("the operations port failed"),
        }
    }

    /// Gives notice of the end for `DRAIN_NOTICE` while requests are still answered.
    ///
    /// `/ready` answers 503 for load balancers, and each answer closes its connection.
    pub async fn give_notice(&self) {
        self.server.give_notice();
        sleep(self.config.notice).await;
    }

    /// Returns the time at which a drain that starts now is over.
    pub fn drain_deadline(&self) -> Instant {
        Instant::now() + self.config.drain
    }

    /// Stops accepting, answers the requests under way, and cuts the connections that are left a second before
    /// `deadline`.
    ///
    /// The last second is reserved for shipping clicks.
    pub async fn drain_connections(&self, deadline: Instant) -> http::DrainReport {
        self.drain_within(deadline, self.config.limits.drain_grace).await
    }

    /// Drains connections after a successor has taken both ports over.
    ///
    /// No restart waits for this process, so kept connections have half of the time for one more request, whose answer
    /// closes them.
    pub async fn drain_after_take_over(&self, deadline: Instant) -> http::DrainReport {
        self.ops.abort();
        self.drain_within(deadline, deadline.saturating_duration_since(Instant::now()) / 2).await
    }

    async fn drain_within(&self, deadline: Instant, grace: Duration) -> http::DrainReport {
        let server = Arc::clone(&self.server);
        let time = connections_deadline(deadline).saturating_duration_since(Instant::now());
        spawn_blocking(move || server.drain(time, grace)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "drain of the redirect port panicked; its connections are cut");
            http::DrainReport { finished: 0, cut: 0 }
        })
    }

    /// Ships waiting clicks until `deadline`, then ends the redirector. Returns how many clicks stay in the journals.
    ///
    /// Every port that answers short codes must have been drained before.
    pub async fn finish(self, deadline: Instant) -> u64 {
        self.stop_taker.send_replace(true);
        self.stop_shipper.send_replace(Some(deadline));
        let mut shipper = self.shipper;
        let clicks_retained = match timeout_at(deadline, &mut shipper).await {
            Ok(Ok(pending)) => pending,
            ended => {
                if let Ok(Err(error)) = ended {
                    tracing::error!(%error, "shipper panicked; its clicks wait in the journals for the next start");
                }
                // A batch under way is stored or not; the next process asks the store.
                shipper.abort();
                self.engine.recorder.pending()
            }
        };
        // Clicks of limited links that no request used are back, or wasted.
        if !matches!(timeout_at(deadline.max(Instant::now() + SHIPPING), self.taker).await, Ok(Ok(()))) {
            tracing::warn!("unused clicks of limited links were not returned in time; they are wasted");
        }
        let (engine, journal_threads) = (self.engine, self.journal_threads);
        let closing = spawn_blocking(move || {
            engine.recorder.close();
            journal_threads.finish();
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "closing the click journals panicked; the next start recovers them");
        }
        self.stop_replica.send_replace(true);
        // The replica ends with writing the snapshot file, which takes as long as the disk needs.
        match timeout_at(deadline.max(Instant::now() + SHIPPING), self.replica).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "replica panicked; the next start uses an older snapshot file"),
            Err(_) => tracing::error!("snapshot file was not written in time; the next start uses an older one"),
        }
        self.ops.abort();
        drop(self.watchdog);
        clicks_retained
    }
}

/// Waits until `is_done` returns true.
async fn until(is_done: impl Fn() -> bool) {
    while !is_done() {
        sleep(Duration::from_millis(2)).await;
    }
}

/// Divides the descriptors between the operations port and the redirect port, and returns the limits of both.
fn divide_descriptors(config: &RedirectorConfig) -> (tern_serving::Limits, Limits) {
    let all = descriptors::for_ports();
    let for_operations = descriptors::part(all, tern_serving::Limits::OPERATIONS_DESCRIPTORS, 8);
    let for_redirects = all.saturating_sub(for_operations + config.other_descriptors);
    let limits = config.limits.clone().within_descriptors(for_redirects);
    let (wanted, connections) = (config.limits.connections, limits.connections);
    if connections < wanted {
        tracing::warn!(
            wanted,
            connections,
            "limit of open files is too small for MAX_CONNECTIONS; the redirect port takes fewer connections; raise the limit \
             (ulimit -n, LimitNOFILE) or lower MAX_CONNECTIONS"
        );
    }
    (tern_serving::Limits::operations(for_operations), limits)
}

/// Registers a listening socket with tokio.
fn listen_async(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Returns the time at which connections are cut, so that their clicks can still be stored by `deadline`.
pub fn connections_deadline(deadline: Instant) -> Instant {
    deadline.checked_sub(SHIPPING).unwrap_or(deadline)
}
