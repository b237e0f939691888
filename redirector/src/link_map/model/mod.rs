//! Tests of the publish protocol by a model checker. It compiles `memory/` over `sync.rs` of this folder and runs every
//! order of the threads' steps that the memory model of C11 allows, up to a bound of preemptions.
//!
//! Each test ends with all memory freed. It fails if a reader misses a link that always exists, sees an incomplete record,
//! or reads freed memory. The checker does not follow plain bytes, so the hooks of `sync.rs` report accesses to it.
#![expect(clippy::duplicate_mod, reason = "the model checks the source of the map and not a copy")]

#[expect(dead_code, reason = "only a part of the map is modelled")]
#[path = "../memory/mod.rs"]
mod memory;
mod sync;

use tern_common::served_link::{LinkEncoder, LinkRow, ServedLink};

use self::memory::{Heap, MapPin, Shared, Writer};
use self::sync::Arc;

fn put(writer: &mut Writer, code: &str, id: i64) {
    writer.put(LinkEncoder::default().encode(&row(code, id)).unwrap());
}

fn heap(code: &str, id: i64) -> Heap {
    let mut heap = Heap::default();
    heap.push(LinkEncoder::default().encode(&row(code, id)).unwrap());
    heap
}

fn row(code: &str, id: i64) -> LinkRow<&str> {
    LinkRow { url_id: id, owner_id: id, ..LinkRow::plain(code, "http://a") }
}

fn found(shared: &Shared, code: &str) -> Option<i64> {
    MapPin::scope(|pin| {
        shared.find(pin, code).map(|(record, text)| {
            let link = ServedLink::decode(record, text);
            assert_eq!((link.code, link.location(), link.url_id), (code, "http://a", link.owner_id));
            link.url_id.get()
        })
    })
}

/// Runs `write` and `read` on two threads, on a map that has the link `a` with the id 1.
fn check(write: fn(&mut Writer), read: fn(&Shared)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let mut writer = Writer::new(sync::Hasher::with_seed(7));
        put(&mut writer, "a", 1);
        let shared = Arc::clone(writer.shared());
        let reader = loom::thread::spawn(move || read(&shared));
        write(&mut writer);
        reader.join().unwrap();
        writer.sweep();
        assert_eq!(writer.retired(), 0, "memory without readers is freed");
    });
}

#[test]
fn change_of_a_link_is_seen_whole_or_not_at_all() {
    check(
        |writer| {
            put(writer, "a", 2);
            put(writer, "b", 3);
        },
        |shared| {
            let b = found(shared, "b");
            let a = found(shared, "a");
            assert!(matches!((a, b), (Some(1), None) | (Some(2), None | Some(3))), "{a:?} {b:?}");
        },
    );
}

#[test]
fn removal_of_a_link_hides_no_other_link() {
    check(
        |writer| {
            put(writer, "b", 2);
            writer.remove("b");
            put(writer, "c", 3);
        },
        |shared| {
            assert_eq!(found(shared, "a"), Some(1));
            let (c, b) = (found(shared, "c"), found(shared, "b"));
            assert!(c.is_none() || b.is_none());
        },
    );
}

#[test]
fn growing_table_misses_no_link() {
    check(
        |writer| (2..=6).for_each(|id| put(writer, ["b", "c", "d", "e", "f"][id - 2], id as i64)),
        |shared| {
            assert_eq!(found(shared, "a"), Some(1));
            assert_eq!(found(shared, "a"), Some(1));
        },
    );
}

/// The growth begins with the link `a`. Each change takes a step of it before, and the fourth takes the last one.
#[test]
fn change_between_two_steps_of_a_growth_is_in_the_larger_table() {
    check(
        |writer| {
            let (lines, growth) = writer.progress();
            assert!(growth.is_some());
            put(writer, "b", 2);
            put(writer, "a", 3);
            writer.remove("b");
            assert_eq!(writer.progress().0, lines);
            put(writer, "c", 4);
            assert!(writer.progress().0 > lines);
        },
        |shared| {
            let (c, a) = (found(shared, "c"), found(shared, "a"));
            assert!(matches!((a, c), (Some(1), None) | (Some(3), None | Some(4))), "{a:?} {c:?}");
            let b = found(shared, "b");
            assert!(b.is_none() || (b == Some(2) && c.is_none()), "{b:?} {c:?}");
        },
    );
}

#[test]
fn compaction_during_look_ups_misses_no_link() {
    check(
        |writer| (2..=6).for_each(|id| put(writer, "b", id)),
        |shared| {
            assert_eq!(found(shared, "a"), Some(1));
            assert!(found(shared, "b").is_none_or(|id| (2..=6).contains(&id)));
        },
    );
}

#[test]
fn replacement_is_seen_at_one_moment() {
    check(
        |writer| {
            writer.replace(heap("b", 2));
        },
        |shared| {
            let a = found(shared, "a");
            let b = found(shared, "b");
            assert!(matches!((a, b), (Some(1), None | Some(2)) | (None, Some(2))), "{a:?} {b:?}");
        },
    );
}

/// Walks the log and checks that it visits the link `a`.
fn walk_finds_a(shared: &Shared) {
    let mut visits = 0;
    let mut chunk = shared.chunk_after(None);
    while let Some(current) = chunk {
        for (record, text) in current.records().filter(|(_, text)| *text == "ahttp://a") {
            assert_eq!(ServedLink::decode(record, text).code, "a");
            visits += usize::from(shared.is_live(record));
        }
        chunk = shared.chunk_after(Some(current.number()));
    }
    assert!(visits > 0);
}

#[test]
fn walk_visits_a_link_that_changes_meanwhile() {
    check(|writer| (2..=4).for_each(|id| put(writer, "a", id)), walk_finds_a);
}

#[test]
fn walk_visits_a_link_while_the_table_grows() {
    check(
        |writer| {
            let (lines, _) = writer.progress();
            put(writer, "b", 2);
            put(writer, "a", 3);
            writer.maintain();
            assert!(writer.progress().0 > lines);
        },
        walk_finds_a,
    );
}

/// The third change leaves more dead bytes than two records have, and the chunk of `a` has the most of them.
#[test]
fn walk_visits_a_link_that_compaction_moves() {
    check(|writer| (2..=5).for_each(|id| put(writer, "b", id)), walk_finds_a);
}

#[test]
fn walk_visits_a_link_that_a_replacement_retains() {
    check(
        |writer| {
            writer.replace(heap("a", 2));
        },
        walk_finds_a,
    );
}
