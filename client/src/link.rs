//! One link: found by its short code, and shown.

use serde_json::Value;

use crate::api::{Answer, Api, Parameters};
use crate::failure::{Failure, Kind};
use crate::output::{Output, grouped, printable};
use crate::routing::describe;

/// The fields of a link that a person sees, with their names.
const SHOWN: [(&str, &str); 19] = [
    ("target", "original_url"),
    ("title", "title"),
    ("state", "state"),
    ("tags", "tags"),
    ("notes", "notes"),
    ("clicks", "clicks"),
    ("last click", "last_clicked_at"),
    ("starts", "starts_at"),
    ("expires", "expires_at"),
    ("then leads to", "expired_url"),
    ("status", "redirect_status"),
    ("forward query", "forward_query"),
    ("most clicks", "max_clicks"),
    ("clicks left", "clicks_left"),
    ("rules", "rules"),
    ("split", "split"),
    ("external id", "external_id"),
    ("created", "created_at"),
    ("changed", "updated_at"),
];

/// A link as the API answers it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) row: Value,
}

impl Link {
    /// Reads the link of an answer.
    pub(crate) fn of(api: &Api<'_>, answer: &Answer) -> Result<Link, Failure> {
        Link::of_row(api, api.read(answer)?)
    }

    fn of_row(api: &Api<'_>, row: Value) -> Result<Link, Failure> {
        let is_link = row["id"].is_u64() && row["short_url"].is_string() && row["short_code"].is_string();
        if is_link { Ok(Link { row }) } else { Err(api.not_tern()) }
    }

    /// Reads the links of an answer.
    pub(crate) fn list(api: &Api<'_>, answer: &Answer) -> Result<Vec<Link>, Failure> {
        let Value::Array(rows) = api.read(answer)? else { return Err(api.not_tern()) };
        rows.into_iter().map(|row| Link::of_row(api, row)).collect()
    }

    /// Finds a link by its code, or by its short URL.
    pub(crate) fn find(api: &Api<'_>, code: &str) -> Result<Link, Failure> {
        let code = code_of(code);
        let mut parameters = Parameters::default();
        parameters.add("short_code", code);
        let found = Link::list(api, &api.get(&parameters.path("/urls"))?)?;
        found.into_iter().next().ok_or_else(|| {
            Failure::new(
                Kind::NotFound,
                format!("{} has no link with the short code '{}'", api.server(), printable(code)),
            )
        })
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.row[field].as_str().unwrap_or_default()
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.row[field].as_u64().unwrap_or_default()
    }

    pub(crate) fn short_url(&self) -> &str {
        self.text("short_url")
    }

    /// Returns the path of the link in the API.
    pub(crate) fn path(&self) -> String {
        format!("/urls/{}", self.row["id"])
    }

    /// Writes the link: its fields on a terminal, its short URL elsewhere.
    pub(crate) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        if output.is_json {
            output.line(&self.row.to_string())?;
        } else {
            output.line(&printable(self.short_url()))?;
            if output.width.is_some() {
                self.write_fields(output)?;
            }
        }
        output.finish()
    }

    fn write_fields(&self, output: &mut Output) -> Result<(), Failure> {
        for (name, field) in SHOWN {
            let value = match &self.row[field] {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                Value::Number(number) if field == "clicks" => grouped(number.as_u64().unwrap_or_default()),
                Value::Array(values) if values.is_empty() => continue,
                Value::Array(items) if matches!(field, "rules" | "split") => {
                    items.iter().filter_map(describe).collect::<Vec<_>>().join("\n")
                }
                Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                other => other.to_string(),
            };
            let mut lines = value.lines();
            output.line(&format!("  {name:<14} {}", printable(lines.next().unwrap_or_default())))?;
            for line in lines {
                output.line(&format!("  {:<14} {}", "", printable(line)))?;
            }
        }
        Ok(())
    }
}

/// Shows the link with a code.
pub(crate) fn show(api: &Api<'_>, code: &str, output: &mut Output) -> Result<(), Failure> {
    Link::find(api, code)?.write(output)
}

/// Returns the code of a short URL, or of a text that is a code already.
fn code_of(text: &str) -> &str {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let path = text[..end].trim_end_matches('/');
    let code = path.rsplit('/').next().unwrap_or(path);
    code.strip_suffix('+').unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_in_a_short_url() {
        for text in ["Lh1hFP", "https://go.example/Lh1hFP", "go.example/Lh1hFP?qr", "http://a/b/Lh1hFP/#x", "Lh1hFP+"] {
            assert_eq!(code_of(text), "Lh1hFP", "{text}");
        }
    }
}
