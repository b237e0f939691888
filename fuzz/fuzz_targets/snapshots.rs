//! Snapshot files with valid checksums: a file is refused, or its content is the same after it is written and read.

#![no_main]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tern_common::served_link::LinkRow;
use tern_redirector::link_map::{LinkMap, LinkMapWriter};
use tern_redirector::replica::file::{Changes, FileContents, NextFile, SnapshotFile, TailEnd, Written};

type Links = BTreeMap<String, (String, i64, i64, bool)>;

/// Loads the links into a map.
fn load(stored: FileContents) -> LinkMapWriter {
    let (_, mut writer) = LinkMap::new();
    stored.restore(&mut writer);
    writer
}

fn links(map: &LinkMap) -> Links {
    let mut links = Links::new();
    let listed = map.for_each(|link| {
        assert!(link.location().bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
        let ids = (link.url_id.get(), link.owner_id.get());
        links.insert(link.code.to_owned(), (link.original_url().to_owned(), ids.0, ids.1, link.active));
        Ok::<_, Infallible>(())
    });
    assert!(listed.is_ok());
    links
}

fn with_checksum(content: &[u8]) -> Vec<u8> {
    [content, &crc32c::crc32c(content).to_le_bytes()].concat()
}

/// Returns a record of the tail. The fuzzer cannot construct a valid checksum.
fn record(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("an input is short");
    [&len.to_le_bytes(), &crc32c::crc32c(body).to_le_bytes(), body].concat()
}

/// Reads a file, and writes and reads it again, with a further change.
fn check(path: &Path) {
    let mut file = SnapshotFile::new(path.to_owned());
    let Ok(Some(stored)) = file.read() else { return };
    let (cursor, equal_at) = (stored.cursor.clone(), stored.equal_at);
    let mut writer = load(stored);
    let next = NextFile { cursor: &cursor, equal_at, map: writer.map(), changes: None };
    assert!(matches!(file.write(next), Ok(Written::Base(_))));
    let mut changes = Changes::default();
    let added = writer.put(&LinkRow::plain("added", "https://example.com/")).expect("the link is valid");
    changes.put(added).expect("one change fits");
    let removed = links(writer.map()).into_keys().next().expect("a link was added");
    writer.remove(&removed);
    changes.remove(&removed).expect("two changes fit");
    let next = NextFile { cursor: &cursor, equal_at, map: writer.map(), changes: Some(&changes) };
    assert!(matches!(file.write(next), Ok(Written::Record(_))));
    let again = file.read().expect("a written file is read").expect("the file exists");
    assert_eq!((&again.cursor, again.equal_at, again.rejected), (&cursor, equal_at, 0));
    assert_eq!((again.tail_end, again.can_grow), (TailEnd::Whole, true));
    assert_eq!(links(load(again).map()), links(writer.map()));
}

// The first byte of an input is the version, the second the share of the base.
fuzz_target!(|bytes: &[u8]| {
    let Some((&[version, share], content)) = bytes.split_first_chunk() else { return };
    let path = Path::new("/dev/shm").join(format!("tern-fuzz-{}.snapshot", std::process::id()));
    let (base, tail) = content.split_at(content.len() * usize::from(share) / 255);
    let whole = with_checksum(&[b"TERNMAP", &[2 | (version & 1)][..], base].concat());
    let records = tail.chunks(tail.len() / 2 + 1).flat_map(record).collect::<Vec<u8>>();
    fs::write(&path, [&whole[..], &records, tail].concat()).expect("the file is written");
    check(&path);
    // The fuzzer seldom constructs a base, so the tail follows one that has a link, too.
    let (_, mut writer) = LinkMap::new();
    let _ = writer.put(&LinkRow::plain("code1", "https://example.com/"));
    let cursor = "00000000000000ff:7".parse().expect("the cursor is valid");
    let next = NextFile { cursor: &cursor, equal_at: std::time::UNIX_EPOCH, map: writer.map(), changes: None };
    fs::remove_file(&path).expect("the file exists");
    SnapshotFile::new(path.clone()).write(next).expect("the file is written");
    let base = fs::read(&path).expect("the file is read");
    fs::write(&path, [base, records].concat()).expect("the file is written");
    check(&path);
});
