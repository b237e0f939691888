//! Files that no service wrote: each is refused, or read, within its bounds and without a panic.

use tern_import::{Options, Row, Source};

use crate::reading::{error, invalid, rows};

#[test]
fn file_that_is_no_export_is_refused_with_advice() {
    let check = |bytes: &[u8], advice: &str| {
        let message = error(bytes, None, &Options::default());
        assert!(message.contains(advice), "{bytes:?}: {message}");
    };
    check(b"", "is empty");
    check(b"\n\n", "is empty");
    check(b"\x1f\x8b\x08\0", "gunzip");
    check(b"PK\x03\x04\x14\0", "unpack it");
    check(b"\xff\xfea\0,\0", "iconv");
    check(b"<!doctype html><html>", "web page");
    check(b"\0\0\0\0\n", "CSV UTF-8");
    check(b"just words\n", "is of no known service: it has the columns just words");
    check(b"[]", "has no links");
    check(b"{\"message\":\"Unauthorized\"}", "is of no known service: it has the columns message");
    check(b"{\"links\":[{\"a\":1}", "is of no known service");
    check(b"[5]", "expected an object");
    check(b"\"URL", "is never closed");
}

#[test]
fn row_that_is_not_utf_8_is_invalid_and_later_rows_are_read() {
    let rows = rows(b"URL,Slug\nhttps://example.com/\xff,a\nhttps://example.com/b,b\n", Source::Csv);
    assert_eq!(rows[0], invalid(2, None, "the row is not UTF-8: save the file as \"CSV UTF-8\""));
    assert!(matches!(&rows[1], Row::Link(_)));
}

#[test]
fn json_that_is_not_utf_8_or_broken_within_an_object_is_an_error_with_its_place() {
    let good = "{\"address\":\"a\",\"target\":\"https://example.com/\",\"banned\":false}\n";
    let place = format!("line 2, byte {}: the object that begins here is no JSON in UTF-8", good.len());
    for bad in [
        &b"{\"address\":\"\xff\"}"[..],
        b"{\"address\":01}",
        b"{\"address\":\"\x01\"}",
        b"{\"a\":1,}",
        b"{\"a\":\"\\x\"}",
    ] {
        let message = error([good.as_bytes(), bad].concat(), None, &Options::default());
        assert!(message.starts_with(&place), "{message}");
    }
}

#[test]
fn huge_field_is_an_error_within_bounded_memory() {
    let text = format!("URL,Slug\nhttps://example.com/a,a\n{}\n", "x".repeat(8 * 1024 * 1024));
    assert!(error(text, None, &Options::default()).contains("the row has over 2 MiB"));
    let text = format!("{{\"address\":\"a\",\"target\":\"b\",\"banned\":\"{}\"}}", "x".repeat(8 * 1024 * 1024));
    assert!(error(text, None, &Options::default()).contains("an object has over 1 MiB"));
}

#[test]
fn nul_bytes_in_a_row_are_left_to_the_rules_of_fields() {
    let rows = rows("URL,Slug,Title\nhttps://example.com/a,a\0b,c\0\n", Source::Csv);
    assert!(matches!(&rows[0], Row::Link(link) if link.title.as_deref() == Some("c\0")), "{rows:?}");
}
