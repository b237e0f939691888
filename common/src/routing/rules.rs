//! Rules and splits of a link, checked, with their values in their only form.

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, InvalidCondition};
use crate::TargetUrl;
use crate::target_url::InvalidTarget;

/// A target for the requests that meet every condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A target for the requests that meet every condition"))]
pub struct Rule {
    /// The rules are those of `original_url`.
    #[cfg_attr(feature = "schema", schema(value_type = TargetUrl))]
    pub target: String,
    /// Conditions, all of which a request must meet
    #[serde(rename = "if")]
    #[cfg_attr(feature = "schema", schema(min_items = 1, max_items = 10))]
    pub conditions: Vec<Condition>,
}

/// A target for a share of the clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(description = "A target for a share of the clients"))]
pub struct Variant {
    /// The rules are those of `original_url`.
    #[cfg_attr(feature = "schema", schema(value_type = TargetUrl))]
    pub target: String,
    /// The share of the clients in percent
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 99, example = 30))]
    pub weight: i64,
}

/// The rules of a link, in the order in which they are tried. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Rules(Vec<Rule>);

/// The variants of a link. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Split(Vec<Variant>);

/// The reason to refuse rules. Places count from 0, as in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    #[error(
        "rules must be an array of rules: {{\"target\": \"...\", \"if\": [{{\"type\": \"...\", \"value\": \"...\"}}]}}"
    )]
    Unreadable,
    #[error("rules must be at most {}", Rules::MAX)]
    TooMany,
    #[error("rules[{rule}].target {reason}")]
    Target { rule: usize, reason: InvalidTarget },
    #[error("rules[{rule}].if must have 1 to {} conditions", Rules::MAX_CONDITIONS)]
    Conditions { rule: usize },
    #[error("rules[{rule}].if[{condition}].{reason}")]
    Condition { rule: usize, condition: usize, reason: InvalidCondition },
}

/// The reason to refuse a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSplit {
    #[error("split must be an array of variants: {{\"target\": \"...\", \"weight\": 30}}")]
    Unreadable,
    #[error(
        "split must have {} to {} variants, or none; clients in no variant are led to original_url",
        Split::MIN,
        Split::MAX
    )]
    Count,
    #[error("split[{variant}].target {reason}")]
    Target { variant: usize, reason: InvalidTarget },
    #[error("split[{variant}].weight must be 1 to 99 percent")]
    Weight { variant: usize },
    #[error("split must have weights of together at most 100 percent, and they are {0}")]
    Sum(i64),
}

impl Rules {
    /// The greatest number of rules.
    pub const MAX: usize = 20;

    /// The greatest number of conditions of a rule.
    pub const MAX_CONDITIONS: usize = 10;

    pub fn new(mut rules: Vec<Rule>) -> Result<Rules, InvalidRules> {
        if rules.len() > Rules::MAX {
            return Err(InvalidRules::TooMany);
        }
        for (n, rule) in rules.iter_mut().enumerate() {
            TargetUrl::check(&rule.target).map_err(|reason| InvalidRules::Target { rule: n, reason })?;
            if !(1..=Rules::MAX_CONDITIONS).contains(&rule.conditions.len()) {
                return Err(InvalidRules::Conditions { rule: n });
            }
            for (m, condition) in rule.conditions.iter_mut().enumerate() {
                let checked = condition.check();
                *condition = checked.map_err(|reason| InvalidRules::Condition { rule: n, condition: m, reason })?;
            }
        }
        Ok(Rules(rules))
    }

    /// Wraps the rules of a row, which another program may have written.
    pub(crate) fn unchecked(rules: &[Rule]) -> Rules {
        Rules(rules.to_vec())
    }

    /// Reads the JSON of a store or of a file. A blank text is no rules.
    pub fn parse(text: &str) -> Result<Rules, InvalidRules> {
        if text.trim().is_empty() {
            return Ok(Rules::default());
        }
        Rules::new(serde_json::from_str(text).map_err(|_| InvalidRules::Unreadable)?)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }

    /// Returns each target with its place.
    pub fn targets(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().enumerate().map(|(n, rule)| (format!("rules[{n}].target"), rule.target.as_str()))
    }

    /// Returns the JSON that a store keeps; `None` without a rule.
    pub fn to_stored(&self) -> Option<String> {
        to_json(&self.0)
    }
}

impl Split {
    /// The least number of variants.
    pub const MIN: usize = 2;

    /// The greatest number of variants.
    pub const MAX: usize = 4;

    pub fn new(variants: Vec<Variant>) -> Result<Split, InvalidSplit> {
        if !variants.is_empty() && !(Split::MIN..=Split::MAX).contains(&variants.len()) {
            return Err(InvalidSplit::Count);
        }
        let mut sum = 0;
        for (n, variant) in variants.iter().enumerate() {
            TargetUrl::check(&variant.target).map_err(|reason| InvalidSplit::Target { variant: n, reason })?;
            if !(1..=99).contains(&variant.weight) {
                return Err(InvalidSplit::Weight { variant: n });
            }
            sum += variant.weight;
        }
        if sum > 100 { Err(InvalidSplit::Sum(sum)) } else { Ok(Split(variants)) }
    }

    /// Wraps the split of a row, which another program may have written.
    pub(crate) fn unchecked(variants: &[Variant]) -> Split {
        Split(variants.to_vec())
    }

    /// Reads the JSON of a store or of a file. A blank text is no split.
    pub fn parse(text: &str) -> Result<Split, InvalidSplit> {
        if text.trim().is_empty() {
            return Ok(Split::default());
        }
        Split::new(serde_json::from_str(text).map_err(|_| InvalidSplit::Unreadable)?)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_slice(&self) -> &[Variant] {
        &self.0
    }

    /// Returns each target with its place.
    pub fn targets(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().enumerate().map(|(n, variant)| (format!("split[{n}].target"), variant.target.as_str()))
    }

    /// Returns the JSON that a store keeps; `None` without a variant.
    pub fn to_stored(&self) -> Option<String> {
        to_json(&self.0)
    }
}

/// Returns items as JSON; `None` without an item.
pub(super) fn to_json<T: Serialize>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| serde_json::to_string(items).expect("texts and numbers can be serialised"))
}

/// Reads the rules or variants of a row, unchecked. A text of another form, from another program, is read as none.
pub(crate) fn of_row<T: DeserializeOwned>(stored: Option<&str>) -> Vec<T> {
    stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rules, D::Error> {
        Rules::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Split, D::Error> {
        Split::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
