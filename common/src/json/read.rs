//! A `serde` deserializer of checked JSON.
//!
//! `serde_json` does not suffice. Its depth limit cannot be chosen, it changes long numbers, and it cannot return a part
//! of the text unchanged. Its errors are prose that cannot be analysed.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserialize, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::{JsonText, Kind};

/// The unchanged text of a value: JSON in a body, or a parameter of a query.
///
/// Types for which the digits or the layout matter are read from this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceText<'a>(pub &'a str);

impl SourceText<'_> {
    /// The name by which a type requests the text from its deserializer. It is never compared with input.
    pub const NAME: &'static str = "tern_common::json::SourceText";
}

/// The reason why a value cannot be read as the requested type.
#[derive(Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A required field is absent.
    Missing(&'static str),
    /// The value must match this description.
    Expected(String),
    /// The type refused the value with this reason.
    Refused(String),
}

/// Reads a value of type `T`.
///
/// # Errors
/// A sentence that begins with the place of the invalid value, such as `rules[2].target`.
pub fn read<'de, T: Deserialize<'de>>(source: impl Deserializer<'de, Error = Mismatch>) -> Result<T, String> {
    serde_path_to_error::deserialize(source).map_err(|error| {
        let place = error.path().iter().next().map_or_else(String::new, |_| error.path().to_string());
        error.inner().at(&place)
    })
}

/// A deserializer of checked JSON.
///
/// A field of type `Option<T>` may be absent, but not `null`. A field of type `Option<Option<T>>` may also be `null`,
/// which is `Some(None)`.
/// If an object repeats a name, the last field counts.
#[derive(Clone, Copy)]
pub struct JsonReader<'de, 'u> {
    text: JsonText<'de>,
    is_field: bool,
    /// A flag that is set once a part of the innermost optional value is read.
    is_within: Option<&'u Cell<bool>>,
    on_unknown: &'u dyn Fn(&str),
}

impl<'de, 'u> JsonReader<'de, 'u> {
    /// Returns a deserializer of `text` that calls `on_unknown` with the name of each unknown field.
    pub fn new(text: JsonText<'de>, on_unknown: &'u dyn Fn(&str)) -> JsonReader<'de, 'u> {
        JsonReader { text, is_field: false, is_within: None, on_unknown }
    }

    fn value(self, text: JsonText<'de>, is_field: bool) -> JsonReader<'de, 'u> {
        JsonReader { text, is_field, ..self }
    }

    /// Returns a reader of a field or an item of this value.
    fn part(self, text: JsonText<'de>, is_field: bool) -> JsonReader<'de, 'u> {
        self.is_within.into_iter().for_each(|is_within| is_within.set(true));
        self.value(text, is_field)
    }

    fn fields(self) -> impl Iterator<Item = (Cow<'de, str>, JsonReader<'de, 'u>)> {
        self.text.fields().filter_map(move |(name, value)| Some((name.text()?, self.part(value, true))))
    }
}

impl fmt::Debug for JsonReader<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonReader").field(&self.text).finish()
    }
}

impl<'de> Deserializer<'de> for JsonReader<'de, '_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.text.kind() {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool => visitor.visit_bool(self.text.as_str() == "true"),
            Kind::Number => visit_number(self.text.as_str(), visitor),
            Kind::String => match self.text.text() {
                Some(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
                Some(Cow::Owned(text)) => visitor.visit_string(text),
                None => Err(Mismatch::Expected("a string".to_owned())),
            },
            Kind::Array => {
                visitor.visit_seq(SeqDeserializer::new(self.text.items().map(|item| self.part(item, false))))
            }
            Kind::Object => visitor.visit_map(MapDeserializer::new(self.fields())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.is_field {
            return visitor.visit_some(self.value(self.text, false));
        }
        if self.text.kind() == Kind::Null {
            return visitor.visit_none();
        }
        let is_within = Cell::new(false);
        visitor.visit_some(JsonReader { is_within: Some(&is_within), ..self }).map_err(|mismatch| match mismatch {
            Mismatch::Expected(expected) if !is_within.get() => Mismatch::Expected(format!("{expected} or null")),
            other => other,
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        if name == SourceText::NAME {
            return visitor.visit_borrowed_str(self.text.as_str());
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if self.text.kind() != Kind::Object {
            return Err(Mismatch::Expected("an object".to_owned()));
        }
        // All names are reported before any value is read, so an invalid value hides no unknown name.
        let mut values: Vec<Option<JsonReader<'_, '_>>> = vec![None; fields.len()];
        for (name, value) in self.fields() {
            match fields.iter().position(|field| *field == name) {
                Some(n) => values[n] = Some(value),
                None => (self.on_unknown)(&name),
            }
        }
        let pairs = fields.iter().copied().zip(values).filter_map(|(field, value)| Some((field, value?)));
        visitor.visit_map(MapDeserializer::new(pairs))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let variant = self.text.text().ok_or_else(|| Mismatch::one_of(variants))?;
        visitor.visit_enum(variant.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

impl<'de> IntoDeserializer<'de, Mismatch> for JsonReader<'de, '_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn visit_number<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Mismatch> {
    if let Ok(number) = text.parse() {
        return visitor.visit_u64(number);
    }
    if let Ok(number) = text.parse() {
        return visitor.visit_i64(number);
    }
    // A checked number always parses. It may be infinite.
    visitor.visit_f64(text.parse().unwrap_or(f64::NAN))
}

impl Mismatch {
    fn at(&self, place: &str) -> String {
        match self {
            _ if place.is_empty() => self.to_string(),
            Mismatch::Missing(_) => format!("{place}.{self}"),
            Mismatch::Expected(_) => format!("{place} {self}"),
            Mismatch::Refused(reason) => {
                // The error of a domain type begins with the usual name of its field.
                let field = place.rsplit('.').next().unwrap_or(place);
                match reason.strip_prefix(field) {
                    Some(rest) => format!("{place}{rest}"),
                    None if reason.starts_with("must ") => format!("{place} {reason}"),
                    None => format!("{place}: {reason}"),
                }
            }
        }
    }

    fn one_of(variants: &[&str]) -> Mismatch {
        let (last, others) = variants.split_last().unwrap_or((&"", &[]));
        let others = others.join(", ");
        Mismatch::Expected(if others.is_empty() { (*last).to_owned() } else { format!("{others} or {last}") })
    }
}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(reason: T) -> Mismatch {
        Mismatch::Refused(reason.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Mismatch {
        Mismatch::Expected(in_words(expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Mismatch {
        Mismatch::Expected(in_words(expected.to_string()))
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Mismatch {
        Mismatch::one_of(variants)
    }

    fn missing_field(field: &'static str) -> Mismatch {
        Mismatch::Missing(field)
    }
}

/// Translates a description of `serde` from terms of Rust to terms of JSON.
fn in_words(expected: String) -> String {
    let is_integer = |text: &str| text.strip_prefix(['i', 'u']).is_some_and(|bits| bits.parse::<u8>().is_ok());
    match expected.as_str() {
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        text if text.starts_with("struct ") => "an object".to_owned(),
        text if is_integer(text) => "an integer".to_owned(),
        _ => expected,
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Missing(field) => write!(f, "{field} is required"),
            Mismatch::Expected(expected) => write!(f, "must be {expected}"),
            Mismatch::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Mismatch {}

impl<'de: 'a, 'a> Deserialize<'de> for SourceText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SourceText<'a>, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = SourceText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a deserializer that supports SourceText")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<SourceText<'de>, E> {
                Ok(SourceText(text))
            }
        }

        deserializer.deserialize_newtype_struct(SourceText::NAME, Text)
    }
}

/// Implements `Deserialize` for types that have a `parse` function.
macro_rules! deserialize_by_parse {
    ($($word:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $word {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$word, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                <$word>::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

pub(crate) use deserialize_by_parse;

#[cfg(test)]
mod tests;
