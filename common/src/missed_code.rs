//! Codes that were asked for although no link has them.

use serde::Serialize;

use crate::Timestamp;

/// The longest time for which a code is listed that is not asked for any more.
pub const KEEP_MISSES: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// The most codes that a store has. Those that were asked for least are deleted.
pub const MOST_MISSES: u32 = 10_000;

/// A code without a link, and how often it was asked for since a redirector last reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMisses {
    pub short_code: String,
    pub count: u64,
}

/// A code without a link, and how often it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A code that no link has, and how often it was asked for"))]
pub struct MissedCode {
    #[cfg_attr(feature = "schema", schema(example = "old-menu"))]
    pub short_code: String,
    /// How often the code was asked for, at least.
    #[cfg_attr(feature = "schema", schema(example = 12))]
    pub count: u64,
    /// When a redirector last reported the code, some seconds after the request.
    pub last_asked_at: Timestamp,
}
