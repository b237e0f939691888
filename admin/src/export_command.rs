//! The command `export`: all links that a filter matches, on standard output.

use std::io::Write;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use form_urlencoded::Serializer;
use tern_common::OwnAddresses;
use tern_common::store::AdminStore;
use tern_common::url::UrlFilter;

use crate::http::query::read_query;
use crate::resources::exports::Urls;
use crate::resources::shown_url::ShortOrigin;
use crate::streams::ExportPass;
pub use crate::streams::export::Format;
use crate::streams::export::export_to;

/// The arguments of the command `export`. The filters are those of `GET /urls`.
#[derive(Clone, Debug, Default, Args)]
pub struct ExportCommand {
    /// The encoding of the links
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Write CSV for a spreadsheet: with a byte order mark, and with a ' in front of what would be a formula
    #[arg(long)]
    pub spreadsheet: bool,
    /// Only links of this user
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Only active links (true) or inactive ones (false)
    #[arg(long, value_name = "BOOL")]
    pub is_active: Option<String>,
    /// Only the link with this code
    #[arg(long, value_name = "CODE")]
    pub short_code: Option<String>,
    /// Only links with this text in code, target, title, tags or notes
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Only links with this tag; with several, with any of them
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Whether a link needs any tag or all of them
    #[arg(long, value_name = "any|all")]
    pub tag_mode: Option<String>,
    /// Only links without this tag
    #[arg(long, value_name = "TAG")]
    pub not_tag: Vec<String>,
    /// Only links in this state: active, inactive, scheduled or expired
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
    /// Only links created from this time on
    #[arg(long, value_name = "TIME")]
    pub created_from: Option<String>,
    /// Only links created before this time
    #[arg(long, value_name = "TIME")]
    pub created_to: Option<String>,
    /// Only links to this host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only links without clicks (true) or with some (false)
    #[arg(long, value_name = "BOOL")]
    pub never_clicked: Option<String>,
}

impl ExportCommand {
    /// Reads the filter as the API reads that of a list.
    fn filter(&self) -> anyhow::Result<UrlFilter> {
        let single = [
            ("user_id", &self.user),
            ("is_active", &self.is_active),
            ("short_code", &self.short_code),
            ("search", &self.search),
            ("tag_mode", &self.tag_mode),
            ("state", &self.state),
            ("created_from", &self.created_from),
            ("created_to", &self.created_to),
            ("host", &self.host),
            ("never_clicked", &self.never_clicked),
        ];
        let repeated = [("tag", &self.tag), ("not_tag", &self.not_tag)];
        let mut query = Serializer::new(String::new());
        query.extend_pairs(single.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        query.extend_pairs(repeated.iter().flat_map(|(name, values)| values.iter().map(|value| (*name, value))));
        read_query(&query.finish()).map_err(|error| anyhow!(error))
    }
}

/// Writes the links to `out`.
///
/// # Errors
/// When a filter is invalid, the store cannot be read, or `out` cannot be written.
pub async fn run(
    store: Arc<dyn AdminStore>,
    command: &ExportCommand,
    own: &OwnAddresses,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let walk = Urls { filter: Some(command.filter()?), origin: ShortOrigin::of_command(own) };
    export_to(walk, ExportPass::of_command(store), command.format, command.spreadsheet, out).await
}
