//! Answers with one row of the store, and with pages of rows.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use tern_common::Id;
use tern_common::audit::AuditEntry;
use tern_common::event::Event;
use tern_common::json::WriteJson;
use tern_common::store::{self, AdminStore};
use tern_common::url::Url;
use tern_common::user::User;

use crate::access::Caller;
use crate::http::answer::{JsonBody, json};
use crate::http::error::{Error, Result, not_found};

/// The number of bytes of a list that are in memory at a time, the last row of each part not counted.
const PART_LEN: usize = 64 * 1024;

/// A row that has an id.
pub(crate) trait Row: WriteJson + Sized + Send + 'static {
    /// The kind of row, as messages name it.
    const NAME: &'static str;

    fn id(&self) -> Id;

    /// Returns the user to whom the row belongs.
    fn user_id(&self) -> Id;

    fn find(store: &dyn AdminStore, id: Id) -> impl Future<Output = store::Result<Option<Self>>> + Send;

    /// Returns the 404 for an id that no row has.
    fn missing(id: Id) -> Error {
        not_found(format!("{} {id} not found", Self::NAME))
    }
}

macro_rules! rows {
    ($($row:ident, $name:literal, $find:ident, $user_id:ident;)*) => {$(
        impl Row for $row {
            const NAME: &'static str = $name;

            fn id(&self) -> Id {
                self.id
            }

            fn user_id(&self) -> Id {
                self.$user_id
            }

            async fn find(store: &dyn AdminStore, id: Id) -> store::Result<Option<$row>> {
                store.$find(id).await
            }
        }
    )*};
}

rows! {
    AuditEntry, "Audit entry", find_audit_entry, user_id;
    Event, "Event", find_event, user_id;
    Url, "URL", find_url, user_id;
    User, "User", find_user, id;
}

/// Answers with the row of this id, or with a 404 if there is none that the caller may see.
pub(crate) async fn find<T: Row>(store: &dyn AdminStore, id: Id, caller: &Caller) -> Result<JsonBody<T>> {
    own(T::find(store, id).await?, id, caller).map(JsonBody)
}

/// Returns the row, or a 404 if there is none that the caller may see.
pub(crate) fn own<T: Row>(row: Option<T>, id: Id, caller: &Caller) -> Result<T> {
    row.filter(|row| caller.sees(row.user_id())).ok_or_else(|| T::missing(id))
}

/// Answers with rows in an array, as `write` writes each of them. Only the first part of a long list is in memory.
/// Its other rows are read again, part by part, as the client takes them.
///
/// A row that is deleted meanwhile is omitted. If the store fails meanwhile, the connection ends before the array does.
pub(crate) fn answer<T: Row>(
    rows: Vec<T>,
    store: &Arc<dyn AdminStore>,
    write: impl Fn(T, &mut Vec<u8>) + Send + 'static,
) -> Response {
    let mut first = vec![b'['];
    let mut rows = rows.into_iter();
    while first.len() < PART_LEN
        && let Some(row) = rows.next()
    {
        if first.len() > 1 {
            first.push(b',');
        }
        write(row, &mut first);
    }
    let rest: Vec<Id> = rows.map(|row| row.id()).collect();
    if rest.is_empty() {
        first.push(b']');
        return json(first);
    }
    let rest = stream::try_unfold(Some((rest.into_iter(), Arc::clone(store), write)), |rest| async move {
        let Some((mut ids, store, write)) = rest else { return Ok(None) };
        let mut part = Vec::new();
        while part.len() < PART_LEN {
            let Some(id) = ids.next() else {
                part.push(b']');
                return Ok(Some((part, None)));
            };
            match T::find(&*store, id).await {
                Ok(Some(row)) => {
                    part.push(b',');
                    write(row, &mut part);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "reading the rows of a list failed; the answer is cut and its connection closed");
                    return Err(error);
                }
            }
        }
        Ok(Some((part, Some((ids, store, write)))))
    });
    json(Body::from_stream(stream::iter([Ok(first)]).chain(rest)))
}
