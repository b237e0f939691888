//! Tests of the whole map: its content, concurrent readers, and its memory.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU64};

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn row<'a>(code: &'a str, target: &'a str, url_id: i64) -> LinkRow<&'a str> {
    LinkRow { url_id, ..LinkRow::plain(code, target) }
}

fn put(writer: &mut LinkMapWriter, n: i64, version: i64) {
    writer.put(&row(&format!("code{n}"), &format!("https://example.com/{version}"), version)).unwrap();
}

fn replacement(links: impl Iterator<Item = (i64, i64)>) -> Replacement {
    let mut replacement = Replacement::default();
    for (n, version) in links {
        replacement.put(&row(&format!("code{n}"), &format!("https://example.com/{version}"), version)).unwrap();
    }
    replacement
}

fn found(map: &LinkMap, code: &str) -> Option<i64> {
    MapPin::scope(|pin| map.find(pin, code).map(|link| link.url_id.get()))
}

fn all(map: &LinkMap) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    map.for_each(|link| {
        all.insert(link.code.to_owned(), link.url_id.get());
        Ok::<_, Infallible>(())
    })
    .unwrap();
    all
}

/// A pin that moved to another thread would end on the wrong one. The test does not compile if pins can be sent or shared,
/// since two implementations apply then.
#[test]
fn map_pin_belongs_to_its_thread() {
    trait BelongsToItsThread<Otherwise> {
        const YES: bool = true;
    }
    struct IfSend;
    struct IfSync;
    impl<T> BelongsToItsThread<()> for T {}
    impl<T: Send> BelongsToItsThread<IfSend> for T {}
    impl<T: Sync> BelongsToItsThread<IfSync> for T {}
    const { assert!(<MapPin as BelongsToItsThread<_>>::YES) }
}

#[test]
fn map_after_puts_and_removals_has_the_latest_links() {
    let (map, mut writer) = LinkMap::new();
    assert!(!map.is_loaded());
    put(&mut writer, 1, 1);
    put(&mut writer, 2, 2);
    put(&mut writer, 1, 3);
    assert_eq!((found(&map, "code1"), found(&map, "code2"), found(&map, "CODE1")), (Some(3), Some(2), None));
    writer.deactivate("code2");
    writer.deactivate("absent");
    assert!(!MapPin::scope(|pin| map.find(pin, "code2").unwrap().active));
    writer.remove("code1");
    writer.remove("absent");
    assert_eq!((found(&map, "code1"), map.len()), (None, 1));
    assert_eq!(all(&map), BTreeMap::from([("code2".to_owned(), 2)]));
}

#[test]
fn replacement_removes_all_earlier_links() {
    let (map, mut writer) = LinkMap::new();
    put(&mut writer, 1, 1);
    put(&mut writer, 2, 2);
    let links = replacement([(2, 20), (3, 29), (3, 30)].into_iter());
    assert_eq!((links.len(), map.is_loaded()), (3, false));
    writer.commit(links);
    assert!(map.is_loaded());
    assert_eq!((found(&map, "code1"), found(&map, "code2"), found(&map, "code3")), (None, Some(20), Some(30)));
    assert_eq!(map.len(), 2);
    writer.commit(Replacement::default());
    assert!(map.is_empty() && map.is_loaded());
}

#[test]
fn link_in_the_map_has_each_field_of_its_row() {
    let (map, mut writer) = LinkMap::new();
    let long = format!("https://example.com/{}", "x".repeat(8172));
    let longest = format!("https://example.com/{}", "ü".repeat(4086));
    let mut check = |code: &str, target: &str, url_id: i64, owner_id: i64, is_active: bool| {
        let row = LinkRow { url_id, owner_id, is_active, ..LinkRow::plain(code, target) };
        writer.put(&row).unwrap();
        MapPin::scope(|pin| assert_eq!(map.find(pin, code), LinkEncoder::default().check(&row).ok()));
    };
    check("a", "http://a", 1, 2, false);
    check(&"z".repeat(64), "https://example.com/?q#f", i64::MAX, 1, true);
    check("wide", "https://example.com/", 1, i64::from(u32::MAX) + 1, true);
    check("narrow", "https://example.com/", i64::from(u32::MAX), i64::from(u32::MAX), true);
    check("long", &long, 1, 1, true);
    check("longest", &longest, i64::MAX, i64::MAX, true);
    check("foreign", "https://münchen.example/ü", 5, 6, false);
}

#[test]
fn row_that_is_no_link_leaves_the_map_unchanged() {
    let (map, mut writer) = LinkMap::new();
    put(&mut writer, 1, 1);
    assert!(writer.put(&row("code1", "ftp://example.com/", 2)).is_err());
    assert!(Replacement::default().put(&row("code1", "https://example.com/", 0)).is_err());
    assert_eq!((found(&map, "code1"), map.len()), (Some(1), 1));
}

#[test]
fn readers_never_miss_a_permanent_link_and_never_see_half_of_one() {
    const LINKS: i64 = 500;
    let (map, mut writer) = LinkMap::new();
    writer.commit(replacement((1..=LINKS).map(|n| (n, n))));
    let (reads, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in (1..=LINKS).cycle().take_while(|_| !is_done.load(Ordering::Relaxed)) {
                    MapPin::scope(|pin| {
                        let link = map.find(pin, &format!("code{n}")).unwrap();
                        assert_eq!(link.location(), format!("https://example.com/{}", link.url_id));
                        assert_eq!((link.url_id.get() - n) % LINKS, 0);
                    });
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let all = all(&map);
                assert!((1..=LINKS).all(|n| all.contains_key(&format!("code{n}"))), "{}", all.len());
            }
        });
        let mut version = 0;
        // Enough changes to outgrow tables, compact chunks and replace all links many times.
        while reads.load(Ordering::Relaxed) < 200_000 || version < 100_000 * LINKS {
            version += LINKS;
            put(&mut writer, 1 + version / LINKS % LINKS, 1 + version / LINKS % LINKS + version);
            put(&mut writer, LINKS + version, version);
            writer.remove(&format!("code{}", LINKS + version));
            if version % (20_000 * LINKS) == 0 {
                writer.commit(replacement((1..=LINKS).map(|n| (n, n))));
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn memory_after_many_changes_is_bounded_and_freed() {
    const LINKS: i64 = 20_000;
    let (map, mut writer) = LinkMap::new();
    writer.commit(replacement((0..LINKS).map(|n| (n, n + 1))));
    let before = writer.room();
    for round in 1..=20 {
        for n in 0..LINKS {
            put(&mut writer, n, n + round * LINKS);
        }
    }
    let after = writer.room();
    println!("{before:?}, after {} changes {after:?}", 20 * LINKS);
    // One chunk may be dead, one partly filled, and one being compacted.
    assert!(after.0 <= before.0 + 3 * sync::CHUNK_BYTES, "{after:?}");
    assert!(after.1 <= 2 * sync::CHUNK_BYTES, "{after:?}");
    assert_eq!(found(&map, "code7"), Some(7 + 20 * LINKS));
    for n in 0..LINKS {
        writer.remove(&format!("code{n}"));
    }
    assert!(map.is_empty() && all(&map).is_empty());
    // Each reader of another test delays this by one look-up.
    while writer.writer.retired() > 0 {
        writer.sweep();
        std::thread::yield_now();
    }
    assert!(writer.room().0 <= 4 * sync::CHUNK_BYTES, "{:?}", writer.room());
}

#[test]
fn map_without_its_writer_is_readable() {
    let (map, mut writer) = LinkMap::new();
    put(&mut writer, 1, 1);
    writer.commit(replacement([(1, 2)].into_iter()));
    drop(writer);
    assert_eq!(found(&map, "code1"), Some(2));
}

/// Makes a change and checks how many lines it clears and copies. Returns whether a growth ended.
fn change_takes_few_lines(writer: &mut LinkMapWriter, change: impl FnOnce(&mut LinkMapWriter)) -> bool {
    let (lines, before) = writer.writer.progress();
    change(writer);
    let (lines_after, after) = writer.writer.progress();
    let has_ended = before.is_some() && after.is_none();
    assert!(has_ended || lines_after == lines, "{lines} lines became {lines_after} in one change");
    let (cleared, copied) = before.unwrap_or_default();
    let (cleared_after, copied_after) = after.unwrap_or(if has_ended { (lines_after, lines) } else { (0, 0) });
    assert!(cleared_after - cleared <= sync::LINES_CLEARED && copied_after - copied <= sync::LINES_COPIED);
    has_ended
}

#[test]
fn change_during_a_growth_clears_or_copies_few_lines() {
    let (map, mut writer) = LinkMap::new();
    let mut growths = 0;
    for n in 0..40_000 {
        let ((lines, growth), room) = (writer.writer.progress(), writer.room().0);
        growths += u32::from(change_takes_few_lines(&mut writer, |writer| put(writer, n, 1)));
        if growth.is_none() && writer.writer.progress().1.is_some() {
            assert!(writer.room().0 >= room + lines * size_of::<[usize; sync::LINE_SLOTS]>(), "both tables count");
        }
    }
    assert!(growths > 30, "{growths} growths");
    // New links replace old ones, whose slots are used up.
    for n in 0..40_000 {
        growths += u32::from(change_takes_few_lines(&mut writer, |writer| put(writer, 40_000 + n, 1)));
        growths += u32::from(change_takes_few_lines(&mut writer, |writer| writer.remove(&format!("code{n}"))));
    }
    assert!(growths > 33 && map.len() == 40_000, "{growths} growths");
}

/// Targets are so long that changes during a growth also cause compactions.
#[test]
fn map_that_grows_equals_a_hash_map_after_each_change() {
    let mut random = SmallRng::seed_from_u64(1);
    let (map, mut writer) = LinkMap::new();
    let mut model = HashMap::<i64, i64>::new();
    // The numbers of growths, and of what happened during one: removals, compactions, walks, replacements.
    let (mut growths, mut during) = (0, [0; 4]);
    for version in 1..=30_000 {
        let n = random.random_range(0..200 + version);
        let (was_growing, dead) = (writer.writer.progress().1.is_some(), writer.room().1);
        match random.random_range(0..5_000) {
            0..20 if was_growing => {
                model.retain(|n, _| n % 16 > 0);
                writer.commit(replacement(model.iter().map(|(&n, &version)| (n, version))));
                during[3] += 1;
            }
            20..40 if was_growing => {
                let walked = all(&map);
                assert_eq!(walked, model.iter().map(|(n, &version)| (format!("code{n}"), version)).collect());
                during[2] += 1;
            }
            0..50 => writer.sweep(),
            50..1_000 => {
                writer.remove(&format!("code{n}"));
                model.remove(&n);
                during[0] += u32::from(was_growing);
            }
            _ => {
                let target = format!("https://example.com/{}", "y".repeat(random.random_range(0..8_000)));
                writer.put(&row(&format!("code{n}"), &target, version)).unwrap();
                model.insert(n, version);
            }
        }
        let is_growing = writer.writer.progress().1.is_some();
        growths += u32::from(!was_growing && is_growing);
        during[1] += u32::from(was_growing && is_growing && writer.room().1 < dead);
        for n in iter::once(n).chain(iter::repeat_with(|| random.random_range(0..200 + version)).take(4)) {
            assert_eq!(found(&map, &format!("code{n}")), model.get(&n).copied(), "after change {version}");
        }
        assert_eq!(map.len(), model.len());
    }
    assert!(growths > 10 && during.iter().all(|&times| times > 0), "{growths} growths, {during:?} during one");
}

#[derive(Clone, Debug)]
enum Change {
    Put(u8, i64),
    Deactivate(u8),
    Remove(u8),
    Sweep,
    Replace(Vec<(u8, i64)>),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let id = 1..i64::MAX;
    let change = prop_oneof![
        20 => (any::<u8>(), id.clone()).prop_map(|(code, id)| Change::Put(code, id)),
        4 => any::<u8>().prop_map(Change::Deactivate),
        8 => any::<u8>().prop_map(Change::Remove),
        2 => Just(Change::Sweep),
        1 => prop::collection::vec((any::<u8>(), id), 0..200).prop_map(Change::Replace),
    ];
    prop::collection::vec(change, 0..400)
}

proptest! {
    #[test]
    fn map_after_any_changes_equals_a_hash_map(changes in changes()) {
        let (map, mut writer) = LinkMap::new();
        let mut model = HashMap::<String, (i64, bool)>::new();
        let code = |n: u8| format!("c{n}");
        let target = |id: i64| format!("https://example.com/{}", "y".repeat((id % 900) as usize));
        for change in changes {
            match change {
                Change::Put(n, id) => {
                    writer.put(&row(&code(n), &target(id), id)).unwrap();
                    model.insert(code(n), (id, true));
                }
                Change::Deactivate(n) => {
                    writer.deactivate(&code(n));
                    model.entry(code(n)).and_modify(|link| link.1 = false);
                }
                Change::Remove(n) => {
                    writer.remove(&code(n));
                    model.remove(&code(n));
                }
                Change::Sweep => writer.sweep(),
                Change::Replace(links) => {
                    let mut replacement = Replacement::default();
                    for (n, id) in &links {
                        replacement.put(&row(&code(*n), &target(*id), *id)).unwrap();
                    }
                    writer.commit(replacement);
                    model = links.into_iter().map(|(n, id)| (code(n), (id, true))).collect();
                }
            }
            prop_assert_eq!(map.len(), model.len());
        }
        for n in 0..=u8::MAX {
            let link = MapPin::scope(|pin| {
                map.find(pin, &code(n)).map(|link| {
                    assert_eq!(link.location(), target(link.url_id.get()));
                    (link.url_id.get(), link.active)
                })
            });
            prop_assert_eq!(link, model.get(&code(n)).copied());
        }
        let ids: BTreeMap<String, i64> = model.into_iter().map(|(code, (id, _))| (code, id)).collect();
        prop_assert_eq!(all(&map), ids);
    }
}
