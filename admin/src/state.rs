//! What every handler can reach.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tern_common::TargetUrl;
use tern_common::bus::{Bus, Message};
use tern_common::cache::Cache;
use tern_common::store::{Mark, Store};

use tokio::time::Instant;

use crate::access::Access;
use crate::config::AdminConfig;
use crate::http::error::{Result, bad_request};
use crate::metrics::Metrics;
use crate::resources::health::Readiness;
use crate::visibility::{Visibility, Visible};

/// How long a hint may take. The redirectors poll anyway: a bus that hangs must not hold up the answer.
const PUBLISH_LIMIT: Duration = Duration::from_millis(250);

/// Cheap to clone: every part is shared.
#[derive(Clone, Debug)]
pub struct AppState {
    pub store: Arc<dyn Store>,
    pub bus: Arc<dyn Bus>,
    pub cache: Arc<dyn Cache>,
    pub visibility: Visibility,
    pub config: Arc<AdminConfig>,
    pub access: Arc<Access>,
    pub readiness: Readiness,
    /// The file of `LogConfig`, which `GET /logs` reads; `None` if there is none.
    pub log_file: Option<Arc<Path>>,
    pub metrics: Metrics,
}

impl AppState {
    /// Parses the target of a link that is made or changed.
    pub(crate) fn parse_target(&self, text: &str) -> Result<TargetUrl> {
        self.config.own_addresses.parse_target(text).map_err(bad_request)
    }

    /// Tells the redirectors of a committed change and waits a while for them to serve it.
    /// The change stands whatever the bus does, so a failure of the bus is none of the request.
    pub(crate) async fn announce(&self, mark: &Mark) -> Visible {
        let began = Instant::now();
        match tokio::time::timeout(PUBLISH_LIMIT, self.bus.publish(Message::Invalidation)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the redirectors were not told of a change"),
            Err(_) => tracing::warn!("the bus took too long to tell the redirectors of a change"),
        }
        self.visibility.confirm_since(began, mark, self.config.visible_wait).await
    }
}
