//! Events: the rows of `events`, what happened to a url.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::user::MAX_TEXT_LEN;
use crate::{Click, Id, Timestamp};

/// A row of `events`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "Something that happened to a link"))]
pub struct Event {
    pub id: Id,
    pub url_id: Id,
    pub user_id: Id,
    /// `created`, `updated` and `clicked` are written by Tern itself.
    #[cfg_attr(feature = "schema", schema(example = "clicked"))]
    pub event_type: String,
    pub timestamp: Timestamp,
    /// What else is known of it: any JSON object.
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub details: Details,
}

/// The kind of an event: not blank, at most 255 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType(String);

/// Why a text is not an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventType {
    #[error("event_type must not be blank")]
    Blank,
    #[error("event_type must have at most {MAX_TEXT_LEN} characters")]
    TooLong,
    #[error("event_type must not hold the character U+0000")]
    Nul,
}

impl EventType {
    /// A url was made.
    pub const CREATED: &str = "created";
    /// A url was changed.
    pub const UPDATED: &str = "updated";
    /// A link was followed.
    pub const CLICKED: &str = "clicked";

    pub fn parse(text: &str) -> Result<EventType, InvalidEventType> {
        if text.trim().is_empty() {
            Err(InvalidEventType::Blank)
        } else if text.chars().count() > MAX_TEXT_LEN {
            Err(InvalidEventType::TooLong)
        } else if text.contains('\0') {
            Err(InvalidEventType::Nul)
        } else {
            Ok(EventType(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The details of an event: always a JSON object, kept as the text that came: its keys in their order, its
/// numbers as they were written. Tern reads of it only where a click came from.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Details(Box<RawValue>);

/// The details that Tern itself writes.
#[derive(Serialize)]
struct Written<'a> {
    short_code: &'a str,
    original_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

/// The text is not a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("details must be a JSON object")]
pub struct InvalidDetails;

impl Details {
    /// Reads a JSON object, and keeps it as it is written; blank text is the empty one.
    pub fn parse(text: &str) -> Result<Details, InvalidDetails> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Details::empty());
        }
        if !text.starts_with('{') {
            return Err(InvalidDetails);
        }
        RawValue::from_string(text.to_owned()).map(Details).map_err(|_| InvalidDetails)
    }

    pub fn empty() -> Details {
        Details::from(Map::new())
    }

    /// What `created` and `updated` carry.
    pub fn of_url(short_code: &str, original_url: &str) -> Details {
        Details::written(&Written { short_code, original_url, referrer: None, user_agent: None })
    }

    /// What `clicked` carries.
    pub fn of_click(click: &Click) -> Details {
        Details::written(&Written {
            short_code: &click.short_code,
            original_url: &click.original_url,
            referrer: click.referrer.as_deref(),
            user_agent: click.user_agent.as_deref(),
        })
    }

    fn written(details: &Written<'_>) -> Details {
        Details(serde_json::value::to_raw_value(details).expect("strings serialise"))
    }

    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl From<Map<String, Value>> for Details {
    fn from(object: Map<String, Value>) -> Details {
        Details(serde_json::value::to_raw_value(&object).expect("a JSON object serialises"))
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event to be recorded now.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub url_id: Id,
    pub user_id: Id,
    pub event_type: EventType,
    pub details: Details,
}

/// Which events to list: those that match every given column.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub url_id: Option<Id>,
    pub user_id: Option<Id>,
    pub event_type: Option<String>,
}

/// An event read from a file: what the file does not give, the store does.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: Option<Id>,
    pub url_id: Id,
    pub user_id: Id,
    pub event_type: EventType,
    pub timestamp: Option<Timestamp>,
    pub details: Details,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_objects() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Details::parse(text).ok().as_ref().map(Details::as_str), expected, "{text:?}");
        };
        check(r#"{"short_code": "YUrtmo"}"#, Some(r#"{"short_code": "YUrtmo"}"#));
        check("", Some("{}"));
        check("  ", Some("{}"));
        check("[]", None);
        check("null", None);
        check("{", None);
        check("nonsense", None);
    }
}
