//! Queries of requests, read by their types, and the ids of rows in requests.

use std::collections::HashSet;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use tern_common::Id;
use tern_common::json::{Mismatch, SourceText, read};

use crate::http::error::{Error, Result, bad_request, not_found};

/// The parameters of a query, read by their type.
///
/// A list has all values of a repeated parameter; for another type the first value counts.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The id of a row in a request: a positive integer of any length. No row has an id above the largest `i64`.
#[derive(Debug)]
pub(crate) struct RowId(std::result::Result<Id, TooLarge>);

/// The first digits of an id that is too large for any row.
#[derive(Debug)]
struct TooLarge(String);

/// The id in a path. A text that is no id is answered 404.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathId(pub(crate) Id);

/// An integer of any length, clamped to the range from 1 to `MAX`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clamped<const MAX: u64>(pub(crate) u64);

/// An integer from `MIN` to `MAX`. Any other one is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>> {
        read_query(parts.uri.query().unwrap_or_default()).map(Query).map_err(bad_request)
    }
}

/// Reads the parameters that the type knows.
///
/// # Errors
/// With a message that names the parameter.
pub(crate) fn read_query<T: DeserializeOwned>(query: &str) -> std::result::Result<T, String> {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let mut seen = HashSet::new();
    let names = pairs.iter().map(|(name, _)| &**name).filter(|name| seen.insert(*name));
    let values = |name| pairs.iter().filter(|(other, _)| *other == name).map(|(_, value)| &**value).collect();
    read(MapDeserializer::new(names.map(|name| (name, Parameter(values(name))))))
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathId> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let id = text.ok().and_then(|Path(text)| RowId::parse(&text));
        id.ok_or_else(|| not_found("An id in a path must be a positive integer"))?.get().map(PathId)
    }
}

impl RowId {
    fn parse(text: &str) -> Option<RowId> {
        let id = Id::parse(text)?;
        let largest = i64::MAX.to_string();
        let is_too_large = id.get() == i64::MAX && text.trim_start_matches('0') != largest;
        Some(RowId(if is_too_large { Err(TooLarge(text.chars().take(40).collect())) } else { Ok(id) }))
    }

    /// # Errors
    /// A 404 for an integer that is too large for any row.
    pub(crate) fn get(self) -> Result<Id> {
        self.id()
    }

    /// # Errors
    /// The error of [`RowId::get`].
    pub(crate) fn id(&self) -> Result<Id> {
        self.0.as_ref().copied().map_err(|TooLarge(digits)| {
            not_found(format!("Id {digits} not found: the largest possible id is {}", i64::MAX))
        })
    }
}

impl<'de> Deserialize<'de> for RowId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RowId, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        RowId::parse(text).ok_or_else(|| D::Error::custom("must be a positive integer"))
    }
}

impl<'de, const MAX: u64> Deserialize<'de> for Clamped<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Clamped<MAX>, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        parse_clamped(text, MAX).map(Clamped).ok_or_else(|| D::Error::custom("must be an integer"))
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Within<MIN, MAX>, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let number = number.filter(|number| (MIN..=MAX).contains(number)).map(Within);
        number.ok_or_else(|| D::Error::custom(format!("must be an integer from {MIN} to {MAX}")))
    }
}

/// Reads an integer of any length.
fn parse_clamped(text: &str, max: u64) -> Option<u64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = if text.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(number.clamp(1, max))
}

/// Reads a truth value as JSON, Python and databases write it.
fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

/// A deserializer of one parameter, with its values.
struct Parameter<'de>(Vec<&'de str>);

impl<'de> Parameter<'de> {
    fn first(&self) -> &'de str {
        self.0.first().copied().unwrap_or_default()
    }
}

impl<'de> Deserializer<'de> for Parameter<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_borrowed_str(self.first())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match parse_flag(self.first()) {
            Some(flag) => visitor.visit_bool(flag),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let values = self.0.into_iter().map(|value| Parameter(vec![value]));
        visitor.visit_seq(SeqDeserializer::new(values))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        if name == SourceText::NAME { self.deserialize_any(visitor) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_enum(self.first().into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Mismatch> for Parameter<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
