//! The sums of the links of the map, as they were when an audit began.
//!
//! The map changes while it is walked. The walk skips links that were changed, and adds them as they were before.
//! A link that was removed may have been walked before. One bit for each id decides that.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use foldhash::fast::RandomState;
use tern_common::Id;
use tern_common::link_digest::{Bucket, DigestKey, LinkDigester, LinkSums};
use tern_common::served_link::ServedLink;

use super::touched::Touched;
use crate::link_map::LinkMap;

/// Returns the buckets whose sums in the store and in the map differ. Returns none if too many links change meanwhile.
pub(super) fn differing(sums: &LinkSums, map: &LinkMap, touched: &Touched, key: DigestKey) -> HashSet<Bucket> {
    let ours = MapSums::of(map, touched, key).sums;
    if touched.is_overfull() {
        return HashSet::new();
    }
    let in_store = sums.iter().filter(|(bucket, sum)| ours.get(*bucket).copied().unwrap_or_default() != **sum);
    let in_map = ours.iter().filter(|(bucket, sum)| **sum != 0 && !sums.contains_key(*bucket));
    in_store.map(|(bucket, _)| *bucket).chain(in_map.map(|(bucket, _)| *bucket)).collect()
}

#[derive(Debug, Default)]
struct MapSums {
    sums: HashMap<Bucket, u64, RandomState>,
    walked: Ids,
}

impl MapSums {
    fn of(map: &LinkMap, touched: &Touched, key: DigestKey) -> MapSums {
        let mut all = MapSums::default();
        let mut digester = LinkDigester::new(key);
        let add = |link: ServedLink<'_>| {
            // A damaged link is left out, so that the sums differ. The walk leaves out links that readers do not find.
            let digest = digester.digest(link);
            // The link was read before this check, so a link that was read after a change is skipped.
            if !touched.contains(link.code) {
                all.walked.insert(link.url_id);
                all.add(link.url_id, digest);
            }
            Ok::<_, Infallible>(())
        };
        let Ok(()) = map.for_each(add);
        touched.for_each_original(|original| {
            if !all.walked.contains(original.url_id) {
                all.add(original.url_id, original.digest);
            }
        });
        all
    }

    fn add(&mut self, url_id: Id, digest: Option<u64>) {
        *self.sums.entry(Bucket::of(url_id)).or_default() ^= digest.unwrap_or_default();
    }
}

/// A set of ids, with one bit for each of consecutive ids.
#[derive(Debug, Default)]
struct Ids(HashMap<i64, u64, RandomState>);

impl Ids {
    fn insert(&mut self, id: Id) {
        let (word, bit) = Ids::place(id);
        *self.0.entry(word).or_default() |= bit;
    }

    fn contains(&self, id: Id) -> bool {
        let (word, bit) = Ids::place(id);
        self.0.get(&word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(id: Id) -> (i64, u64) {
        (id.get() >> 6, 1 << (id.get() & 63))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Barrier};

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};
    use tern_common::served_link::LinkRow;

    use super::*;
    use crate::link_map::LinkMapWriter;

    fn key() -> DigestKey {
        DigestKey::new("0123456789abcdef".to_owned())
    }

    fn row(url_id: i64) -> LinkRow {
        LinkRow { url_id, ..LinkRow::plain(format!("c{url_id}"), "https://example.com/".to_owned()) }
    }

    fn sums(rows: impl Iterator<Item = LinkRow>) -> LinkSums {
        let mut digester = LinkDigester::new(key());
        let mut sums = LinkSums::new();
        for row in rows {
            *sums.entry(Bucket::of(Id::new(row.url_id).unwrap())).or_default() ^= digester.digest_row(&row);
        }
        sums
    }

    fn filled(ids: impl Iterator<Item = i64>) -> (Arc<LinkMap>, LinkMapWriter) {
        let (map, mut writer) = LinkMap::new();
        ids.for_each(|id| put(&mut writer, &row(id)));
        (map, writer)
    }

    fn put(writer: &mut LinkMapWriter, row: &LinkRow) {
        writer.put(row).unwrap();
    }

    #[test]
    fn link_that_is_wrong_in_the_map_makes_the_sum_of_its_bucket_differ() {
        let all = || (1..10_000).chain([i64::MAX]);
        let check = |plant: fn(&mut LinkMapWriter), expected: &[i64]| {
            let (map, mut writer) = filled(all());
            plant(&mut writer);
            let found = differing(&sums(all().map(row)), &map, &Touched::new(Some(key())), key());
            assert_eq!(found, expected.iter().copied().map(Bucket::new).collect());
        };
        check(|_| {}, &[]);
        check(|writer| writer.remove("c5000"), &[1]);
        check(|writer| _ = writer.deactivate("c1"), &[0]);
        check(|writer| put(writer, &row(20_000)), &[4]);
        check(|writer| put(writer, &LinkRow { short_code: "former".to_owned(), ..row(9_000) }), &[2]);
        check(|writer| put(writer, &LinkRow { url_id: 9_000, ..row(1) }), &[0, 2]);
        check(|writer| put(writer, &LinkRow { is_exhausted: true, ..row(i64::MAX) }), &[i64::MAX >> 12]);
        check(|writer| writer.remove(&format!("c{}", i64::MAX)), &[i64::MAX >> 12]);
    }

    #[test]
    fn audit_beside_too_many_changes_finds_nothing() {
        let (map, mut writer) = filled(1..10);
        let touched = Touched::new(Some(key()));
        writer.remove("c5");
        assert_eq!(differing(&sums((1..10).map(row)), &map, &touched, key()).len(), 1);
        (0..200_000).for_each(|n| touched.insert(&format!("other{n}"), &map));
        assert!(differing(&sums((1..10).map(row)), &map, &touched, key()).is_empty());
    }

    /// Changes links in all ways until `stop`, after `note` for each code. Returns the number of changes.
    fn change_links(writer: &mut LinkMapWriter, seed: u64, stop: &AtomicBool, note: impl Fn(&str, &LinkMap)) -> u32 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut changes = 0;
        while !stop.load(Ordering::Acquire) {
            let id = random.random_range(1..40_000);
            let code = format!("c{id}");
            note(&code, writer.map());
            match random.random_range(0..4) {
                0 => writer.remove(&code),
                1 => _ = writer.deactivate(&code),
                2 => put(writer, &row(id)),
                _ => put(writer, &LinkRow { url_id: id + 40_000, ..row(id) }),
            }
            changes += 1;
        }
        changes
    }

    /// Walks a map while another thread changes it. Returns the number of changes and whether sums of the start differ.
    fn walk_beside_changes(seed: u64, is_noted: bool) -> (u32, bool) {
        let (map, mut writer) = filled(1..30_000);
        writer.pause_compaction(true);
        let touched = Touched::new(Some(key()));
        let (stop, started) = (AtomicBool::new(false), Barrier::new(2));
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| {
                started.wait();
                change_links(&mut writer, seed, &stop, |code, map| {
                    if is_noted {
                        touched.insert(code, map);
                    }
                })
            });
            started.wait();
            let found = differing(&sums((1..30_000).map(row)), &map, &touched, key());
            stop.store(true, Ordering::Release);
            (changing.join().unwrap(), !found.is_empty())
        })
    }

    #[test]
    fn sums_of_a_map_that_changes_meanwhile_are_those_from_before() {
        let mut changes = 0;
        for seed in 0..8 {
            let (changed, differs) = walk_beside_changes(seed, true);
            assert!(!differs, "seed {seed} after {changed} changes");
            changes += changed;
        }
        println!("{changes} changes beside 8 walks");
        assert!(changes > 100, "{changes} changes, so nothing was tested");
        assert!((0..8).any(|seed| walk_beside_changes(seed, false).1), "changes that are not noted make no difference");
    }
}
