//! Audit entries: the rows of `audit_entries`, one for each creation, change and deletion of a link.

use serde::Deserialize;

use crate::event::Details;
use crate::json::{ObjectWriter, WriteJson};
use crate::{Id, Timestamp};

/// A row of `audit_entries`. Triggers of the store write it in the transaction of the change.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A creation, a change or a deletion of a link"))]
pub struct AuditEntry {
    pub id: Id,
    pub url_id: Id,
    /// The owner of the link after the change, or at its deletion.
    pub user_id: Id,
    /// `created`, `updated` or `deleted`.
    #[cfg_attr(feature = "schema", schema(example = "updated"))]
    pub action: String,
    /// The link before the change; `null` at its creation.
    #[cfg_attr(feature = "schema", schema(value_type = Option<Object>, required))]
    pub before: Option<Details>,
    /// The link after the change; `null` at its deletion.
    #[cfg_attr(feature = "schema", schema(value_type = Option<Object>, required))]
    pub after: Option<Details>,
    pub at: Timestamp,
    /// The name of the token; `null` if the API needed none, or another program than Tern made the change.
    #[cfg_attr(feature = "schema", schema(required, example = "ci"))]
    pub token: Option<String>,
}

impl AuditEntry {
    /// Columns of the table `audit_entries`, one for each field.
    pub(crate) const COLUMNS: &str = "id, url_id, user_id, action, before, after, at, token";
}

impl WriteJson for AuditEntry {
    fn write_json(&self, out: &mut Vec<u8>) {
        let link = |link: &Option<Details>| link.as_ref().map_or("null", Details::as_str).to_owned();
        ObjectWriter::begin(out)
            .field("id", &self.id)
            .field("url_id", &self.url_id)
            .field("user_id", &self.user_id)
            .field("action", &self.action)
            .json("before", &link(&self.before))
            .json("after", &link(&self.after))
            .field("at", &self.at)
            .field("token", &self.token)
            .end();
    }
}

/// A filter of audit entries. An entry must match every given column.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct AuditFilter {
    /// Only entries of this link
    pub url_id: Option<Id>,
    /// Only entries of the links of this user
    pub user_id: Option<Id>,
    /// Only changes with the token of this name
    #[cfg_attr(feature = "schema", param(example = "ci"))]
    pub token: Option<String>,
}
