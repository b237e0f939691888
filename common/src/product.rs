//! Products: the rows of `products`. They are listed and loaded from files, but never edited.

use std::fmt;

use crate::Id;
use crate::json::{ObjectWriter, WriteJson};

/// A row of `products`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A product for sale"))]
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

/// The error for a text that is not an amount such as `19.90`.
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

    /// Parses an amount. Zeros after the second decimal are accepted, since databases write the full scale of a column.
    pub fn parse(text: &str) -> Result<Price, InvalidPrice> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let decimals = if decimals.len() > 2 { decimals.trim_end_matches('0') } else { decimals };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return Err(InvalidPrice);
        }
        format!("{whole}{decimals:0<2}").parse().map(Price).map_err(|_| InvalidPrice)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

impl WriteJson for Product {
    fn write_json(&self, out: &mut Vec<u8>) {
        ObjectWriter::begin(out)
            .field("id", &self.id)
            .field("name", &self.name)
            .field("category", &self.category)
            // A double would be written as 19.9 instead of 19.90.
            .json("price", &self.price.to_string())
            .field("stock", &self.stock)
            .end();
    }
}

/// A product from a file. The store chooses an absent id.
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
    fn price_is_written_with_two_decimals() {
        let check = |text: &str, expected: Option<&str>| {
            let written = Price::parse(text).ok().map(|price| price.to_string());
            assert_eq!(written.as_deref(), expected, "{text:?}");
        };
        check("19.90", Some("19.90"));
        check("19.9", Some("19.90"));
        check("19", Some("19.00"));
        check("0.05", Some("0.05"));
        check("19.90000", Some("19.90"));
        check("19.00000", Some("19.00"));
        check("19.999", None);
        check("19.90001", None);
        check("-1", None);
        check("1e3", None);
        check(".5", None);
        check("", None);
        check("99999999999999999999", None);
        assert_eq!(Price::from_hundredths(i64::MIN).to_string(), "-92233720368547758.08");
    }
}
