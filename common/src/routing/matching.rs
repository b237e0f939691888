//! The choice of a target for a request. Pure: no I/O, no lock, no allocation.

use percent_encoding::percent_decode;

use super::Choice;
use super::condition::ConditionType;
use super::served::{Bytes, Chosen, Routing, ServedCondition, ServedRule};
use crate::Timestamp;
use crate::visitor::Visitor;

/// The facts of a request that conditions ask for. Most links ask for none, and most conditions for one.
pub trait Facts {
    /// Returns the bot, the browser, the system and the device.
    fn visitor(&mut self) -> Visitor;
    /// Returns the value of `Accept-Language` as it was sent; empty if there is none.
    fn accept_language(&mut self) -> &[u8];
    /// Returns the value of `Referer` as it was sent; empty if there is none.
    fn referrer(&mut self) -> &[u8];
    /// Returns the code of the client's country in capital letters.
    fn country(&mut self) -> &'static str;
    /// Returns the query as it was sent, without its `?`.
    fn query(&self) -> &[u8];
    fn at(&self) -> Timestamp;
    /// Returns the hundredth of the clients to which the client belongs, from 0 to 99.
    fn hundredth(&mut self) -> u8;
}

/// The least weight of a language that a client prefers, in thousandths.
const PREFERRED: u16 = 900;

impl<'a> Routing<'a> {
    /// Returns the target of the first rule that matches, or of the client's variant; `None` for the plain target.
    pub fn choose(&self, facts: &mut impl Facts) -> Option<Chosen<'a>> {
        let (mut rules, mut number) = (Bytes(self.rules), 0u8);
        while let Some(ServedRule { target, conditions }) = rules.rule() {
            number = number.saturating_add(1);
            if matches_all(conditions, facts) {
                return target.chosen(Choice::Rule(number));
            }
        }
        if self.split.is_empty() {
            return None;
        }
        let (mut variants, mut number, mut until) = (Bytes(self.split), 0u8, 0u8);
        let hundredth = facts.hundredth();
        while let Some(variant) = variants.variant() {
            number = number.saturating_add(1);
            until = until.saturating_add(variant.weight);
            if hundredth < until {
                return variant.target.chosen(Choice::Variant(number));
            }
        }
        None
    }
}

/// Returns whether a request meets every condition. A rule without a readable condition matches nothing.
fn matches_all(mut conditions: Bytes<'_>, facts: &mut impl Facts) -> bool {
    if conditions.0.is_empty() {
        return false;
    }
    while !conditions.0.is_empty() {
        match conditions.condition() {
            Some(condition) if condition.matches(facts) => {}
            _ => return false,
        }
    }
    true
}

impl ServedCondition<'_> {
    fn matches(&self, facts: &mut impl Facts) -> bool {
        match self.kind {
            ConditionType::Device => facts.visitor().is_on(self.value),
            ConditionType::Language => prefers(facts.accept_language(), self.value),
            ConditionType::Country => facts.country().as_bytes() == self.value,
            ConditionType::Query => {
                let mut pairs = split_query(facts.query());
                pairs.any(|(name, value)| is_decoded(name, self.key) && is_decoded(value, self.value))
            }
            ConditionType::QueryAny => split_query(facts.query()).any(|(name, _)| is_decoded(name, self.key)),
            ConditionType::Before => self.time().is_some_and(|time| facts.at() < time),
            ConditionType::After => self.time().is_some_and(|time| facts.at() >= time),
            ConditionType::Browser => facts.visitor().browser.as_bytes() == self.value,
            ConditionType::Referrer => is_at(facts.referrer(), self.value),
            ConditionType::Bot => facts.visitor().bot.is_some() == (self.value == b"true"),
        }
    }
}

/// Splits a query into names and values, neither decoded. A bare name has an empty value.
pub fn split_query(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[][..]),
    })
}

/// Returns whether a part of a query is a text when it is decoded. A `+` is a space, as forms send it, or a plus.
fn is_decoded(part: &[u8], text: &[u8]) -> bool {
    let mut rest = text.iter();
    let mut pieces = part.split_inclusive(|byte| *byte == b'+');
    pieces.all(|piece| {
        let (piece, has_plus) = match piece.split_last() {
            Some((b'+', before)) => (before, true),
            _ => (piece, false),
        };
        percent_decode(piece).all(|byte| rest.next() == Some(&byte))
            && (!has_plus || matches!(rest.next(), Some(b' ' | b'+')))
    }) && rest.next().is_none()
}

/// Returns whether an `Accept-Language` names a language, or a form of it, with a high weight.
fn prefers(accept_language: &[u8], language: &[u8]) -> bool {
    accept_language.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';');
        let tag = parts.next().unwrap_or_default().trim_ascii();
        let is_of = tag.get(..language.len()).is_some_and(|start| start.eq_ignore_ascii_case(language))
            && matches!(tag.get(language.len()), None | Some(b'-' | b'_'));
        is_of && parts.find_map(weight).unwrap_or(1000) >= PREFERRED
    })
}

/// Returns the weight of a parameter such as `q=0.8`, in thousandths; 0 if it is no number. `None` for other parameters.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.trim_ascii().split_first()?;
    let value = value.trim_ascii_start().strip_prefix(b"=").filter(|_| name.eq_ignore_ascii_case(&b'q'))?.trim_ascii();
    let (whole, fraction) = match value {
        [b'1', rest @ ..] => (1000, rest),
        [b'0', rest @ ..] => (0, rest),
        _ => return Some(0),
    };
    let digits = match fraction {
        [] => &[][..],
        [b'.', digits @ ..] => digits,
        _ => return Some(0),
    };
    let mut thousandths: u16 = whole;
    for (digit, unit) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return Some(0);
        }
        thousandths += u16::from(digit - b'0') * unit;
    }
    Some(thousandths)
}

/// Returns whether a referrer is at a host, or with `*.` before it at one of its sub-domains.
fn is_at(referrer: &[u8], pattern: &[u8]) -> bool {
    let Some(host) = host_of(referrer) else { return false };
    match pattern.strip_prefix(b"*") {
        // The dot remains, so that the domain itself does not match.
        Some(domain) => host.len() > domain.len() && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain),
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// Returns the host of an absolute address, without user and port.
fn host_of(address: &[u8]) -> Option<&[u8]> {
    let scheme = address.iter().position(|byte| *byte == b':')?;
    let rest = address[scheme..].strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.iter().rposition(|byte| *byte == b'@').map_or(authority, |at| &authority[at + 1..]);
    let end = if host.first() == Some(&b'[') {
        host.iter().position(|byte| *byte == b']')? + 1
    } else {
        host.iter().position(|byte| *byte == b':').unwrap_or(host.len())
    };
    let host = &host[..end];
    Some(host.strip_suffix(b".").unwrap_or(host))
}
