//! Snapshot files with a valid checksum: a file is refused, or its content is the same after it is written and read.

#![no_main]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tern_redirector::link_map::LinkMap;
use tern_redirector::replica::file::{FileContents, read, write};

type Links = BTreeMap<String, (String, i64, i64, bool)>;

/// Loads the links into a map, and returns both.
fn load(stored: FileContents) -> (std::sync::Arc<LinkMap>, Links) {
    let (map, mut writer) = LinkMap::new();
    writer.commit(stored.links);
    let mut links = Links::new();
    let listed = map.for_each(|link| {
        assert!(link.location().bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
        let ids = (link.url_id.get(), link.owner_id.get());
        links.insert(link.code.to_owned(), (link.original_url().to_owned(), ids.0, ids.1, link.active));
        Ok::<_, Infallible>(())
    });
    assert!(listed.is_ok());
    (map, links)
}

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("/dev/shm").join(format!("tern-fuzz-{}.snapshot", std::process::id()));
    // The fuzzer cannot construct a valid checksum.
    let content = [b"TERNMAP\x02", bytes].concat();
    fs::write(&path, [&content[..], &crc32c::crc32c(&content).to_le_bytes()].concat()).expect("the file is written");
    if let Ok(Some(stored)) = read(&path) {
        let (cursor, equal_at) = (stored.cursor.clone(), stored.equal_at);
        let (map, links) = load(stored);
        write(&path, &cursor, equal_at, &map).expect("the file is written");
        let again = read(&path).expect("a written file is read").expect("the file exists");
        assert_eq!((&again.cursor, again.equal_at, again.rejected), (&cursor, equal_at, 0));
        assert_eq!(load(again).1, links);
    }
});
