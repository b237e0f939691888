//! Products: the rows of `products`, shown and loaded, never edited.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Id;

/// A row of `products`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "Something that is sold"))]
pub struct Product {
    pub id: Id,
    #[cfg_attr(feature = "schema", schema(example = "Lamp"))]
    pub name: String,
    #[cfg_attr(feature = "schema", schema(example = "Home"))]
    pub category: String,
    pub price: Price,
    #[cfg_attr(feature = "schema", schema(example = 12))]
    pub stock: i64,
}

/// An amount of money in hundredths, written as a JSON number with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = f64, description = "An amount with two decimals", minimum = 0.0, example = 19.90))]
pub struct Price(i64);

/// The text is not an amount such as `19.90`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("price must be a number such as 19.90, not negative, with at most two decimals")]
pub struct InvalidPrice;

impl Price {
    pub const fn from_hundredths(hundredths: i64) -> Price {
        Price(hundredths)
    }

    pub const fn hundredths(self) -> i64 {
        self.0
    }

    pub fn parse(text: &str) -> Result<Price, InvalidPrice> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return Err(InvalidPrice);
        }
        format!("{whole}{decimals:0<2}").parse().map(Price).map_err(|_| InvalidPrice)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As a double 19.90 would be written 19.9.
        let text = format!("{}.{:02}", self.0 / 100, self.0 % 100);
        RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// A product read from a file.
#[derive(Clone, Debug)]
pub struct ProductRow {
    pub id: Option<Id>,
    pub name: String,
    pub category: String,
    pub price: Price,
    pub stock: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_keep_two_decimals() {
        let check = |text: &str, expected: Option<&str>| {
            let written = Price::parse(text).ok().map(|p| serde_json::to_string(&p).unwrap());
            assert_eq!(written.as_deref(), expected, "{text:?}");
        };
        check("19.90", Some("19.90"));
        check("19.9", Some("19.90"));
        check("19", Some("19.00"));
        check("0.05", Some("0.05"));
        check("19.999", None);
        check("-1", None);
        check("1e3", None);
        check(".5", None);
        check("", None);
        check("99999999999999999999", None);
    }
}
