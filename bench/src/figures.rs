//! Figures with their spread.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Median, minimum and maximum of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Figure {
    /// Returns the figure of some values, or `None` without any.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Figure> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Figure { median, least, most })
    }

    /// Returns the figure of a single measurement.
    pub fn once(value: f64) -> Figure {
        Figure { median: value, least: value, most: value }
    }

    /// Returns the ratios of measurements in turns, of the first to the second in each round.
    pub fn ratio(of: &[f64], to: &[f64]) -> Option<Figure> {
        Figure::of(of.iter().zip(to).map(|(of, to)| of / to))
    }
}

/// Formats as many decimals as the precision asks for: `8.31 (8.12 to 8.60)`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let number = |value: f64| thousands(value, digits);
        write!(f, "{} ({} to {})", number(self.median), number(self.least), number(self.most))
    }
}

/// Formats `1234567.8` as `1,234,568` without decimals.
pub fn thousands(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "-" } else { "" };
    fraction.map_or_else(|| format!("{sign}{grouped}"), |fraction| format!("{sign}{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_has_median_minimum_and_maximum() {
        assert_eq!(Figure::of([]), None);
        assert_eq!(Figure::of([3.0, 1.0, 2.0]), Some(Figure { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Figure::of([4.0, 1.0]), Some(Figure { median: 2.5, least: 1.0, most: 4.0 }));
        // Rounds are compared, not medians.
        assert_eq!(Figure::ratio(&[2.0, 9.0, 3.0], &[1.0, 3.0, 3.0]).unwrap().median, 2.0);
    }

    #[test]
    fn numbers_are_formatted_with_separators() {
        for (value, digits, expected) in
            [(0.0, 0, "0"), (999.6, 0, "1,000"), (1_234_567.8, 1, "1,234,567.8"), (-12_345.0, 0, "-12,345")]
        {
            assert_eq!(thousands(value, digits), expected);
        }
        assert_eq!(format!("{:.1}", Figure::of([1.0, 2_000.0]).unwrap()), "1,000.5 (1.0 to 2,000.0)");
    }
}
