//! Deltas of a limited size: a long log, or a transaction with many changes, is read in several of them.

use std::collections::HashMap;

use super::position::Part;
use crate::store::AgedChange;

/// The number of transactions that are read in parts at a time. A position contains each of them.
const MAX_PARTS: usize = 8;

/// An entry of the log, with the current link of its code.
pub(super) struct Entry {
    pub(super) change: AgedChange,
    pub(super) xid: u64,
    /// Whether it belongs to the transaction that is read in parts.
    pub(super) in_part: bool,
}

/// The end of the entries of a delta.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The first transaction of which no entry was read.
    pub(super) end: u64,
    /// Transactions of which some entries were read. The next delta continues the first; the others wait for its end.
    pub(super) parts: Vec<Part>,
}

/// Returns the number of entries that a delta reads of the transaction in parts, besides `entries_each` others.
pub(super) fn part_of(entries_each: usize) -> usize {
    (entries_each / 2).max(1)
}

impl Reach {
    /// Returns the end of `entries`: up to `entries_each` in the order of transactions, and one part of the first of
    /// `parts`.
    pub(super) fn of(entries: &[Entry], mut parts: Vec<Part>, entries_each: usize) -> Reach {
        let part = part_of(entries_each);
        let in_part = entries.iter().filter(|entry| entry.in_part);
        if in_part.clone().count() < part {
            parts.drain(..parts.len().min(1));
        } else if let (Some(first), Some(after)) = (parts.first_mut(), last_code(in_part)) {
            first.after = after;
        }
        let fresh = entries.iter().filter(|entry| !entry.in_part);
        if fresh.clone().count() < entries_each {
            return Reach { end: u64::MAX, parts };
        }
        let last = fresh.clone().map(|entry| entry.xid).max().unwrap_or_default();
        let of_last = fresh.filter(|entry| entry.xid == last);
        // A transaction that fills half a delta is read in parts, so that later ones do not wait for its end.
        if of_last.clone().count() < part || parts.len() == MAX_PARTS {
            return Reach { end: last, parts };
        }
        parts.push(Part { xid: last, after: last_code(of_last).unwrap_or_default() });
        Reach { end: last + 1, parts }
    }
}

fn last_code<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<String> {
    entries.map(|entry| entry.change.change.short_code()).max().map(str::to_owned)
}

/// Returns one change for each code, with the age of its oldest one.
pub(super) fn latest(changes: impl Iterator<Item = AgedChange>) -> Vec<AgedChange> {
    let mut latest: HashMap<String, AgedChange> = HashMap::new();
    for change in changes {
        let age = change.age;
        let given = latest.entry(change.change.short_code().to_owned()).or_insert(change);
        given.age = given.age.max(age);
    }
    latest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LinkChange;

    fn entry(xid: u64, code: &str, in_part: bool) -> Entry {
        let change = AgedChange { change: LinkChange::Removed { short_code: code.to_owned() }, age: None };
        Entry { change, xid, in_part }
    }

    fn parts(parts: &[(u64, &str)]) -> Vec<Part> {
        parts.iter().map(|&(xid, after)| Part { xid, after: after.to_owned() }).collect()
    }

    #[test]
    fn reach_is_cut_at_a_transaction_or_within_a_large_one() {
        let check =
            |fresh: &[(u64, &str)], in_part: &[&str], before: &[(u64, &str)], end: u64, after: &[(u64, &str)]| {
                let fresh = fresh.iter().map(|&(xid, code)| entry(xid, code, false));
                let entries: Vec<Entry> = fresh.chain(in_part.iter().map(|code| entry(5, code, true))).collect();
                assert_eq!(Reach::of(&entries, parts(before), 4), Reach { end, parts: parts(after) });
            };
        check(&[(7, "a"), (8, "a"), (8, "b")], &[], &[], u64::MAX, &[]);
        // Cut within a small transaction, at the end of one, and within a large one.
        check(&[(7, "a"), (7, "b"), (7, "c"), (8, "a")], &[], &[], 8, &[]);
        check(&[(7, "a"), (7, "b"), (8, "a"), (8, "b")], &[], &[], 9, &[(8, "b")]);
        check(&[(8, "a"), (8, "b"), (8, "c"), (8, "d")], &[], &[], 9, &[(8, "d")]);
        // A transaction in parts continues, and ends, beside others.
        check(&[(7, "a")], &["c", "b"], &[(5, "a"), (6, "x")], u64::MAX, &[(5, "c"), (6, "x")]);
        check(&[(7, "a")], &["d"], &[(5, "c"), (6, "x")], u64::MAX, &[(6, "x")]);
        let all: Vec<(u64, &str)> = (0..8).map(|n| (n + 5, "x")).collect();
        let behind = [(20, "a"), (20, "b"), (20, "c"), (20, "d")];
        check(&behind, &["y", "z"], &all, 20, &[&[(5, "z")], &all[1..]].concat());
        check(&behind, &["y"], &all, 21, &[&all[1..], &[(20, "d")]].concat());
    }
}
