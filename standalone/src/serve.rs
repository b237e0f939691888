//! The command `tern serve`, from the first port to the last click.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use tern_admin::{AppState, Seams, find_hidden_links, maintain_store};
use tern_common::console::{CONSOLE_TARGET, announce, write_line};
use tern_common::descriptors;
use tern_common::lifecycle::Lifecycle;
use tern_common::listening::listen;
use tern_common::private_files::{FileLock, make_private};
use tern_common::store::{AdminStore, Page, export_pools};
use tern_common::url::UrlFilter;
use tern_redirector::config::RedirectorConfig;
use tern_redirector::{Redirector, connections_deadline};
use tern_serving::{Limits, PortStats, Serving};

use crate::config::{Config, NAME};
use crate::follow::follow_code;
use crate::sample;

/// The file in the data directory that a server locks.
pub const SERVE_LOCK: &str = "serve.lock";

/// The longest time to wait for a server that ends and still locks the directory.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn serve(config: Config, with_sample: bool) -> anyhow::Result<()> {
    config.redirector.ensure_writable()?;
    let mut lifecycle = Lifecycle::begin(NAME, &config.log)?;
    let _lock = lock_directory(&config.data_dir)?;
    let (listener, api_addr) = listen(config.admin.listen, "ADMIN_LISTEN, APP_PORT").await?;
    make_private(config.private_files());
    let is_new = config.lacks_store()?;
    // Migrating a large database may take longer than the service manager waits without a message.
    let store = config.redirector.notifier.alive_during(config.open_store()).await?;
    if with_sample && sample::load_if_empty(&*store).await? {
        write_line(NAME, "Loaded a sample: 400 users, 2000 links, 3422 changes, 6000 clicks.");
    }
    let registry = lifecycle.registry().clone();
    export_pools(store.clone(), &registry)?;
    let seams = match &config.redis {
        Some(redis) => Seams::over_redis(Arc::clone(&store), redis, &registry)?,
        None => Seams::in_process(Arc::clone(&store)),
    };
    let bus = Arc::clone(&seams.bus);
    let mut state = AppState::build(seams, config.admin.clone(), config.log.file.clone(), &registry).await?;
    let api_descriptors = descriptors::part(descriptors::for_ports(), Limits::API_DESCRIPTORS, 3);
    let redirector = RedirectorConfig { other_descriptors: api_descriptors, ..config.redirector.clone() };
    let mut redirector = Redirector::start(redirector, store.clone(), store.clone(), bus, &registry).await?;
    let (fast, ops) = (redirector.local_addr(), redirector.ops_addr());
    // A port that was configured as 0 is known only after it was bound.
    state.config.own_addresses = state.config.own_addresses.clone().with_listener(api_addr).with_listener(fast);
    let state = Arc::new(state);
    let upkeep = tokio::spawn(maintain_store(Arc::clone(&store), config.admin.clone(), state.metrics.clone()));

    let codes = Router::new().fallback(follow_code).with_state(Arc::clone(redirector.engine()));
    let limits = Limits::api(&config.admin.access.trusted_proxies, api_descriptors);
    let stats = PortStats::register(&registry, "api")?;
    let mut api = Serving::start(listener, tern_admin::router_over(codes, Arc::clone(&state)), limits, stats);

    let (loaded, warning) = (redirector.loaded(), redirector.warning());
    let report_start = async {
        // The addresses are reported once answers to changes wait until this redirector serves them.
        loaded.await;
        state.visibility.first_replica().await;
        let place = config.place() + if is_new { " (new)" } else { "" };
        let addresses = addresses(&*store, place, api_addr, fast, ops).await;
        let hidden = find_hidden_links(&*store).await.unwrap_or_default();
        let open = state.access.warning();
        let warnings = warning.as_deref().into_iter().chain(open.as_deref()).chain(hidden.as_deref());
        announce(NAME, &addresses, warnings);
        std::future::pending().await
    };
    let signal = tokio::select! {
        signal = lifecycle.stop_signal() => signal,
        error = api.ended() => return Err(error),
        error = redirector.ended() => return Err(error),
        never = report_start => never,
    };
    lifecycle.report_end(signal);
    upkeep.abort();
    state.readiness.end();
    api.give_notice();
    lifecycle.give_notice(redirector.give_notice()).await;
    let deadline = redirector.drain_deadline();
    let (api_drained, connections) =
        tokio::join!(api.drain(connections_deadline(deadline)), redirector.drain_connections(deadline));
    let clicks_retained = redirector.finish(deadline).await;
    let (finished, cut) = (connections.finished, connections.cut);
    tracing::info!(target: CONSOLE_TARGET, api_drained, finished, cut, clicks_retained, "drained");
    write_line(
        NAME,
        &format!(
            "Drained: {finished} connections finished, {cut} cut; {clicks_retained} clicks retained for the next start."
        ),
    );
    Ok(())
}

/// Locks the data directory against a second server. The lock ends with the process.
fn lock_directory(directory: &Path) -> anyhow::Result<FileLock> {
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("cannot create {shown} (TERN_DATA_DIR)"))?;
    FileLock::take(&directory.join(SERVE_LOCK), LOCK_WAIT).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => anyhow!(
            "another `tern serve` runs on {shown} (TERN_DATA_DIR); stop it first, or give this one a directory of its own"
        ),
        _ => anyhow::Error::new(error).context(format!("cannot lock {shown} (TERN_DATA_DIR)")),
    })
}

/// Returns the addresses of the process, with the first active link of the store if there is one.
async fn addresses(
    store: &dyn AdminStore,
    place: String,
    api: SocketAddr,
    fast: SocketAddr,
    ops: SocketAddr,
) -> Vec<(&'static str, String)> {
    let mut addresses = vec![
        ("dashboard", format!("http://{api}/admin/")),
        ("store", place),
        ("metrics", format!("http://{ops}/metrics")),
        ("events", format!("http://{api}/events?event_type=clicked")),
        ("docs", format!("http://{api}/docs")),
        ("API", format!("http://{api}/urls")),
        ("short links", format!("http://{fast}/<short_code>")),
    ];
    let active = UrlFilter { is_active: Some(true), ..UrlFilter::default() };
    let first = store
        .list_urls(active, Default::default(), Page::first(1))
        .await
        .ok()
        .and_then(|urls| urls.rows.into_iter().next());
    if let Some(url) = first {
        addresses.push(("try a link", format!("http://{fast}/{0}  or  http://{api}/{0}", url.short_code)));
    }
    addresses
}
