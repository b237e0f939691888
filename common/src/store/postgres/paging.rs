//! Cuts the log of changes into parts: a long one is read in several deltas, and so is a transaction of many changes.

use std::collections::HashMap;

use super::position::Part;
use crate::store::AgedChange;

/// Transactions that are read in parts at one time: a position names each of them.
const MAX_PARTS: usize = 8;

/// An entry of the log, and the link that is under its code by now.
pub(super) struct Entry {
    pub(super) change: AgedChange,
    pub(super) xid: u64,
    /// Whether it is of the transaction that is read in parts.
    pub(super) in_part: bool,
}

/// How far the entries of a delta reach.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Entries of this transaction and of later ones were not read.
    pub(super) end: u64,
    /// Transactions of which some entries were read. The first goes on with the next delta, the others wait for its end.
    pub(super) parts: Vec<Part>,
}

/// Entries of a transaction that is read in parts, in a delta of so many other entries.
pub(super) fn part_of(entries_each: usize) -> usize {
    (entries_each / 2).max(1)
}

impl Reach {
    /// Finds how far `entries` reach: up to `entries_each` in the order of transactions, and one part of the first of
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
        // A transaction that fills half of a delta is read in parts, so that later ones do not wait for its end.
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

/// Gives each code once, as old as the oldest change to it.
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
    fn reach_of_a_delta_ends_where_its_entries_do() {
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
        // One in parts goes on, and ends, beside others.
        check(&[(7, "a")], &["c", "b"], &[(5, "a"), (6, "x")], u64::MAX, &[(5, "c"), (6, "x")]);
        check(&[(7, "a")], &["d"], &[(5, "c"), (6, "x")], u64::MAX, &[(6, "x")]);
        let all: Vec<(u64, &str)> = (0..8).map(|n| (n + 5, "x")).collect();
        let behind = [(20, "a"), (20, "b"), (20, "c"), (20, "d")];
        check(&behind, &["y", "z"], &all, 20, &[&[(5, "z")], &all[1..]].concat());
        check(&behind, &["y"], &all, 21, &[&all[1..], &[(20, "d")]].concat());
    }
}
