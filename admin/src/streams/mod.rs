//! Answers that last long: clicks as they are stored, and exports of all rows.
//!
//! One reader of a process follows the clicks of the store while a client listens. Listeners read what it found from
//! memory, so their number costs the store nothing. An export reads the store part by part, as its client takes the parts.
//! Between two parts it has no connection, no transaction and no lock.

pub(crate) mod columns;
pub(crate) mod export;
mod hub;
mod limits;
mod listener;
mod metrics;
pub(crate) mod ring;

use std::sync::Arc;

use axum::body::Body;
use prometheus::Registry;
use tern_common::event::EventFilter;
use tern_common::store::AdminStore;
use tern_serving::PortState;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::hub::Hub;
use self::limits::{Kind, StreamLimits, StreamPermit};
use self::listener::Listener;
use self::metrics::StreamMetrics;
use crate::access::{Access, Caller};
use crate::http::error::Result;

/// Exports of one process at a time.
const EXPORTS: usize = 64;

/// Exports of one token at a time.
const EXPORTS_OF_TOKEN: usize = 16;

/// The streams of an admin.
#[derive(Debug)]
pub struct Streams {
    store: Arc<dyn AdminStore>,
    access: Arc<Access>,
    hub: Arc<Hub>,
    limits: Arc<StreamLimits>,
    /// The most streams of one token: half of its requests under way.
    streams_of_token: usize,
    /// The turn to read a part of an export, or clicks from before a listener came.
    turn: Arc<Semaphore>,
    metrics: StreamMetrics,
}

/// Permission to read a part of an export, in turn with other exports, and to continue it.
#[derive(Debug)]
pub(crate) struct ExportPass {
    pub(crate) store: Arc<dyn AdminStore>,
    turn: Arc<Semaphore>,
    /// The admission of a request; `None` for a command.
    admission: Option<Admission>,
}

/// The admission of the request that exports.
#[derive(Debug)]
struct Admission {
    access: Arc<Access>,
    caller: Caller,
    metrics: StreamMetrics,
    _permit: StreamPermit,
}

impl Streams {
    /// Registers the metrics of streams.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn new(
        store: Arc<dyn AdminStore>,
        access: Arc<Access>,
        token_concurrency: usize,
        registry: &Registry,
    ) -> prometheus::Result<Streams> {
        let metrics = StreamMetrics::register(registry)?;
        Ok(Streams {
            hub: Arc::new(Hub::new(Arc::clone(&store), metrics.clone())),
            limits: Arc::new(StreamLimits::new(metrics.clone())),
            streams_of_token: (token_concurrency / 2).max(1),
            turn: Arc::new(Semaphore::new(1)),
            store,
            access,
            metrics,
        })
    }

    /// Returns the body of an answer with the clicks that the filter matches, from now on or after an event.
    ///
    /// # Errors
    /// A 503 if the store is unavailable, and a 429 or 503 if too many streams are open.
    pub(crate) async fn listen(
        &self,
        caller: Caller,
        port: PortState,
        filter: EventFilter,
        after: Option<i64>,
    ) -> Result<Body> {
        let most = (port.connections() / 2).max(1);
        let permit = self.limits.admit(Kind::Live, caller.token_id(), most, self.streams_of_token)?;
        let subscription = self.hub.subscribe(after).await?;
        let (access, turn) = (Arc::clone(&self.access), Arc::clone(&self.turn));
        let listener = Listener::new(subscription, filter, caller, access, port, turn, permit);
        Ok(Body::from_stream(listener.into_stream()))
    }

    /// Admits an export.
    ///
    /// # Errors
    /// A 429 or 503 if too many exports are under way.
    pub(crate) fn begin_export(&self, caller: Caller) -> Result<ExportPass> {
        let permit = self.limits.admit(Kind::Export, caller.token_id(), EXPORTS, EXPORTS_OF_TOKEN)?;
        Ok(ExportPass {
            store: Arc::clone(&self.store),
            turn: Arc::clone(&self.turn),
            admission: Some(Admission {
                access: Arc::clone(&self.access),
                caller,
                metrics: self.metrics.clone(),
                _permit: permit,
            }),
        })
    }
}

impl ExportPass {
    /// Admits the export of a command, which is alone in its process.
    pub(crate) fn of_command(store: Arc<dyn AdminStore>) -> ExportPass {
        ExportPass { store, turn: Arc::new(Semaphore::new(1)), admission: None }
    }

    /// Waits for this export's turn to read a part.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        self.turn.acquire().await.expect("the semaphore is never closed")
    }

    /// Returns whether the caller's token is still valid.
    pub(crate) fn is_valid(&self) -> bool {
        self.admission.as_ref().is_none_or(|admission| admission.access.still_admits(&admission.caller))
    }

    /// Counts an export that ends before its last row.
    pub(crate) fn note_failure(&self) {
        if let Some(admission) = &self.admission {
            admission.metrics.failed_exports.inc();
        }
    }
}
