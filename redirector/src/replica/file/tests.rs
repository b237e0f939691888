use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use tern_common::served_link::{FIELDS, LinkRow};

use super::base::{MAGIC, MAGIC_WITHOUT_TAIL};
use super::*;

pub(super) type Links = BTreeMap<String, (String, i64, bool)>;

pub(super) const FIRST: u64 = 7;

pub(super) fn links(count: i64) -> Links {
    (1..=count).map(|n| (format!("code{n}"), (format!("https://münchen.example/{n}"), n, n % 3 > 0))).collect()
}

pub(super) fn cursor(number: u64) -> Cursor {
    format!("00000000000000ff:{number}").parse().unwrap()
}

/// Returns a time of today, as the file stores it.
fn time(number: u64) -> SystemTime {
    static START: LazyLock<u64> = LazyLock::new(|| micros(SystemTime::now()));
    UNIX_EPOCH + Duration::from_micros(*START - 1_000_000 + number)
}

/// A map with the changes that its file lacks.
pub(super) struct Origin {
    pub(super) writer: LinkMapWriter,
    changes: Changes,
}

impl Origin {
    pub(super) fn new(links: &Links) -> Origin {
        let mut origin = Origin { writer: LinkMap::new().1, changes: Changes::default() };
        for (code, (target, id, active)) in links {
            origin.put(code, target, *id, *active);
            origin.changes = Changes::default();
        }
        origin
    }

    pub(super) fn put(&mut self, code: &str, target: &str, url_id: i64, is_active: bool) {
        let row = LinkRow { url_id, owner_id: 7, is_active, ..LinkRow::plain(code, target) };
        self.changes.put(self.writer.put(&row).unwrap()).unwrap();
    }

    pub(super) fn remove(&mut self, code: &str) {
        self.writer.remove(code);
        self.changes.remove(code).unwrap();
    }

    /// Appends the changes, or writes a base if there is no file to which they can be appended.
    pub(super) fn write(&mut self, file: &mut SnapshotFile, number: u64) -> Written {
        let changes = std::mem::take(&mut self.changes);
        let (cursor, equal_at, map) = (&cursor(number), time(number), self.writer.map());
        file.write(NextFile { cursor, equal_at, map, changes: Some(&changes) }).unwrap()
    }

    pub(super) fn write_base(&mut self, file: &mut SnapshotFile, number: u64) {
        self.changes = Changes::default();
        let next = NextFile { cursor: &cursor(number), equal_at: time(number), map: self.writer.map(), changes: None };
        assert!(matches!(file.write(next).unwrap(), Written::Base(_)));
    }

    pub(super) fn links(&self) -> Links {
        links_in(self.writer.map())
    }
}

fn links_in(map: &LinkMap) -> Links {
    let mut links = Links::new();
    map.for_each(|link| {
        assert_eq!(link.owner_id.get(), 7);
        links.insert(link.code.to_owned(), (link.original_url().to_owned(), link.url_id.get(), link.active));
        Ok::<_, Infallible>(())
    })
    .unwrap();
    assert_eq!(links.len(), map.len());
    links
}

pub(super) fn links_of(stored: FileContents) -> Links {
    let (map, mut writer) = LinkMap::new();
    stored.restore(&mut writer);
    links_in(&map)
}

fn parse_bytes(bytes: &[u8]) -> Result<FileContents, FileError> {
    parse(bytes).map(|(contents, _)| contents)
}

pub(super) fn new_file(directory: &Path) -> SnapshotFile {
    SnapshotFile::new(directory.join("deep/links.snapshot"))
}

/// Returns the bytes of a file without a tail.
fn base_of(count: i64) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    Origin::new(&links(count)).write_base(&mut file, FIRST);
    fs::read(file.path()).unwrap()
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

#[test]
fn base_is_read_and_replaced_by_a_later_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    assert!(file.read().unwrap().is_none());
    for count in [50_000, 0, 3] {
        Origin::new(&links(count)).write_base(&mut file, FIRST);
        let stored = file.read().unwrap().unwrap();
        assert_eq!((&stored.cursor, stored.equal_at, stored.rejected), (&cursor(FIRST), time(FIRST), 0));
        assert!(stored.can_grow);
        assert_eq!(links_of(stored), links(count));
        assert!(!file.path().with_extension("partial").exists());
    }
}

#[test]
fn file_of_another_build_shows_whether_fields_are_missing_and_is_not_appended_to() {
    let whole = base_of(20);
    let (known, header) = (FIELDS.join(","), MAGIC.len() + 16 + cursor(FIRST).to_string().len());
    let check = |fields: &str, has_all_fields: bool, can_grow: bool| {
        let mut bytes = whole[..header].to_vec();
        bytes[12..16].copy_from_slice(&u32::try_from(fields.len()).unwrap().to_le_bytes());
        bytes.extend(fields.as_bytes());
        bytes.extend(&whole[header + known.len()..whole.len() - 4]);
        let stored = parse_bytes(&with_checksum(bytes)).unwrap();
        let found = (stored.has_all_fields, stored.can_grow, stored.links.len());
        assert_eq!(found, (has_all_fields, can_grow, 20), "{fields}");
    };
    check(&known, true, true);
    check(&format!("{known},sheen"), true, false);
    check(&known.replace(",is_active", ""), false, false);
    check("", false, false);
}

#[test]
fn file_of_the_version_without_a_tail_is_read_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = base_of(20);
    bytes.truncate(bytes.len() - 4);
    bytes[..MAGIC.len()].copy_from_slice(MAGIC_WITHOUT_TAIL);
    let bytes = with_checksum(bytes);
    assert!(matches!(parse_bytes(&[&bytes[..], b"x"].concat()), Err(FileError::Damaged)));
    let mut file = new_file(directory.path());
    fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    fs::write(file.path(), bytes).unwrap();
    let stored = file.read().unwrap().unwrap();
    assert!(stored.has_all_fields && !stored.can_grow);
    assert_eq!(links_of(stored), links(20));
    let mut origin = Origin::new(&links(20));
    origin.put("code1", "https://example.com/", 1, true);
    assert!(matches!(origin.write(&mut file, 8), Written::Base(_)));
    assert_eq!(links_of(file.read().unwrap().unwrap()), origin.links());
}

#[test]
fn foreign_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("links.snapshot");
    for content in ["", "x", "a shopping list", "TERNMAP\u{1} of before", "TERNMAP\u{4} of a later version"] {
        fs::write(&path, content).unwrap();
        assert!(matches!(SnapshotFile::new(path.clone()).read(), Err(FileError::Foreign)), "{content:?}");
    }
    assert!(matches!(SnapshotFile::new(directory.path().into()).read(), Err(FileError::Io(_))));
}

#[test]
fn tail_of_a_tenth_of_the_base_leads_to_a_new_base() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    let mut origin = Origin::new(&links(150_000));
    origin.write_base(&mut file, FIRST);
    let base = fs::metadata(file.path()).unwrap().len();
    let (mut number, mut tail) = (FIRST, 0);
    loop {
        number += 1;
        for n in 0..1_000 {
            origin.put(&format!("code{n}"), &format!("https://example.com/{number}"), 1, true);
        }
        match origin.write(&mut file, number) {
            Written::Record(bytes) => tail += bytes,
            Written::Base(_) => break,
            Written::Nothing => panic!("no other process writes the file"),
        }
        assert_eq!(fs::metadata(file.path()).unwrap().len(), base + tail);
    }
    assert!(MIN_TAIL < tail && tail <= base / TAIL_SHARE && tail + 100_000 > base / TAIL_SHARE, "{tail} of {base}");
    assert_eq!(links_of(file.read().unwrap().unwrap()), origin.links());
}

#[test]
fn small_base_takes_a_tail_of_a_mebibyte() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    let mut origin = Origin::new(&links(1));
    origin.write_base(&mut file, FIRST);
    let target = format!("https://example.com/{}", "x".repeat(5_000));
    for number in 8..208 {
        origin.put("code1", &target, 1, true);
        assert!(matches!(origin.write(&mut file, number), Written::Record(_)));
    }
    assert_eq!(links_of(file.read().unwrap().unwrap()), origin.links());
    // The next process continues.
    origin.remove("code1");
    assert!(matches!(origin.write(&mut file, 208), Written::Record(_)));
    assert_eq!(links_of(file.read().unwrap().unwrap()), Links::new());
}

#[test]
fn base_with_a_tail_is_old_after_a_day() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    let mut origin = Origin::new(&links(2));
    for (age, is_old) in [(23, false), (25, true)] {
        let equal_at = SystemTime::now() - Duration::from_secs(age * 60 * 60);
        let next = NextFile { cursor: &cursor(FIRST), equal_at, map: origin.writer.map(), changes: None };
        file.write(next).unwrap();
        file.read().unwrap().unwrap();
        assert!(!file.is_old(), "without a tail");
        origin.remove("code1");
        assert!(matches!(origin.write(&mut file, 8), Written::Record(_)));
        assert_eq!(file.is_old(), is_old, "after {age} h");
    }
}

#[test]
fn changes_beyond_the_limit_of_a_record_are_refused() {
    let (_, mut writer) = LinkMap::new();
    let mut changes = Changes::default();
    let row = LinkRow::plain("code1", "https://example.com/");
    while changes.put(writer.put(&row).unwrap()).is_ok() {}
    assert!((8 << 20) - 100 < changes.len() && changes.len() <= 8 << 20);
    assert_eq!(changes.remove(&"x".repeat(64)), Err(TooManyChanges));
    // The largest record is read.
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    let base = [base_of(3), tail::encode(&cursor(8), micros(time(8)), &changes).unwrap()].concat();
    fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    fs::write(file.path(), base).unwrap();
    assert_eq!(file.read().unwrap().unwrap().cursor, cursor(8));
}

#[test]
fn file_that_another_process_writes_is_left_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let [mut own, mut other] = [new_file(directory.path()), new_file(directory.path())];
    let mut origin = Origin::new(&links(20));
    origin.write_base(&mut own, FIRST);
    other.read().unwrap().unwrap();
    origin.put("code1", "https://example.com/", 1, true);
    // No other process has written since the file was read; then this one has.
    let mut successor = Origin::new(&origin.links());
    successor.put("code2", "https://example.com/2", 2, true);
    successor.write_base(&mut other, 9);
    assert_eq!(origin.write(&mut own, 8), Written::Nothing);
    successor.remove("code3");
    assert!(matches!(successor.write(&mut other, 10), Written::Record(_)));
    assert_eq!(origin.write(&mut own, 11), Written::Nothing);
    assert_eq!(links_of(own.read().unwrap().unwrap()), successor.links());
    // The other process has ended.
    let before = SystemTime::now() - FOREIGN_FOR;
    successor.put("code4", "https://example.com/4", 4, true);
    successor.write(&mut other, 12);
    File::options().append(true).open(own.path()).unwrap().set_modified(before).unwrap();
    origin.put("code5", "https://example.com/5", 5, true);
    assert!(matches!(origin.write(&mut own, 13), Written::Base(_)));
    assert_eq!(links_of(own.read().unwrap().unwrap()), origin.links());
}

#[test]
fn removed_file_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    let mut origin = Origin::new(&links(20));
    origin.write_base(&mut file, FIRST);
    fs::remove_file(file.path()).unwrap();
    origin.remove("code1");
    assert!(matches!(origin.write(&mut file, 8), Written::Base(_)));
    assert_eq!(links_of(file.read().unwrap().unwrap()), origin.links());
}

#[test]
fn failed_write_leaves_the_file_and_is_followed_by_a_new_base() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = new_file(directory.path());
    let mut origin = Origin::new(&links(20));
    origin.write_base(&mut file, FIRST);
    let before = fs::read(file.path()).unwrap();
    // A directory in place of the new base.
    let partial = file.path().with_extension("partial");
    fs::create_dir(&partial).unwrap();
    let next = NextFile { cursor: &cursor(8), equal_at: time(8), map: origin.writer.map(), changes: None };
    file.write(next).unwrap_err();
    assert_eq!(fs::read(file.path()).unwrap(), before);
    fs::remove_dir(&partial).unwrap();
    origin.put("code1", "https://example.com/", 1, true);
    assert!(matches!(origin.write(&mut file, 9), Written::Base(_)));
    assert_eq!(links_of(file.read().unwrap().unwrap()), origin.links());
}

#[test]
fn record_that_cannot_be_read_counts_as_damaged_and_its_error_is_returned() {
    struct FailingDisk;

    impl Read for FailingDisk {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }

    let tail = tail::parse(&mut Input::new(FailingDisk));
    assert_eq!(tail.end, TailEnd::Damaged);
    assert_eq!(tail.error.unwrap().to_string(), "bad sector");
}

proptest! {
    #[test]
    fn damaged_base_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u32, cut in any::<bool>()) {
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| base_of(20));
        let mut bytes = WHOLE.to_vec();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        prop_assert!(parse(&*bytes).is_err());
    }

    #[test]
    fn any_content_with_a_right_checksum_is_read_or_refused(
        content in prop::collection::vec(any::<u8>(), 0..200),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = with_checksum([&MAGIC[..], &content].concat());
        let _ = parse(&*bytes);
        let len = u32::try_from(body.len()).unwrap().to_le_bytes();
        let record = [&len[..], &crc32c::crc32c(&body).to_le_bytes(), &body].concat();
        let stored = parse_bytes(&[base_of(2), record].concat()).unwrap();
        prop_assert_eq!(stored.cursor, cursor(FIRST));
    }
}
