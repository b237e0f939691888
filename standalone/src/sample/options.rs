//! The optional columns of sample links, and the links that show what a link can do.

use serde_json::json;

/// Cells of the optional columns. An empty cell is no value.
#[derive(Default)]
pub(super) struct Options {
    pub(super) starts_at: String,
    pub(super) expires_at: String,
    pub(super) expired_url: String,
    pub(super) redirect_status: String,
    pub(super) forward_query: String,
    pub(super) max_clicks: String,
    pub(super) rules: String,
    pub(super) split: String,
    /// Whether the link does not redirect at every time.
    pub(super) is_limited: bool,
}

/// The id, the code and the target of a link with a placeholder: `/jira/ABC-1` leads to a ticket.
pub(super) const GO_LINK: (usize, &str, &str) = (2, "jira", "https://jira.example.com/browse/{1}");

/// Returns the codes, the titles and the options of the newest links, which show what a link can do.
pub(super) fn featured() -> [(&'static str, &'static str, Options); 3] {
    let store = |device| {
        json!({
            "target": format!("https://apps.example.com/{device}"), "if": [{ "type": "device", "value": device }],
        })
    };
    let variant = |name| json!({ "target": format!("https://example.com/fair/{name}"), "weight": 30 });
    let rules = json!([store("ios"), store("android")]).to_string();
    let split = json!([variant("b"), variant("c")]).to_string();
    [
        ("app", "Get the app", Options { rules, ..Options::default() }),
        ("fair", "Invitation to the fair", Options { split, ..Options::default() }),
        ("raffle", "Raffle tickets", Options { max_clicks: "1000".to_owned(), ..Options::default() }),
    ]
}
