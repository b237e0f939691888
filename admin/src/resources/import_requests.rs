//! The requests of imports: their options, and the turn that they take.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tern_common::Id;
use tern_import::{ColumnMap, DateOrder, Options, Source};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::IntoParams;

use crate::access::Caller;
use crate::http::error::{Error, Result, bad_request};
use crate::http::query::RowId;
use crate::import::OnConflict;
use crate::time_zone::Zone;

/// The turn to import. Imports write much, so each process makes one at a time.
#[derive(Clone, Debug)]
pub(crate) struct ImportTurn(Arc<Semaphore>);

impl Default for ImportTurn {
    fn default() -> ImportTurn {
        ImportTurn(Arc::new(Semaphore::new(1)))
    }
}

impl ImportTurn {
    /// Takes the turn.
    ///
    /// # Errors
    /// A 409 while another import is under way.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit> {
        let busy = "Another import is under way; please try again when it has ended";
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| Error::new(StatusCode::CONFLICT, busy))
    }
}

/// The options of an import
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParameters {
    /// The service that wrote the file; `auto` recognises it by its columns
    #[param(default = "auto", example = "bitly")]
    pub(super) from: Option<String>,
    /// The user who gets the links; needed if there are several users. The token of a user may name no other one
    #[param(value_type = Option<Id>)]
    pub(super) user_id: Option<RowId>,
    /// The zone of times without one
    #[param(value_type = Option<String>, default = "UTC", example = "Europe/Berlin")]
    pub(super) timezone: Option<Zone>,
    /// The order of day and month in dates such as 03/02/2026: `day-first` or `month-first`
    #[param(example = "day-first")]
    pub(super) date_order: Option<String>,
    /// Whether to write nothing, and only answer what would become of each row
    #[param(default = false)]
    pub(super) dry_run: Option<bool>,
    /// The treatment of a row whose code is taken
    #[param(inline)]
    pub(super) on_conflict: Option<OnConflict>,
    /// The host whose links are imported, if the file has links of several
    #[param(example = "go.example.com")]
    pub(super) domain: Option<String>,
    /// The names of columns that are not recognised
    #[param(example = "code=Slug,target=URL")]
    pub(super) map: Option<String>,
    /// The prefix of the tables in a dump of several installations
    #[param(example = "yourls_")]
    pub(super) table_prefix: Option<String>,
    /// Whether to import the log of clicks as events, if the file has one
    #[param(default = false)]
    pub(super) with_clicks: Option<bool>,
}

/// The import to undo
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UndoParameters {
    /// The tag of the links of the import
    #[param(example = "import:bitly-2026-11-28")]
    pub(super) tag: String,
    /// The number of links that must have the tag; any unless given
    #[param(value_type = Option<u64>, example = 398)]
    pub(super) expect: Option<String>,
}

/// Reads the source, the options of reading, and the user that the request or its token names.
pub(super) fn prepare(parameters: &ImportParameters, caller: &Caller) -> Result<(Option<Source>, Options, Option<Id>)> {
    let named = parameters.user_id.as_ref().map(RowId::id).transpose()?;
    let named = caller.owner().map_or(Ok(named), |_| caller.user_for(named).map(Some))?;
    let source = match parameters.from.as_deref() {
        None | Some("auto") => None,
        Some(word) => Some(word.parse().map_err(|error| bad_request(format!("from {error}, or auto")))?),
    };
    let columns = parameters.map.as_deref().unwrap_or_default().parse::<ColumnMap>();
    let order = parameters.date_order.as_deref().map(str::parse::<DateOrder>).transpose();
    let options = Options {
        timezone: parameters.timezone.as_ref().map(|zone| zone.rules().clone()),
        domain: parameters.domain.clone(),
        columns: columns.map_err(|error| bad_request(format!("map: {error}")))?,
        table_prefix: parameters.table_prefix.clone(),
        date_order: order.map_err(|error| bad_request(format!("date_order {error}")))?,
        with_clicks: parameters.with_clicks == Some(true),
    };
    Ok((source, options, named))
}

/// Returns whether the client accepts a line for each row.
pub(super) fn prefers_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("application/x-ndjson"))
    })
}
