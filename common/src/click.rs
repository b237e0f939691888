//! Clicks: answered redirects to be recorded.

use std::time::SystemTime;

use crate::{Id, ShortCode, TargetUrl};

/// One answered redirect. Each becomes exactly one event of type `clicked`.
#[derive(Clone, Debug)]
pub struct Click {
    pub url_id: Id,
    pub owner_id: Id,
    pub short_code: ShortCode,
    /// The target as it was served, which an edit may have replaced since.
    pub target: TargetUrl,
    pub at: SystemTime,
}
