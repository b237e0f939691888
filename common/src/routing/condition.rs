//! Conditions of rules: their types, and the key and the value that each type needs.

use std::fmt;

use ::url::Host;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::visitor::{DEVICE_CLASSES, UNKNOWN, browser_named, browsers, country_of};

/// A property of requests, as clients write it. [`Condition::check`] decides whether it is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "schema",
    schema(description = "A property that a request must have", example = json!({"type": "device", "value": "ios"}))
)]
pub struct Condition {
    #[serde(rename = "type")]
    #[cfg_attr(feature = "schema", schema(value_type = ConditionType))]
    pub kind: String,
    /// The name of a parameter, for the types `query` and `query_any`
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 255))]
    pub key: Option<String>,
    /// The value, for every type but `query_any`
    #[serde(default, deserialize_with = "optional_value", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(schema_with = value_schema))]
    pub value: Option<String>,
}

/// Defines the types of conditions, each with its name and the tag of its bytes in the map.
macro_rules! types {
    ($($(#[$doc:meta])* $kind:ident = $tag:literal, $name:literal;)*) => {
        /// The type of a condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "schema", schema(rename_all = "snake_case"))]
        pub enum ConditionType {
            $($(#[$doc])* $kind),*
        }

        impl ConditionType {
            pub const ALL: [ConditionType; [$($name),*].len()] = [$(ConditionType::$kind),*];

            /// Returns the name in the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ConditionType::$kind => $name),*
                }
            }

            /// Returns the tag in the map. The tag of a type is never reused for another type.
            pub(super) const fn tag(self) -> u8 {
                match self {
                    $(ConditionType::$kind => $tag),*
                }
            }
        }
    };
}

types! {
    /// The class of the device
    Device = 1, "device";
    /// A language that the client prefers
    Language = 2, "language";
    /// The country of the client
    Country = 3, "country";
    /// A parameter of the query with a value
    Query = 4, "query";
    /// A parameter of the query with any value
    QueryAny = 5, "query_any";
    /// A time before which the request is made
    Before = 6, "before";
    /// A time at or after which the request is made
    After = 7, "after";
    /// The browser
    Browser = 8, "browser";
    /// The host of the referrer
    Referrer = 9, "referrer";
    /// Whether the client is a bot
    Bot = 10, "bot";
}

impl ConditionType {
    pub(super) fn named(name: &str) -> Option<ConditionType> {
        ConditionType::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) fn of_tag(tag: u8) -> Option<ConditionType> {
        ConditionType::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    pub(super) const fn is_time(self) -> bool {
        matches!(self, ConditionType::Before | ConditionType::After)
    }

    const fn has_key(self) -> bool {
        matches!(self, ConditionType::Query | ConditionType::QueryAny)
    }

    const fn has_value(self) -> bool {
        !matches!(self, ConditionType::QueryAny)
    }

    /// Returns the values that a condition may have, in words.
    fn values(self) -> String {
        match self {
            ConditionType::Device => format!("one of {}", DEVICE_CLASSES.join(", ")),
            ConditionType::Language => "a language such as en or en-US".to_owned(),
            ConditionType::Country => "the code of a country in ISO 3166 such as AT".to_owned(),
            ConditionType::Query | ConditionType::QueryAny => {
                format!("a text of at most {} bytes without control characters", Condition::MAX_TEXT)
            }
            ConditionType::Before | ConditionType::After => "a time such as 2026-01-31T08:00:00Z".to_owned(),
            ConditionType::Browser => format!("one of {}", browsers().join(", ")),
            ConditionType::Referrer => "a host such as example.com, or *.example.com for its sub-domains".to_owned(),
            ConditionType::Bot => "true or false".to_owned(),
        }
    }

    /// Returns a value in its only form; `None` if the type has no such value.
    fn canonical(self, value: &str) -> Option<String> {
        let is_short = value.len() <= Condition::MAX_TEXT && !value.chars().any(char::is_control);
        let value = Some(value).filter(|_| is_short)?;
        let word = || value.trim().to_ascii_lowercase();
        match self {
            ConditionType::Device => DEVICE_CLASSES.into_iter().find(|class| *class == word()).map(str::to_owned),
            ConditionType::Language => Some(value.trim()).filter(|tag| is_language(tag)).map(str::to_owned),
            ConditionType::Country => {
                Some(country_of(value.trim().as_bytes())).filter(|code| *code != UNKNOWN).map(str::to_owned)
            }
            ConditionType::Query | ConditionType::QueryAny => Some(value.to_owned()),
            ConditionType::Before | ConditionType::After => {
                Timestamp::parse_any_zone(value.trim()).ok().map(|time| time.to_string())
            }
            ConditionType::Browser => browser_named(value.trim()).map(str::to_owned),
            ConditionType::Referrer => host_pattern(value.trim()),
            ConditionType::Bot => ["true", "false"].into_iter().find(|text| *text == word()).map(str::to_owned),
        }
    }
}

/// The reason to refuse a condition. Each message begins with the name of a field of the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidCondition {
    Type,
    MissingKey(ConditionType),
    NeedlessKey(ConditionType),
    Key,
    MissingValue(ConditionType),
    NeedlessValue(ConditionType),
    Value(ConditionType),
}

impl fmt::Display for InvalidCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidCondition::Type => {
                write!(f, "type must be one of {}", ConditionType::ALL.map(ConditionType::name).join(", "))
            }
            InvalidCondition::MissingKey(kind) => {
                write!(f, "key is required for the type {}: the name of a parameter", kind.name())
            }
            InvalidCondition::NeedlessKey(kind) => write!(f, "key must be left out for the type {}", kind.name()),
            InvalidCondition::Key => {
                write!(f, "key must have 1 to {} bytes and no control character", Condition::MAX_TEXT)
            }
            InvalidCondition::MissingValue(kind) => {
                write!(f, "value is required for the type {}: {}", kind.name(), kind.values())
            }
            InvalidCondition::NeedlessValue(kind) => write!(f, "value must be left out for the type {}", kind.name()),
            InvalidCondition::Value(kind) => {
                write!(f, "value must be {} for the type {}", kind.values(), kind.name())
            }
        }
    }
}

impl std::error::Error for InvalidCondition {}

impl Condition {
    /// The greatest length of a key and of a value, in bytes.
    pub const MAX_TEXT: usize = 255;

    /// Returns the condition with its value in its only form.
    pub(super) fn check(&self) -> Result<Condition, InvalidCondition> {
        let kind = ConditionType::named(&self.kind).ok_or(InvalidCondition::Type)?;
        let key = match &self.key {
            Some(_) if !kind.has_key() => return Err(InvalidCondition::NeedlessKey(kind)),
            None if kind.has_key() => return Err(InvalidCondition::MissingKey(kind)),
            key => key.clone(),
        };
        let is_key = |key: &String| (1..=Self::MAX_TEXT).contains(&key.len()) && !key.chars().any(char::is_control);
        if key.as_ref().is_some_and(|key| !is_key(key)) {
            return Err(InvalidCondition::Key);
        }
        let value = match &self.value {
            Some(_) if !kind.has_value() => return Err(InvalidCondition::NeedlessValue(kind)),
            None if kind.has_value() => return Err(InvalidCondition::MissingValue(kind)),
            Some(value) => Some(kind.canonical(value).ok_or(InvalidCondition::Value(kind))?),
            None => None,
        };
        Ok(Condition { kind: kind.name().to_owned(), key, value })
    }
}

/// Describes a value: a text, or a truth value for the type `bot`.
#[cfg(feature = "schema")]
fn value_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

    let types = SchemaType::from_iter([Type::String, Type::Boolean, Type::Null]);
    let described = ObjectBuilder::new().schema_type(types).max_length(Some(Condition::MAX_TEXT));
    described.description(Some("The value, for every type but `query_any`")).examples(["ios"]).into()
}

/// Returns whether a text has the form of a language tag: subtags of letters and digits, the first of letters.
fn is_language(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let is_subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    subtags.next().is_some_and(|first| (2..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic()))
        && subtags.all(is_subtag)
}

/// Returns the host that a referrer must have, in lower case and punycode, with `*.` before it if it needs a sub-domain.
fn host_pattern(text: &str) -> Option<String> {
    let (star, host) = match text.strip_prefix("*.") {
        Some(domain) => ("*.", domain),
        None => ("", text),
    };
    let is_name = !host.is_empty() && !host.contains('*');
    let host = Host::parse(Some(host).filter(|_| is_name)?).ok()?;
    let is_domain = matches!(host, Host::Domain(_));
    let host = host.to_string();
    let host = host.trim_end_matches('.');
    let is_usable = !host.is_empty() && (is_domain || star.is_empty());
    Some(format!("{star}{host}")).filter(|pattern| is_usable && pattern.len() <= Condition::MAX_TEXT)
}

/// Reads a text that may be `null` or absent.
fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<Option<String>>::deserialize(deserializer).map(Option::flatten)
}

/// Reads a value, which may be a truth value, `null` or absent.
fn optional_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<Option<ValueText>>::deserialize(deserializer).map(|value| value.flatten().map(|ValueText(text)| text))
}

/// The text of a value.
struct ValueText(String);

impl<'de> Deserialize<'de> for ValueText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ValueText, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = ValueText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ValueText, E> {
                Ok(ValueText(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<ValueText, E> {
                Ok(ValueText(value.to_string()))
            }
        }

        deserializer.deserialize_any(Text)
    }
}
