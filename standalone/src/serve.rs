//! The life of the process, from the first port to the last click.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::handler::Handler;
use axum::serve::ListenerExt;
use prometheus::Registry;
use tern_admin::{AppState, Metrics, Visibility, keep_in_order};
use tern_common::bus::{Bus, LocalBus};
use tern_common::cache::LocalCache;
use tern_common::store::{Page, SqliteStore, Store};
use tern_common::telemetry::start_log;
use tern_common::url::UrlFilter;
use tern_redirector::Redirector;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::follow::follow_code;
use crate::sample;

/// How long requests to the API that are under way have when the process is told to end.
const API_DRAIN: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn serve(config: Config, with_sample: bool) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    let log_file = &config.log.file;
    let log =
        start_log(&config.log).with_context(|| format!("cannot write the log to {} (LOG_FILE)", log_file.display()))?;

    let in_use = || format!("cannot listen on {} (APP_PORT)", config.listen);
    let listener = TcpListener::bind(config.listen).await.with_context(in_use)?;
    let api_addr = listener.local_addr().with_context(in_use)?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.database()).await?);
    if with_sample && sample::load_if_empty(&*store).await? {
        say("Loaded a sample: 400 users, 2000 links, 3422 events.");
    }
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
    let registry = Registry::new();
    log.export(&registry)?;
    let state = AppState {
        store: Arc::clone(&store),
        bus: Arc::clone(&bus),
        cache: Arc::new(LocalCache::new()),
        visibility: Visibility::start(Arc::clone(&bus)),
        config: Arc::new(config.admin.clone()),
        log_file: config.log.file.as_path().into(),
        metrics: Metrics::register(&registry)?,
    };
    let visibility = state.visibility.clone();
    let redirector = Redirector::start(config.redirector.clone(), Arc::clone(&store), bus, &registry).await?;
    let upkeep = tokio::spawn(keep_in_order(Arc::clone(&store)));

    let api = tern_admin::router(state)
        .fallback_service(follow_code.with_state(Arc::clone(redirector.engine())))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        // Answers are small and whole; without it they would wait for the acknowledgement of the last one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let (stop_api, api_stops) = oneshot::channel::<()>();
    let serving = axum::serve(listener, api).with_graceful_shutdown(async {
        // A sender that is gone stops it as well.
        let _ = api_stops.await;
    });
    let mut serving = tokio::spawn(serving.into_future());

    // From here on a change is answered when it is served.
    redirector.loaded().await;
    visibility.first_replica().await;
    announce(&*store, api_addr, &redirector).await;

    let signal = tokio::select! {
        signal = stop.received() => signal,
        ended = &mut serving => return Err(anyhow!("the API ended by itself: {ended:?}")),
    };
    say(&format!("{signal}: finishing what is under way."));
    let _ = stop_api.send(());
    let api_drained = tokio::time::timeout(API_DRAIN, &mut serving).await.is_ok();
    serving.abort();
    upkeep.abort();
    let drained = redirector.drain().await;
    tracing::info!(api_drained, finished = drained.finished, cut = drained.cut, "drained");
    say(&format!("Drained: {} connections finished, {} cut. Every click is stored.", drained.finished, drained.cut));
    Ok(())
}

async fn announce(store: &dyn Store, api: SocketAddr, redirector: &Redirector) {
    let fast = redirector.local_addr();
    say(&format!("API        http://{api}/urls"));
    say(&format!("events     http://{api}/events?event_type=clicked"));
    say(&format!("redirects  http://{fast}/<short_code>"));
    say(&format!("metrics    http://{}/metrics", redirector.ops_addr()));
    let active = UrlFilter { is_active: Some(true), ..UrlFilter::default() };
    let first =
        store.list_urls(active, Page { number: 1, size: 1 }).await.ok().and_then(|urls| urls.rows.into_iter().next());
    if let Some(url) = first {
        say(&format!("Follow a link:  http://{api}/{0}  or  http://{fast}/{0}", url.short_code));
    }
}

/// Speaks to whoever started the process; standard output belongs to the log.
#[expect(clippy::print_stderr, reason = "this is the command line")]
fn say(line: &str) {
    eprintln!("tern: {line}");
}

struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<StopSignals> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(StopSignals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
