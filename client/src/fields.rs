//! The fields of a link as options.

use clap::Args;
use clap::builder::{BoolishValueParser, PossibleValuesParser};
use serde_json::{Map, Value, json};

use crate::routing::{parse_rule, parse_variant};

/// A rule or a variant; `None` for an empty text.
type RoutingItem = Option<Value>;

/// Options that `add` and `edit` have in common. An empty text clears a field.
#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// Title of the link; '' is none
    #[arg(short, long, value_name = "TEXT")]
    title: Option<String>,
    /// Tag of the link, once for each; '' is none
    #[arg(short = 'g', long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Notes; '' is none
    #[arg(short, long, value_name = "TEXT")]
    notes: Option<String>,
    /// End of the link: a time from now such as 90m, 8h or 42d, a time such as 2027-01-31T18:00:00 (UTC unless it has a
    /// zone), or never
    #[arg(short, long, value_name = "TIME")]
    expires: Option<String>,
    /// Start of the link, such as 2027-01-31T08:00:00, or now
    #[arg(long, value_name = "TIME")]
    starts: Option<String>,
    /// Address to which the link leads once it is expired; '' is none
    #[arg(long, value_name = "URL")]
    expired_url: Option<String>,
    /// Status of the redirect
    #[arg(long, value_name = "STATUS", value_parser = PossibleValuesParser::new(["301", "302", "307", "308", "default"]))]
    status: Option<String>,
    /// Whether the query of a visitor is added to the target
    #[arg(long, value_name = "WHETHER", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = PossibleValuesParser::new(["true", "false", "default"]))]
    forward_query: Option<String>,
    /// Number of visits after which the link is used up, since it was made; or none
    #[arg(long, value_name = "N", value_parser = limit)]
    max_clicks: Option<Limit>,
    /// Target for visitors that meet conditions, such as `device=ios,country=AT:https://example.com/app`, once for each;
    /// the first that matches wins; '' is none
    #[arg(long = "rule", value_name = "CONDITIONS:URL", value_parser = parse_rule)]
    rules: Vec<RoutingItem>,
    /// Target for a share of the visitors in percent, such as `https://example.com/b=30`, two to four times; '' is none
    #[arg(long = "split", value_name = "URL=PERCENT", value_parser = parse_variant)]
    variants: Vec<RoutingItem>,
    /// Name of the link in another program, unique for each owner; '' is none
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Whether the link redirects
    #[arg(long, value_name = "WHETHER", value_parser = BoolishValueParser::new())]
    active: Option<bool>,
}

impl Fields {
    /// Adds the given fields to the body of a request.
    pub(crate) fn write(&self, body: &mut Map<String, Value>) {
        let texts = [
            ("title", &self.title),
            ("notes", &self.notes),
            ("expired_url", &self.expired_url),
            ("external_id", &self.external_id),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                body.insert(name.to_owned(), or_null(text));
            }
        }
        if !self.tags.is_empty() {
            body.insert("tags".to_owned(), self.tags.iter().filter(|tag| !tag.is_empty()).cloned().collect());
        }
        if let Some(time) = &self.expires {
            let (name, value) = match time.as_str() {
                "never" | "" => ("expires_at", Value::Null),
                time if is_duration(time) => ("expires_in", json!(time)),
                time => ("expires_at", json!(time)),
            };
            body.insert(name.to_owned(), value);
        }
        if let Some(time) = &self.starts {
            body.insert("starts_at".to_owned(), if time == "now" { Value::Null } else { or_null(time) });
        }
        if let Some(status) = &self.status {
            body.insert("redirect_status".to_owned(), json!(status.parse::<u16>().ok()));
        }
        if let Some(whether) = &self.forward_query {
            body.insert("forward_query".to_owned(), json!(whether.parse::<bool>().ok()));
        }
        if let Some(Limit(limit)) = self.max_clicks {
            body.insert("max_clicks".to_owned(), json!(limit));
        }
        for (name, items) in [("rules", &self.rules), ("split", &self.variants)] {
            if !items.is_empty() {
                body.insert(name.to_owned(), items.iter().flatten().cloned().collect());
            }
        }
        if let Some(is_active) = self.active {
            body.insert("is_active".to_owned(), json!(is_active));
        }
    }
}

/// A limit of clicks; `None` for none.
#[derive(Clone, Copy, Debug)]
struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, &'static str> {
    match (text, text.parse()) {
        ("none", _) => Ok(Limit(None)),
        (_, Ok(limit)) if limit > 0 => Ok(Limit(Some(limit))),
        _ => Err("expected a whole number above 0, or none"),
    }
}

fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// Returns whether a text has the form of `expires_in`. The API checks the rest.
fn is_duration(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    !digits.is_empty() && digits.len() < text.len() && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        fields: Fields,
    }

    #[test]
    fn option_becomes_the_field_of_the_api() {
        let check = |arguments: &[&str], expected: Value| {
            let command = Command::try_parse_from([&["edit"], arguments].concat()).unwrap();
            let mut body = Map::new();
            command.fields.write(&mut body);
            assert_eq!(Value::Object(body), expected, "{arguments:?}");
        };
        check(&[], json!({}));
        check(&["--title", "A b", "--notes", ""], json!({"title": "A b", "notes": null}));
        check(&["--tag", "a", "--tag", "b"], json!({"tags": ["a", "b"]}));
        check(&["--tag", ""], json!({"tags": []}));
        check(&["--expires", "8h"], json!({"expires_in": "8h"}));
        check(&["--expires", "8years"], json!({"expires_in": "8years"}));
        check(&["--expires", "2027-01-31"], json!({"expires_at": "2027-01-31"}));
        check(&["--expires", "2027-01-31T08:00:00Z"], json!({"expires_at": "2027-01-31T08:00:00Z"}));
        check(&["--expires", "never", "--starts", "now"], json!({"expires_at": null, "starts_at": null}));
        check(&["--status", "308"], json!({"redirect_status": 308}));
        check(&["--status", "default"], json!({"redirect_status": null}));
        check(&["--forward-query"], json!({"forward_query": true}));
        check(&["--forward-query=false"], json!({"forward_query": false}));
        check(&["--forward-query=default"], json!({"forward_query": null}));
        check(&["--max-clicks", "1"], json!({"max_clicks": 1}));
        check(&["--max-clicks", "none"], json!({"max_clicks": null}));
        for wrong in ["0", "-1", "1.5", "many", ""] {
            assert!(Command::try_parse_from(["edit", "--max-clicks", wrong]).is_err(), "{wrong:?}");
        }
        check(
            &[
                "--rule",
                "device=ios:https://a.example/",
                "--split",
                "https://b.example=30",
                "--split",
                "https://c.example=9",
            ],
            json!({
                "rules": [{"target": "https://a.example/", "if": [{"type": "device", "value": "ios"}]}],
                "split": [{"target": "https://b.example", "weight": 30}, {"target": "https://c.example", "weight": 9}],
            }),
        );
        check(&["--rule", "", "--split", ""], json!({"rules": [], "split": []}));
        check(&["--active", "false"], json!({"is_active": false}));
        check(
            &["--external-id", "x", "--expired-url", "https://a.example/"],
            json!({"external_id": "x", "expired_url": "https://a.example/"}),
        );
    }
}
