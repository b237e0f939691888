//! Parked clicks: clicks that the store refuses for their content. They are written to a file, one JSON object a line, and
//! later clicks are shipped.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::json;
use tern_common::Click;
use tern_common::click::JournalId;
use tern_common::routing::Choice;

/// The name of the file of parked clicks, in the directory of all journals.
const FILE: &str = "parked.ndjson";

/// Appends a refused click to the file and syncs the file. A failure leaves the file unchanged.
///
/// Journal and sequence identify the click: after a crash it may be parked twice.
pub(super) fn park(root: &Path, journal: JournalId, sequence: u64, click: &Click, reason: &str) -> io::Result<()> {
    let Click { url_id, owner_id, short_code, original_url, choice, at, user_agent, referrer, visitor, source, .. } =
        click;
    let line = json!({
        "journal": journal.to_string(),
        "sequence": sequence,
        "url_id": url_id,
        "user_id": owner_id,
        "short_code": short_code,
        "original_url": original_url,
        "rule": choice.and_then(Choice::rule),
        "variant": choice.and_then(Choice::variant),
        "at_micros": at.duration_since(UNIX_EPOCH).map_or(0, |at| at.as_micros()) as u64,
        "user_agent": user_agent,
        "referrer": referrer,
        "visitor": visitor.to_string(),
        "source": source,
        "reason": reason,
    });
    let mut file = OpenOptions::new().append(true).create(true).open(root.join(FILE))?;
    let before = file.metadata()?.len();
    let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line would make the next line unreadable, too.
        file.set_len(before)?;
    }
    written
}
