//! The publish protocol under a model checker: `memory/` itself, compiled over `sync.rs` here, is run in every order of
//! its threads' steps that the memory model of C11 allows, up to a bound of preemptions.
//!
//! Each test ends with everything freed, and fails when a reader misses what is always there, sees what was not
//! finished, or looks at what was freed. Memory has no bytes to the checker; the hooks of `sync.rs` tell it of them.
#![expect(clippy::duplicate_mod, reason = "the model checks the source that the map is made of, not a copy of it")]

#[expect(dead_code, reason = "not all of the map is modelled")]
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

/// Runs `write` and `read` beside each other on a map that has the link `a` with the id 1.
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
        assert_eq!(writer.retired(), 0, "what nobody looks at is freed");
    });
}

#[test]
fn a_change_is_seen_whole_or_not_yet() {
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
fn a_removal_hides_nothing_else() {
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
fn a_table_that_grows_misses_nothing() {
    check(
        |writer| (2..=6).for_each(|id| put(writer, ["b", "c", "d", "e", "f"][id - 2], id as i64)),
        |shared| {
            assert_eq!(found(shared, "a"), Some(1));
            assert_eq!(found(shared, "a"), Some(1));
        },
    );
}

#[test]
fn compaction_moves_links_from_under_nobody() {
    check(
        |writer| (2..=6).for_each(|id| put(writer, "b", id)),
        |shared| {
            assert_eq!(found(shared, "a"), Some(1));
            assert!(found(shared, "b").is_none_or(|id| (2..=6).contains(&id)));
        },
    );
}

#[test]
fn a_replacement_comes_at_one_moment() {
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

/// Whoever walks the log must meet what is there all the while.
fn meet(shared: &Shared) {
    let mut met = 0;
    let mut chunk = shared.chunk_after(None);
    while let Some(present) = chunk {
        for (record, text) in present.records().filter(|(_, text)| *text == "ahttp://a") {
            assert_eq!(ServedLink::decode(record, text).code, "a");
            met += usize::from(shared.is_live(record));
        }
        chunk = shared.chunk_after(Some(present.number()));
    }
    assert!(met > 0);
}

#[test]
fn a_walk_meets_what_changes_all_the_while() {
    check(|writer| (2..=4).for_each(|id| put(writer, "a", id)), meet);
}

/// The third change leaves more dead than two records take, and the chunk of `a` is the one with the most of them.
#[test]
fn a_walk_meets_what_compaction_moves() {
    check(|writer| (2..=5).for_each(|id| put(writer, "b", id)), meet);
}

#[test]
fn a_walk_meets_what_a_replacement_keeps() {
    check(
        |writer| {
            writer.replace(heap("a", 2));
        },
        meet,
    );
}
