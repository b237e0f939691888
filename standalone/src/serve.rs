//! The life of the process, from the first port to the last click.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use prometheus::Registry;
use tern_admin::{Access, AdminConfig, AppState, Metrics, Readiness, Visibility, keep_in_order};
use tern_common::bus::{Bus, LocalBus, RedisBus};
use tern_common::cache::{Cache, LocalCache, RedisCache};
use tern_common::descriptors;
use tern_common::listening;
use tern_common::private_files::{FileLock, make_private};
use tern_common::process::{self, StopSignals};
use tern_common::seal::Seal;
use tern_common::store::{Page, Store, WatchedStore, export_pools};
use tern_common::telemetry::{SAID, export_process, start_log};
use tern_common::url::UrlFilter;
use tern_redirector::config::RedirectorConfig;
use tern_redirector::{Redirector, connections_deadline};
use tern_serving::{Limits, PortStats, Serving};
use tokio::net::TcpListener;

use crate::NAME;
use crate::config::Config;
use crate::follow::follow_code;
use crate::sample;

/// How long a server that was told to end may still have the directory.
const LAST_SERVER: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn serve(config: Config, with_sample: bool) -> anyhow::Result<()> {
    let mut stop = StopSignals::listen()?;
    config.redirector.ensure_writable()?;
    let log = start_log(&config.log)?;
    let _lock = lock_directory(&config.data_dir)?;
    let (listener, api_addr) = listen(config.admin.listen).await?;
    let database = ["tern.db", "tern.db-wal", "tern.db-shm"].map(|name| config.data_dir.join(name));
    make_private(config.redirector.private_files().chain(database).chain(config.log.file.clone()));
    let is_new = config.lacks_store()?;
    // To migrate a large database takes what it takes.
    let store = config.redirector.notifier.alive_during(config.open_store()).await?;
    if with_sample && sample::load_if_empty(&*store).await? {
        say("Loaded a sample: 400 users, 2000 links, 3422 events.");
    }
    let registry = Registry::new();
    log.export(&registry)?;
    export_process(&registry)?;
    export_pools(&store, &registry)?;
    let (bus, cache): (Arc<dyn Bus>, Arc<dyn Cache>) = match &config.redis {
        Some(redis) => {
            let seal = Seal::follow(Arc::clone(&store));
            let bus = RedisBus::new(redis, Arc::clone(&seal));
            bus.export(&registry)?;
            let cache = RedisCache::new(redis, seal);
            cache.export(&registry)?;
            (Arc::new(bus), Arc::new(cache))
        }
        None => (Arc::new(LocalBus::new()), Arc::new(LocalCache::new())),
    };
    let mut state = AppState {
        store: Arc::new(WatchedStore::new(Arc::clone(&store), config.admin.slow_query)),
        bus: Arc::clone(&bus),
        cache,
        readiness: Readiness::default(),
        visibility: Visibility::start(Arc::clone(&bus)),
        access: Access::open(Arc::clone(&store), &config.admin, &registry).await?,
        config: Arc::new(config.admin.clone()),
        log_file: config.log.file.as_deref().map(Into::into),
        metrics: Metrics::register(&registry)?,
    };
    let access = Arc::clone(&state.access);
    let (visibility, readiness, metrics) = (state.visibility.clone(), state.readiness.clone(), state.metrics.clone());
    let api_descriptors = descriptors::part(descriptors::for_ports(), Limits::API_DESCRIPTORS, 3);
    let redirector = RedirectorConfig { other_descriptors: api_descriptors, ..config.redirector.clone() };
    let mut redirector = Redirector::start(redirector, Arc::clone(&store), bus, &registry).await?;
    let (fast, ops) = (redirector.local_addr(), redirector.ops_addr());
    // Only now each port is known: one that was asked for as 0, too.
    let own_addresses = config.admin.own_addresses.clone().with_listener(api_addr).with_listener(fast);
    state.config = Arc::new(AdminConfig { own_addresses, ..config.admin.clone() });
    let upkeep = tokio::spawn(keep_in_order(Arc::clone(&store), config.admin.event_retention, metrics));

    let codes = Router::new().fallback(follow_code).with_state(Arc::clone(redirector.engine()));
    let limits = Limits::api(&config.admin.access.trusted_proxies, api_descriptors);
    let stats = PortStats::register(&registry, "api")?;
    let mut api = Serving::start(listener, tern_admin::router_over(codes, state), limits, stats);

    let (loaded, warning) = (redirector.loaded(), redirector.warning());
    let come_up = async {
        // From here on a change is answered when it is served.
        loaded.await;
        visibility.first_replica().await;
        let place = config.place() + if is_new { " (new)" } else { "" };
        announce(&*store, place, api_addr, fast, ops).await;
        warning.as_deref().into_iter().chain(access.warning()).for_each(say);
        std::future::pending().await
    };
    let signal = tokio::select! {
        signal = stop.received() => signal,
        error = api.ended() => return Err(error),
        error = redirector.ended() => return Err(error),
        never = come_up => never,
    };
    say(&format!("{signal}: finishing what is under way."));
    upkeep.abort();
    readiness.leave();
    api.leave();
    tokio::select! {
        () = redirector.give_notice() => {}
        // Somebody has no patience.
        _ = stop.received() => {}
    }
    let deadline = redirector.drain_deadline();
    let (api_drained, connections) =
        tokio::join!(api.drain(connections_deadline(deadline)), redirector.drain_connections(deadline));
    let clicks_kept = redirector.finish(deadline).await;
    let (finished, cut) = (connections.finished, connections.cut);
    tracing::info!(target: SAID, api_drained, finished, cut, clicks_kept, "drained");
    say(&format!("Drained: {finished} connections finished, {cut} cut; {clicks_kept} clicks kept for the next start."));
    Ok(())
}

/// Makes sure that no other server runs on the same directory. The lock ends with the process.
fn lock_directory(directory: &Path) -> anyhow::Result<FileLock> {
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("cannot make {shown} (TERN_DATA_DIR)"))?;
    FileLock::take(&directory.join("serve.lock"), LAST_SERVER).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => anyhow!(
            "another `tern serve` runs on {shown} (TERN_DATA_DIR); stop it first, or give this one a directory of its own"
        ),
        _ => anyhow::Error::new(error).context(format!("cannot lock {shown} (TERN_DATA_DIR)")),
    })
}

/// Listens on the API's address.
async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listen = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listen.await.map_err(|error| anyhow!(listening::refusal(address, "ADMIN_LISTEN, APP_PORT", &error)))
}

async fn announce(store: &dyn Store, place: String, api: SocketAddr, fast: SocketAddr, ops: SocketAddr) {
    let mut addresses = vec![
        ("store", place),
        ("metrics", format!("http://{ops}/metrics")),
        ("events", format!("http://{api}/events?event_type=clicked")),
        ("docs", format!("http://{api}/docs")),
        ("API", format!("http://{api}/urls")),
        ("short links", format!("http://{fast}/<short_code>")),
    ];
    let active = UrlFilter { is_active: Some(true), ..UrlFilter::default() };
    let first =
        store.list_urls(active, Page { number: 1, size: 1 }).await.ok().and_then(|urls| urls.rows.into_iter().next());
    if let Some(url) = first {
        addresses.push(("try a link", format!("http://{fast}/{0}  or  http://{api}/{0}", url.short_code)));
    }
    process::announce(NAME, &addresses);
}

fn say(line: &str) {
    process::say(NAME, line);
}
