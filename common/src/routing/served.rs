//! The bytes of rules and of a split in the map, which are matched in place.
//!
//! Layout, with little-endian integers. A rule is: length of the target (2); length of its header form, or 0 if that is the
//! target (2); length of its template, or 0 without placeholders (2); length of the conditions (2); target; header form;
//! template; conditions. A condition is: tag of its type (1); length of
//! the key (1); length of the value (1); key; value. The value of a time is its seconds since the Unix epoch (8). A variant
//! is: weight (1); the lengths of target, header form and template (2 each); target; header form; template. A target with a
//! template has its header form there.
//!
//! Bytes that end early, or whose parts are of an unknown form, are matched up to there.

use super::Choice;
use super::condition::{Condition, ConditionType};
use super::rules::{Rule, Rules, Split, Variant, to_json};
use crate::placeholders::Template;
use crate::{TargetUrl, Timestamp};

/// The rules and the split of a served link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routing<'a> {
    pub(super) rules: &'a [u8],
    pub(super) split: &'a [u8],
}

/// A target that is not the plain one, and why it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// The target as it was given.
    pub given: &'a str,
    /// The value of the `Location` header: bytes 0x21 to 0x7e only.
    pub location: &'a str,
    /// The header form with its placeholders, if it has any.
    pub template: Option<Template<'a>>,
    pub choice: Choice,
}

/// A rule in the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServedRule<'a> {
    pub(super) target: ServedTarget<'a>,
    pub(super) conditions: Bytes<'a>,
}

/// A condition in the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServedCondition<'a> {
    pub(super) kind: ConditionType,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// A variant in the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServedVariant<'a> {
    pub(super) weight: u8,
    pub(super) target: ServedTarget<'a>,
}

/// A target in the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServedTarget<'a> {
    given: &'a [u8],
    /// The header form, if it differs.
    location: &'a [u8],
    /// The template; empty without placeholders.
    template: &'a [u8],
}

/// Bytes that are taken from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn len(&mut self) -> Option<usize> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(usize::from(u16::from_le_bytes(*bytes)))
    }

    pub(super) fn rule(&mut self) -> Option<ServedRule<'a>> {
        let lengths = [self.len()?, self.len()?, self.len()?];
        let conditions = self.len()?;
        let target = self.target(lengths)?;
        Some(ServedRule { target, conditions: Bytes(self.take(conditions)?) })
    }

    pub(super) fn condition(&mut self) -> Option<ServedCondition<'a>> {
        let (kind, key, value) = (self.u8()?, self.u8()?, self.u8()?);
        let kind = ConditionType::of_tag(kind)?;
        Some(ServedCondition { kind, key: self.take(key.into())?, value: self.take(value.into())? })
    }

    pub(super) fn variant(&mut self) -> Option<ServedVariant<'a>> {
        let weight = self.u8()?;
        let lengths = [self.len()?, self.len()?, self.len()?];
        Some(ServedVariant { weight, target: self.target(lengths)? })
    }

    fn target(&mut self, [given, location, template]: [usize; 3]) -> Option<ServedTarget<'a>> {
        Some(ServedTarget { given: self.take(given)?, location: self.take(location)?, template: self.take(template)? })
    }
}

impl<'a> ServedTarget<'a> {
    /// Returns the target as it was given; `None` if it is damaged.
    fn given(self) -> Option<&'a str> {
        std::str::from_utf8(self.given).ok()
    }

    /// Returns the choice of this target; `None` if it is damaged.
    pub(super) fn chosen(self, choice: Choice) -> Option<Chosen<'a>> {
        let given = self.given()?;
        let template = Template::decode(self.template);
        let location = match template {
            Some(template) => std::str::from_utf8(template.text()).ok()?,
            None if self.location.is_empty() => given,
            None => std::str::from_utf8(self.location).ok()?,
        };
        Some(Chosen { given, location, template, choice })
    }
}

impl ServedCondition<'_> {
    /// Returns the time of a condition of the type `before` or `after`.
    pub(super) fn time(&self) -> Option<Timestamp> {
        Some(Timestamp::from_unix_seconds(i64::from_le_bytes(self.value.try_into().ok()?)))
    }

    fn to_condition(self) -> Option<Condition> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let value = match self.kind {
            kind if kind.is_time() => Some(self.time().filter(|time| time.can_be_written())?.to_string()),
            ConditionType::QueryAny => None,
            _ => Some(text(self.value)?),
        };
        let key = if self.key.is_empty() { None } else { Some(text(self.key)?) };
        Some(Condition { kind: self.kind.name().to_owned(), key, value })
    }
}

impl<'a> Routing<'a> {
    /// Returns the rules and the split with these bytes; `None` if both are empty.
    pub fn of(rules: &'a [u8], split: &'a [u8]) -> Option<Routing<'a>> {
        (!rules.is_empty() || !split.is_empty()).then_some(Routing { rules, split })
    }

    /// Returns whether a target has placeholders.
    pub fn has_placeholders(&self) -> bool {
        let (mut rules, mut split) = (Bytes(self.rules), Bytes(self.split));
        let of_rules = std::iter::from_fn(|| rules.rule().map(|rule| rule.target));
        let of_split = std::iter::from_fn(|| split.variant().map(|variant| variant.target));
        of_rules.chain(of_split).any(|target| !target.template.is_empty())
    }

    /// Returns the rules as JSON, unchecked, or no text without a rule; `None` if the bytes are damaged.
    pub(crate) fn rules_as_json(&self) -> Option<Option<String>> {
        self.decode_rules().map(|rules| to_json(&rules))
    }

    /// Returns the split as JSON, unchecked, or no text without a variant; `None` if the bytes are damaged.
    pub(crate) fn split_as_json(&self) -> Option<Option<String>> {
        self.decode_split().map(|variants| to_json(&variants))
    }

    fn decode_rules(&self) -> Option<Vec<Rule>> {
        let (mut bytes, mut rules) = (Bytes(self.rules), Vec::new());
        while !bytes.0.is_empty() {
            let ServedRule { target, conditions: mut rest } = bytes.rule()?;
            let mut conditions = Vec::new();
            while !rest.0.is_empty() {
                conditions.push(rest.condition()?.to_condition()?);
            }
            rules.push(Rule { target: target.given()?.to_owned(), conditions });
        }
        Some(rules)
    }

    fn decode_split(&self) -> Option<Vec<Variant>> {
        let (mut bytes, mut variants) = (Bytes(self.split), Vec::new());
        while !bytes.0.is_empty() {
            let ServedVariant { weight, target } = bytes.variant()?;
            variants.push(Variant { target: target.given()?.to_owned(), weight: weight.into() });
        }
        Some(variants)
    }
}

impl Rules {
    /// Appends the bytes of the rules.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for rule in self.as_slice() {
            let mut conditions = Vec::new();
            rule.conditions.iter().for_each(|condition| encode_condition(condition, &mut conditions));
            let (location, template) = forms_of(&rule.target);
            for part in [rule.target.as_bytes(), location.as_bytes(), &template, &conditions] {
                out.extend(len_of(part));
            }
            for part in [rule.target.as_bytes(), location.as_bytes(), &template, &conditions] {
                out.extend(part);
            }
        }
    }
}

impl Split {
    /// Appends the bytes of the split.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for variant in self.as_slice() {
            let (location, template) = forms_of(&variant.target);
            let parts = [variant.target.as_bytes(), location.as_bytes(), &template];
            out.push(u8::try_from(variant.weight).unwrap_or_default());
            parts.into_iter().for_each(|part| out.extend(len_of(part)));
            parts.into_iter().for_each(|part| out.extend(part));
        }
    }
}

fn encode_condition(condition: &Condition, out: &mut Vec<u8>) {
    let kind = ConditionType::named(&condition.kind).expect("a checked condition has a type");
    let (key, value) = (condition.key.as_deref().unwrap_or_default(), condition.value.as_deref().unwrap_or_default());
    let time = kind.is_time().then(|| Timestamp::parse(value).expect("a checked time is in its only form"));
    let time = time.map(|time| time.unix_seconds().to_le_bytes());
    let value = time.as_ref().map_or(value.as_bytes(), |bytes| &bytes[..]);
    let len = |text: &[u8]| u8::try_from(text.len()).expect("a checked key or value has at most 255 bytes");
    out.extend([kind.tag(), len(key.as_bytes()), len(value)]);
    out.extend(key.as_bytes());
    out.extend(value);
}

/// Returns the header form of a checked target, if it differs from the given text, or its template if it has placeholders.
/// A form that it does not need is empty.
fn forms_of(target: &str) -> (Box<str>, Vec<u8>) {
    let location = TargetUrl::check(target).ok().flatten();
    match Template::encode(location.as_deref().unwrap_or(target)) {
        Some(template) => (Box::default(), template),
        None => (location.unwrap_or_default(), Vec::new()),
    }
}

fn len_of(part: &[u8]) -> [u8; 2] {
    // Each byte of a target of 8192 bytes becomes at most three in its header form.
    u16::try_from(part.len()).expect("a target and its header form are shorter than 64 KiB").to_le_bytes()
}
