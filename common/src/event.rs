//! Events: the rows of `events`.

use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::json::{self, InvalidJson, JsonText, Kind, ObjectWriter, SourceText, WriteJson, deserialize_by_parse};
use crate::routing::Choice;
use crate::short_text::{InvalidText, check_name};
use crate::{Click, Id, Timestamp};

/// A row of `events`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "An event of a link, such as a click"))]
pub struct Event {
    pub id: Id,
    pub url_id: Id,
    pub user_id: Id,
    /// The kind of the event. Tern itself writes `created`, `updated` and `clicked`.
    #[cfg_attr(feature = "schema", schema(example = "clicked"))]
    pub event_type: String,
    pub timestamp: Timestamp,
    /// Further information: any JSON object.
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub details: Details,
}

/// The kind of an event: a text that is not blank and has at most 255 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$", example = "shared")
)]
pub struct EventType(String);

deserialize_by_parse!(EventType);

impl EventType {
    pub const CREATED: &str = "created";
    pub const UPDATED: &str = "updated";
    pub const CLICKED: &str = "clicked";

    pub fn parse(text: &str) -> Result<EventType, InvalidText> {
        check_name("event_type", text).map(|()| EventType(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The details of an event: a JSON object, stored as its unchanged text.
///
/// The order of the keys and the digits of the numbers are preserved.
/// Tern itself reads only the details of `clicked` events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details(Box<str>);

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Details, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        Details::parse(text).map_err(D::Error::custom)
    }
}

/// The details of an event that Tern itself writes.
#[derive(Default, Serialize)]
struct OwnDetails<'a> {
    short_code: &'a str,
    original_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    /// The family of the bot that followed the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    bot: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    /// The number of the rule that chose the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<u8>,
    /// The number of the variant to which the client belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<u8>,
}

/// The reason to refuse a text as the details of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDetails {
    #[error("details must be a JSON object")]
    NoObject,
    #[error("details must be nested at most {} deep", Details::MAX_DEPTH)]
    TooDeep,
    #[error("details must have at most {} KiB", Details::MAX_LEN / 1024)]
    TooLong,
}

impl Details {
    /// The greatest length of details from outside, in bytes.
    pub const MAX_LEN: usize = 16 * 1024;

    /// The greatest depth of details. Their event adds one level.
    pub const MAX_DEPTH: usize = json::MAX_DEPTH - 1;

    /// Checks a JSON object from outside. A blank text is the empty object.
    pub fn parse(text: &str) -> Result<Details, InvalidDetails> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Details::empty());
        }
        if text.len() > Details::MAX_LEN {
            return Err(InvalidDetails::TooLong);
        }
        let object = JsonText::parse(text.as_bytes(), Details::MAX_DEPTH).map_err(|invalid| match invalid {
            InvalidJson::Broken => InvalidDetails::NoObject,
            InvalidJson::TooDeep => InvalidDetails::TooDeep,
        })?;
        if object.kind() == Kind::Object { Ok(Details(object.as_str().into())) } else { Err(InvalidDetails::NoObject) }
    }

    /// Wraps details from the database, where another program may have written them.
    ///
    /// The text may have any length. A text that is no JSON object of allowed depth is replaced by the reason.
    pub fn stored(text: &str) -> Details {
        let unreadable = |reason: &str| Details(format!(r#"{{"unreadable":"{reason}"}}"#).into());
        match JsonText::parse(text.as_bytes(), Details::MAX_DEPTH) {
            Ok(object) if object.kind() == Kind::Object => Details(object.as_str().into()),
            Ok(_) => unreadable("not a JSON object"),
            Err(InvalidJson::Broken) => unreadable("not JSON"),
            Err(InvalidJson::TooDeep) => unreadable(&format!("nested more than {} deep", Details::MAX_DEPTH)),
        }
    }

    pub fn empty() -> Details {
        Details("{}".into())
    }

    /// Returns the details of a `created` or `updated` event.
    pub fn of_url(short_code: &str, original_url: &str) -> Details {
        Details::serialise(&OwnDetails { short_code, original_url, ..OwnDetails::default() })
    }

    /// Returns the details of a `clicked` event.
    pub fn of_click(click: &Click) -> Details {
        Details::serialise(&OwnDetails {
            short_code: &click.short_code,
            original_url: &click.original_url,
            referrer: click.referrer.as_deref(),
            user_agent: click.user_agent.as_deref(),
            bot: click.visitor.bot,
            source: click.source.as_deref(),
            rule: click.choice.and_then(Choice::rule),
            variant: click.choice.and_then(Choice::variant),
        })
    }

    fn serialise(details: &OwnDetails<'_>) -> Details {
        Details(serde_json::to_string(details).expect("strings and numbers can be serialised").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Finds a field by its name.
    pub(crate) fn field(&self, name: &str) -> Option<JsonText<'_>> {
        JsonText::of_checked(&self.0).field(name)
    }
}

impl WriteJson for Event {
    fn write_json(&self, out: &mut Vec<u8>) {
        ObjectWriter::begin(out)
            .field("id", &self.id)
            .field("url_id", &self.url_id)
            .field("user_id", &self.user_id)
            .field("event_type", &self.event_type)
            .field("timestamp", &self.timestamp)
            .json("details", self.details.as_str())
            .end();
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug)]
pub struct NewEvent {
    pub url_id: Id,
    /// The user of the event; `None` means the owner of the link.
    pub user_id: Option<Id>,
    pub event_type: EventType,
    pub details: Details,
}

/// A filter of events. An event must match every given column.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct EventFilter {
    /// Only events of this link
    pub url_id: Option<Id>,
    /// Only events of this user
    pub user_id: Option<Id>,
    /// Only events of this type
    #[cfg_attr(feature = "schema", param(example = "clicked"))]
    pub event_type: Option<String>,
}

/// An event from a file. The store chooses each absent value.
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
    fn details_that_are_no_bounded_object_are_refused() {
        let check = |text: &str, expected: Result<&str, InvalidDetails>| {
            assert_eq!(
                Details::parse(text).as_ref().map(Details::as_str),
                expected.as_ref().map(|text| *text),
                "{text:?}"
            );
        };
        let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let long = |len: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(len - 8));
        check(r#"{"short_code": "YUrtmo"}"#, Ok(r#"{"short_code": "YUrtmo"}"#));
        check("\u{a0}{}\n", Ok("{}"));
        check("", Ok("{}"));
        check("  ", Ok("{}"));
        check(&nested(31), Ok(&nested(31)));
        check(&long(16 * 1024), Ok(&long(16 * 1024)));
        check("[]", Err(InvalidDetails::NoObject));
        check("null", Err(InvalidDetails::NoObject));
        check("{", Err(InvalidDetails::NoObject));
        check("nonsense", Err(InvalidDetails::NoObject));
        check(r#"{"a":"\ud800"}"#, Err(InvalidDetails::NoObject));
        check(&nested(32), Err(InvalidDetails::TooDeep));
        check(&long(16 * 1024 + 1), Err(InvalidDetails::TooLong));
    }

    #[test]
    fn stored_details_that_are_no_object_are_replaced_by_the_reason() {
        let check = |text: &str, expected: &str| assert_eq!(Details::stored(text).as_str(), expected, "{text:?}");
        let long = format!("{{\"x\":\"{}\"}}", "x".repeat(1_000_000));
        check(&long, &long);
        check(r#"{"b":1.10,"a":1}"#, r#"{"b":1.10,"a":1}"#);
        check("[]", r#"{"unreadable":"not a JSON object"}"#);
        check("", r#"{"unreadable":"not JSON"}"#);
        check("{a:1}", r#"{"unreadable":"not JSON"}"#);
        check(&"{\"a\":".repeat(100_000), r#"{"unreadable":"nested more than 31 deep"}"#);
    }

    #[test]
    fn event_is_written_with_unchanged_details() {
        let id = |id| Id::new(id).unwrap();
        let event = Event {
            id: id(1),
            url_id: id(2),
            user_id: id(3),
            event_type: "a\"b".to_owned(),
            timestamp: Timestamp::from_unix_seconds(0),
            details: Details::parse(r#"{"z":12345678901234567890123, "a":1.10}"#).unwrap(),
        };
        let mut out = Vec::new();
        event.write_json(&mut out);
        let expected = r#"{"id":1,"url_id":2,"user_id":3,"event_type":"a\"b","timestamp":"1970-01-01T00:00:00","details":{"z":12345678901234567890123, "a":1.10}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
