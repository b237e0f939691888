//! The state of this redirector, which its replica announces every second for people.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tern_common::bus::ReplicaStatus;

use crate::engine::Engine;
use crate::replica::{Freshness, StatusSource};

/// Reads the state from the parts of the redirector.
#[derive(Debug)]
pub(crate) struct StatusReader {
    engine: Arc<Engine>,
    freshness: Arc<Freshness>,
    address: SocketAddr,
    host: String,
}

impl StatusReader {
    pub(crate) fn new(engine: Arc<Engine>, freshness: Arc<Freshness>, address: SocketAddr) -> StatusReader {
        StatusReader { engine, freshness, address, host: ReplicaStatus::host_name() }
    }
}

impl StatusSource for StatusReader {
    fn status(&self) -> ReplicaStatus {
        let recorder = &self.engine.recorder;
        let [_, limit, room] = recorder.room();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        ReplicaStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host.clone(),
            address: self.address,
            links: self.engine.map.len() as u64,
            stale_ms: self.freshness.staleness().map(millis),
            clicks_waiting: recorder.pending(),
            oldest_click_ms: millis(recorder.oldest_pending()),
            clicks_dropped: recorder.dropped(),
            room_percent: u8::try_from(room.saturating_mul(100) / limit.max(1)).unwrap_or(100).min(100),
            has_no_room: self.engine.warning().is_some(),
        }
    }
}
