//! What stands behind the `?`, and the ids in paths.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use tern_common::{Id, Timestamp};

use crate::description::Names;
use crate::http::error::{Error, Result, bad_request, not_found};
use crate::http::ignored::Ignored;

/// The id in a path. What cannot be one names nothing, which is a 404.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathId(pub(crate) Id);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathId> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let id = text.ok().map(|Path(text)| id_of_row(&text)).transpose()?.flatten();
        id.map(PathId).ok_or_else(|| not_found("An id in a path must be a positive integer"))
    }
}

/// Reads the id of a row that is expected to exist; `None` for what is not a positive integer.
///
/// # Errors
/// For an integer that is too large for any row.
pub(crate) fn id_of_row(text: &str) -> Result<Option<Id>> {
    let id = Id::parse(text);
    let largest = Id::parse(&i64::MAX.to_string());
    if id == largest && text.trim_start_matches('0') != i64::MAX.to_string() {
        // As many digits as tell which number is meant.
        let digits: String = text.chars().take(40).collect();
        return Err(not_found(format!("Id {digits} not found: the largest possible id is {}", i64::MAX)));
    }
    Ok(id)
}

/// The parameters of a query. Of one that is given twice the first counts.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) given: Vec<(String, String)>,
    /// The parameters that the description of the operation has.
    known: Option<&'static Names>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters> {
        let query = parts.uri.query().unwrap_or_default();
        let known = parts.extensions.get::<Ignored>().map(Ignored::known);
        Ok(Parameters { given: form_urlencoded::parse(query.as_bytes()).into_owned().collect(), known })
    }
}

impl Parameters {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(self.known.is_none_or(|names| names.parameters.iter().any(|known| known == name)), "{name}");
        self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn id(&self, name: &str) -> Result<Option<Id>> {
        self.parsed(name, Id::parse, "a positive integer")
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.parsed(name, parse_flag, "true or false")
    }

    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let parsed = Timestamp::parse(text).map(Some);
        parsed.map_err(|_| match in_another_form(text) {
            Some(time) => {
                bad_request(format!("{name} must be in UTC, in whole seconds and without a zone: write {time}"))
            }
            None => bad_request(format!("{name} must be a time in UTC such as 2025-09-19T22:25:05")),
        })
    }

    /// A number clamped to `1..=max`.
    pub(crate) fn clamped(&self, name: &str, max: u64) -> Result<Option<u64>> {
        self.parsed(name, |text| parse_clamped(text, max), "an integer")
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>, expected: &str) -> Result<Option<T>> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| bad_request(format!("{name} must be {expected}"))),
        }
    }
}

/// Reads a time with a zone or a fraction, for the advice how to write it. A `+` that was not encoded came as a space.
fn in_another_form(text: &str) -> Option<Timestamp> {
    let with_plus =
        || text.rsplit_once(' ').and_then(|(time, zone)| Timestamp::parse_any_zone(&format!("{time}+{zone}")).ok());
    Timestamp::parse_any_zone(text).ok().or_else(with_plus)
}

/// `true` and `false` as JSON, Python and databases write them.
pub(crate) fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
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
