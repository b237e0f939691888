//! Counters of a port, by the reason for which a connection was refused or ended early.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The metrics of one port: `tern_port_connections` and `tern_port_connection_events_total`.
#[derive(Clone, Debug)]
pub struct PortStats {
    pub(crate) open: IntGauge,
    pub(crate) accepted: IntCounter,
    /// Newcomers that were refused because the port was full and no connection could end for them.
    pub(crate) over_limit: IntCounter,
    /// Newcomers that were refused because their client's share was full.
    pub(crate) over_share: IntCounter,
    pub(crate) accept_error: IntCounter,
    /// Idle connections that ended for a newcomer.
    pub(crate) evicted_idle: IntCounter,
    /// Connections that waited for a slow client and ended for a newcomer.
    pub(crate) evicted_slow: IntCounter,
    pub(crate) header_timeout: IntCounter,
    pub(crate) idle_timeout: IntCounter,
    pub(crate) write_timeout: IntCounter,
    pub(crate) body_timeout: IntCounter,
    /// Connections that ended with a head that hyper could not read.
    pub(crate) malformed_head: IntCounter,
}

impl PortStats {
    /// Registers the metrics of the port that the label `port` names.
    ///
    /// # Errors
    /// The port has been registered before.
    pub fn register(registry: &Registry, port: &str) -> prometheus::Result<PortStats> {
        let options = |name, help: &str| Opts::new(name, help).const_label("port", port);
        let open = IntGauge::with_opts(options("tern_port_connections", "Open connections of a port."))?;
        let events = IntCounterVec::new(
            options("tern_port_connection_events_total", "Events of the connections of a port."),
            &["event"],
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(events.clone()))?;
        let event = |name| events.with_label_values(&[name]);
        Ok(PortStats {
            open,
            accepted: event("accepted"),
            over_limit: event("over_limit"),
            over_share: event("over_share"),
            accept_error: event("accept_error"),
            evicted_idle: event("evicted_idle"),
            evicted_slow: event("evicted_slow"),
            header_timeout: event("header_timeout"),
            idle_timeout: event("idle_timeout"),
            write_timeout: event("write_timeout"),
            body_timeout: event("body_timeout"),
            malformed_head: event("malformed_head"),
        })
    }
}
