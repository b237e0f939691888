//! Clicks that the store refuses for what they hold: put aside in a file, one JSON object a line, so that they are
//! neither lost nor in the way of the others.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::json;
use tern_common::Click;
use tern_common::click::JournalId;

/// Where they are, below the directory of all journals.
pub(super) const FILE: &str = "parked.ndjson";

/// Puts a click aside. It is on disk when this comes back.
pub(super) fn park(root: &Path, journal: JournalId, click: &Click, reason: &str) -> io::Result<()> {
    let line = json!({
        "journal": journal.to_string(),
        "url_id": click.url_id,
        "owner_id": click.owner_id,
        "short_code": click.short_code,
        "original_url": click.original_url,
        "at_micros": click.at.duration_since(UNIX_EPOCH).map_or(0, |at| at.as_micros()) as u64,
        "user_agent": click.user_agent,
        "referrer": click.referrer,
        "reason": reason,
    });
    let mut file = OpenOptions::new().append(true).create(true).open(root.join(FILE))?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}
