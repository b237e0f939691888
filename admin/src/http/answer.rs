//! Answers in JSON. Rows write themselves, so that the texts in them leave as they are stored.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tern_common::Id;
use tern_common::event::Event;
use tern_common::json::{WriteJson, write_array};
use tern_common::store;
use tern_common::url::Url;
use tern_common::user::User;

use crate::http::error::internal;

/// How many bytes of a list are in memory at a time, but for the last row of each part.
const PART_LEN: usize = 64 * 1024;

/// A value that `serde` describes, as the body of an answer.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// One row as the body of an answer.
#[derive(Debug)]
pub(crate) struct JsonRow<T>(pub(crate) T);

/// Values as the body of an answer, in an array.
#[derive(Debug)]
pub(crate) struct JsonArray<T>(pub(crate) Vec<T>);

/// A row that can be read again by its id.
pub(crate) trait Row: WriteJson + Send + 'static {
    fn id(&self) -> Id;
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        serde_json::to_vec(&self.0).map_or_else(|error| internal(error).into_response(), json)
    }
}

impl<T: WriteJson> IntoResponse for JsonRow<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::new();
        self.0.write_json(&mut body);
        json(body)
    }
}

impl<T: WriteJson> IntoResponse for JsonArray<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::new();
        write_array(&self.0, &mut body);
        json(body)
    }
}

impl Row for Event {
    fn id(&self) -> Id {
        self.id
    }
}

impl Row for Url {
    fn id(&self) -> Id {
        self.id
    }
}

impl Row for User {
    fn id(&self) -> Id {
        self.id
    }
}

/// Answers with rows in an array. Of a long list only the first part is in memory:
/// the rows behind it are found again, part by part, as the client takes them.
///
/// A row that is deleted meanwhile is left out. If the store fails meanwhile, the connection ends before the array does.
pub(crate) fn rows<T, F, R>(rows: Vec<T>, find: F) -> Response
where
    T: Row,
    F: Fn(Id) -> R + Send + 'static,
    R: Future<Output = store::Result<Option<T>>> + Send + 'static,
{
    let mut first = vec![b'['];
    let mut rows = rows.into_iter();
    while first.len() < PART_LEN
        && let Some(row) = rows.next()
    {
        separate(&mut first);
        row.write_json(&mut first);
    }
    let rest: Vec<Id> = rows.map(|row| row.id()).collect();
    if rest.is_empty() {
        first.push(b']');
        return json(first);
    }
    let rest = stream::try_unfold(Some((rest.into_iter(), find)), |rest| async move {
        let Some((mut ids, find)) = rest else { return Ok(None) };
        let mut part = Vec::new();
        while part.len() < PART_LEN {
            let Some(id) = ids.next() else {
                part.push(b']');
                return Ok(Some((part, None)));
            };
            match find(id).await {
                Ok(Some(row)) => {
                    part.push(b',');
                    row.write_json(&mut part);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a list was cut short: its rows could not be read; its connection is closed");
                    return Err(error);
                }
            }
        }
        Ok(Some((part, Some((ids, find)))))
    });
    json(Body::from_stream(stream::iter([Ok(first)]).chain(rest)))
}

fn separate(array: &mut Vec<u8>) {
    if array.len() > 1 {
        array.push(b',');
    }
}

fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.into()).into_response()
}
