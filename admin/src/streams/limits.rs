//! Limits of the streams that are open at a time, in the process and for each token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use tern_common::Id;

use super::metrics::StreamMetrics;
use crate::http::error::{Result, too_many_streams};

/// A kind of stream. Each has limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Live,
    Export,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Kind::Live => "live",
            Kind::Export => "export",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Live => "live streams",
            Kind::Export => "exports",
        }
    }
}

/// The numbers of open streams.
#[derive(Debug)]
pub(crate) struct StreamLimits {
    open: Mutex<Open>,
    metrics: StreamMetrics,
}

#[derive(Debug, Default)]
struct Open {
    all: HashMap<Kind, usize>,
    of_tokens: HashMap<(Kind, Id), usize>,
}

/// A stream that is counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    limits: Arc<StreamLimits>,
    kind: Kind,
    token: Option<Id>,
}

impl StreamLimits {
    pub(crate) fn new(metrics: StreamMetrics) -> StreamLimits {
        StreamLimits { open: Mutex::default(), metrics }
    }

    /// Counts a stream, unless `most` of its kind are open in the process, or `most_of_token` of its token.
    pub(crate) fn admit(
        self: &Arc<StreamLimits>,
        kind: Kind,
        token: Option<Id>,
        most: usize,
        most_of_token: usize,
    ) -> Result<StreamPermit> {
        let mut open = self.lock();
        let all = open.all.get(&kind).copied().unwrap_or(0);
        let of_token = token.and_then(|token| open.of_tokens.get(&(kind, token)).copied()).unwrap_or(0);
        let name = kind.name();
        if token.is_some() && of_token >= most_of_token {
            let message = format!("This token has {of_token} {name} open, its limit; close one of them");
            return Err(too_many_streams(StatusCode::TOO_MANY_REQUESTS, message));
        }
        if all >= most {
            let message = format!("This server has {all} {name} open, its limit; please try again later");
            return Err(too_many_streams(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        open.all.insert(kind, all + 1);
        if let Some(token) = token {
            open.of_tokens.insert((kind, token), of_token + 1);
        }
        self.metrics.open.with_label_values(&[kind.label()]).inc();
        Ok(StreamPermit { limits: Arc::clone(self), kind, token })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code can panic in the middle of a change.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.limits.lock();
        if let Some(all) = open.all.get_mut(&self.kind) {
            *all = all.saturating_sub(1);
        }
        if let Some(token) = self.token {
            let key = (self.kind, token);
            let left = open.of_tokens.get(&key).copied().unwrap_or(0).saturating_sub(1);
            if left == 0 {
                open.of_tokens.remove(&key);
            } else {
                open.of_tokens.insert(key, left);
            }
        }
        self.limits.metrics.open.with_label_values(&[self.kind.label()]).dec();
    }
}
