//! Rows of exports in CSV. A file of links or events is one that `load` takes.

use serde::Serialize;
use tern_common::event::Event;

use crate::resources::shown_url::ShownUrl;

/// The characters with which a spreadsheet begins a formula.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A row that can be written as a record of CSV.
pub(crate) trait Record {
    /// The names of the columns. `load` reads a file with these names.
    const COLUMNS: &'static [&'static str];

    /// Returns the fields, one for each column.
    fn fields(&self) -> Vec<String>;
}

impl Record for Event {
    const COLUMNS: &'static [&'static str] = &["id", "url_id", "user_id", "event_type", "timestamp", "details"];

    fn fields(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.url_id.to_string(),
            self.user_id.to_string(),
            self.event_type.clone(),
            self.timestamp.to_string(),
            self.details.as_str().to_owned(),
        ]
    }
}

impl Record for ShownUrl {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "user_id",
        "short_code",
        "original_url",
        "title",
        "is_active",
        "starts_at",
        "expires_at",
        "expired_url",
        "redirect_status",
        "forward_query",
        "max_clicks",
        "clicks_left",
        "rules",
        "split",
        "created_at",
        "updated_at",
        "tags",
        "notes",
        "external_id",
        "revision",
        "clicks",
        "last_clicked_at",
        "imported_clicks",
        "short_url",
        "state",
    ];

    fn fields(&self) -> Vec<String> {
        let url = self.url();
        vec![
            url.id.to_string(),
            url.user_id.to_string(),
            url.short_code.clone(),
            url.original_url.clone(),
            text(url.title.as_ref()),
            url.is_active.to_string(),
            text(url.starts_at),
            text(url.expires_at),
            text(url.expired_url.as_ref()),
            text(url.redirect_status.map(|status| status.code())),
            text(url.forward_query),
            text(url.max_clicks),
            text(url.clicks_left),
            json(&url.rules),
            json(&url.split),
            url.created_at.to_string(),
            url.updated_at.to_string(),
            url.tags.join("|"),
            text(url.notes.as_ref()),
            text(url.external_id.as_ref()),
            url.revision.to_string(),
            url.clicks.to_string(),
            text(url.last_clicked_at),
            url.imported_clicks.to_string(),
            self.short_url().to_owned(),
            self.state().as_str().to_owned(),
        ]
    }
}

/// Returns an empty field for an absent value.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Returns items as JSON, or an empty field without an item.
fn json(items: &[impl Serialize]) -> String {
    if items.is_empty() { String::new() } else { serde_json::to_string(items).unwrap_or_default() }
}

/// Puts a `'` in front of a field that a spreadsheet would take for a formula.
pub(crate) fn escape_formula(field: String) -> String {
    if field.starts_with(FORMULAS) { format!("'{field}") } else { field }
}
