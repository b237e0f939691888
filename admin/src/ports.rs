//! The two ports of an admin process: the API port, and the operations port if one is configured.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use tern_common::descriptors;
use tern_common::listening::listen;
use tern_serving::{Limits, PortStats, Serving};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::config::AdminConfig;
use crate::operations_port::operations_router;
use crate::router::router;
use crate::state::AppState;

/// The operations port gets at most one descriptor of eight.
const OPERATIONS_PART: usize = 8;

/// Listening sockets before they are served.
#[derive(Debug)]
pub struct Sockets {
    api: (TcpListener, SocketAddr),
    operations: Option<(TcpListener, SocketAddr)>,
}

/// Ports while they are served.
#[derive(Debug)]
pub struct Ports {
    api: Serving,
    operations: Option<Serving>,
}

impl Sockets {
    /// Binds the addresses of the configuration.
    ///
    /// # Errors
    /// When an address cannot be bound. The message names the setting.
    pub async fn bind(config: &AdminConfig) -> anyhow::Result<Sockets> {
        let api = listen(config.listen, "ADMIN_LISTEN, APP_PORT").await?;
        let operations = match config.ops_listen {
            Some(address) => Some(listen(address, "ADMIN_OPS_LISTEN").await?),
            None => None,
        };
        Ok(Sockets { api, operations })
    }

    /// Returns the addresses of the ports, each with a label.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        let api = self.api.1;
        let mut addresses = vec![("API", format!("http://{api}/urls"))];
        addresses.extend(self.operations.iter().map(|(_, address)| ("metrics", format!("http://{address}/metrics"))));
        addresses.push(("docs", format!("http://{api}/docs")));
        addresses
    }

    /// Serves the admin plane on both ports, which share the descriptors of the process.
    ///
    /// # Errors
    /// When the registry has metrics of these ports already.
    pub fn serve(self, state: &Arc<AppState>, registry: &Registry) -> prometheus::Result<Ports> {
        let all = descriptors::for_ports();
        let for_operations = descriptors::part(all, Limits::OPERATIONS_DESCRIPTORS, OPERATIONS_PART);
        let mut operations = None;
        if let Some((listener, _)) = self.operations {
            let routes = operations_router(Arc::clone(state));
            let stats = PortStats::register(registry, "ops")?;
            operations = Some(Serving::start(listener, routes, Limits::operations(for_operations), stats));
        }
        let limits = Limits::api(&state.config.access.trusted_proxies, all.saturating_sub(for_operations));
        let stats = PortStats::register(registry, "api")?;
        Ok(Ports { api: Serving::start(self.api.0, router(Arc::clone(state)), limits, stats), operations })
    }
}

impl Ports {
    /// Waits until a port ends without a request to end, which would be a defect.
    pub async fn ended(&mut self) -> anyhow::Error {
        let Some(operations) = &mut self.operations else { return self.api.ended().await };
        tokio::select! {
            error = self.api.ended() => error,
            error = operations.ended() => error,
        }
    }

    /// Closes each connection of the API with its next answer, and continues to serve.
    pub fn give_notice(&self) {
        self.api.give_notice();
    }

    /// Finishes the requests of the API until the deadline, then closes both ports. Returns whether all were finished.
    pub async fn drain(self, deadline: Instant) -> bool {
        let is_drained = self.api.drain(deadline).await;
        if let Some(operations) = &self.operations {
            operations.abort();
        }
        is_drained
    }
}
