//! Names that several lists of families have, and families of bots without a mark.

/// The name of a value that a request lacks.
pub const UNKNOWN: &str = "Unknown";

/// The name of a value that belongs to none of the listed families.
pub const OTHER: &str = "Other";

/// The browser, the system and the device of a bot.
pub const BOT: &str = "Bot";

/// The family of browsers that load a page before a person asks for it.
pub const PREFETCH: &str = "Prefetch";

/// The family of clients that send no user agent.
pub const NO_USER_AGENT: &str = "No user agent";
