//! The command `ls`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use crate::api::{Answer, Api, Parameters};
use crate::failure::Failure;
use crate::link::Link;
use crate::output::{Output, cell, cut, number, printable, warn};

/// The rows of a request.
const PAGE: usize = 100;

/// The rows that a terminal shows unless another limit is given.
const SCREEN: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only links whose code, target, title, tags or notes contain this text
    #[arg(value_name = "SEARCH")]
    search: Option<String>,
    /// Only links with this tag; with several, with one of them
    #[arg(short = 'g', long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only links with all of the tags
    #[arg(long)]
    all_tags: bool,
    /// Only links without this tag
    #[arg(long, value_name = "TAG")]
    not_tag: Vec<String>,
    /// Only links in this state
    #[arg(long, value_name = "STATE",
          value_parser = PossibleValuesParser::new(["active", "inactive", "scheduled", "expired", "exhausted"]))]
    state: Option<String>,
    /// Only links created at or after this time or date, in UTC
    #[arg(long, value_name = "TIME")]
    created_from: Option<String>,
    /// Only links created before this time or date, in UTC
    #[arg(long, value_name = "TIME")]
    created_to: Option<String>,
    /// Only links whose target has this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only links that were never clicked
    #[arg(long)]
    never_clicked: bool,
    /// Only links of the user with this id
    #[arg(short, long, value_name = "ID")]
    user: Option<u64>,
    /// Order: id, created_at, updated_at, clicks, last_clicked_at, title or short_code; with - in front, descending
    #[arg(short, long, value_name = "COLUMN", default_value = "id", allow_hyphen_values = true)]
    sort: String,
    /// Most links to list; 100 on a terminal and all elsewhere, unless given
    #[arg(short = 'm', long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// The widths of the columns of a table, by the width of the terminal and the first page.
struct Columns {
    short_url: usize,
    title: usize,
    target: usize,
}

const CLICKS: usize = 9;
const STATE: usize = 9;

/// The columns between cells.
const GAP: usize = 2;

impl List {
    fn parameters(&self, limit: usize) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.add_all("search", &self.search);
        parameters.add_all("tag", &self.tags);
        if self.all_tags {
            parameters.add("tag_mode", "all");
        }
        parameters.add_all("not_tag", &self.not_tag);
        parameters.add_all("state", &self.state);
        parameters.add_all("created_from", &self.created_from);
        parameters.add_all("created_to", &self.created_to);
        parameters.add_all("host", &self.host);
        if self.never_clicked {
            parameters.add("never_clicked", true);
        }
        parameters.add_all("user_id", self.user);
        parameters.add("sort", &self.sort);
        parameters.add("per_page", PAGE.min(limit));
        parameters
    }

    pub(crate) fn run(&self, api: &Api<'_>, output: &mut Output) -> Result<(), Failure> {
        let screen = if output.width.is_some() && !output.is_json { SCREEN } else { usize::MAX };
        let limit = self.limit.unwrap_or(screen).max(1);
        let mut path = self.parameters(limit).path("/urls");
        let mut writer = Writer::default();
        let mut total = None;
        loop {
            let answer: Answer = api.get(&path)?;
            let mut links = Link::list(api, &answer)?;
            links.truncate(limit - writer.written);
            writer.write(&links, output)?;
            // A reader of the pipe gets each page at once.
            output.finish()?;
            total = total.or(answer.total);
            match answer.next {
                Some(next) if writer.written < limit => path = next,
                next => {
                    writer.end(output)?;
                    if next.is_some() && self.limit.is_none() {
                        let total = total.as_deref().unwrap_or("more");
                        warn(&format!("these are {} of {total} links; --limit shows more", writer.written));
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// A writer of the pages of a list.
#[derive(Default)]
struct Writer {
    written: usize,
    columns: Option<Columns>,
}

impl Writer {
    fn write(&mut self, links: &[Link], output: &mut Output) -> Result<(), Failure> {
        for link in links {
            if output.is_json {
                let before = if self.written == 0 { '[' } else { ',' };
                output.bytes(format!("{before}{}", link.row).as_bytes())?;
            } else if let Some(width) = output.width {
                if self.columns.is_none() {
                    let columns = Columns::new(links, width);
                    output.line(columns.head().trim_end())?;
                    self.columns = Some(columns);
                }
                let row = self.columns.as_ref().map(|columns| columns.row(link)).unwrap_or_default();
                output.line(row.trim_end())?;
            } else {
                output.line(&printable(link.short_url()))?;
            }
            self.written += 1;
        }
        Ok(())
    }

    fn end(&self, output: &mut Output) -> Result<(), Failure> {
        if output.is_json {
            output.line(if self.written == 0 { "[]" } else { "]" })?;
        } else if self.written == 0 && output.width.is_some() {
            warn("no link matches");
        }
        output.finish()
    }
}

impl Columns {
    fn new(links: &[Link], width: usize) -> Columns {
        let longest = links.iter().map(|link| console::measure_text_width(link.short_url())).max().unwrap_or_default();
        let fixed = CLICKS + STATE + 3 * GAP;
        // A short URL that does not fit is of no use, so the other columns shrink first.
        let short_url = longest.max("SHORT URL".len()).min(width.saturating_sub(fixed + 8).max(10));
        let rest = width.saturating_sub(fixed + short_url);
        let has_title = links.iter().any(|link| matches!(&link.row["title"], Value::String(_)));
        let title = if has_title && rest >= 40 { rest * 2 / 5 } else { 0 };
        let target = rest.saturating_sub(if title > 0 { title + GAP } else { 0 });
        Columns { short_url, title, target }
    }

    fn line(&self, short_url: &str, clicks: &str, state: &str, title: &str, target: &str) -> String {
        let title = if self.title > 0 { cell(title, self.title) + "  " } else { String::new() };
        let state = cell(state, STATE);
        format!("{}  {clicks:>CLICKS$}  {state}  {title}{}", cell(short_url, self.short_url), cut(target, self.target))
    }

    fn head(&self) -> String {
        self.line("SHORT URL", "CLICKS", "STATE", "TITLE", "TARGET")
    }

    fn row(&self, link: &Link) -> String {
        let clicks = number(link.number("clicks"), CLICKS);
        self.line(link.short_url(), &clicks, link.text("state"), link.text("title"), link.text("original_url"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn link(target: &str, title: Value) -> Link {
        Link {
            row: json!({"short_url": "https://go.example/Lh1hFP", "clicks": 12_345, "state": "active", "title": title,
                        "original_url": target}),
        }
    }

    #[test]
    fn row_fits_each_width() {
        let links = [
            link(&"https://example.com/a".repeat(20), json!("日本語 ".repeat(20))),
            link("https://a.example/", json!(null)),
        ];
        for width in [60, 80, 81, 120, 300] {
            let columns = Columns::new(&links, width);
            for line in links.iter().map(|link| columns.row(link)).chain([columns.head()]) {
                let line = line.trim_end();
                assert!(console::measure_text_width(line) <= width, "{width}: {line:?}");
                assert!(line.starts_with("https://go.example/Lh1hFP  ") || line.starts_with("SHORT URL  "), "{line:?}");
            }
        }
    }
}
