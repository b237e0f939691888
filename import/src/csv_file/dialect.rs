//! The dialect of a CSV file: the separator of fields and the end of lines, found by the header.

use std::io::Read;

/// The most bytes that are searched for the end of the header.
const MAX_HEADER_LEN: usize = 64 * 1024;

const UTF_16: &str = "is in UTF-16 (Excel calls it \"Unicode Text\") and not in UTF-8: \
                      save it as \"CSV UTF-8\", or convert it with iconv -f UTF-16 -t UTF-8";
const BINARY: &str = "is not a text: save the spreadsheet as \"CSV UTF-8\"";

/// The dialect of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) separator: u8,
    /// Whether lines end with CR alone, as old spreadsheets for the Mac write them.
    pub(crate) has_cr_lines: bool,
}

/// Reads `source` until its header has ended, and returns its dialect with all bytes that were read.
///
/// # Errors
/// When the file is no CSV in UTF-8. The message is the end of a sentence about the file.
pub(crate) fn read_head(source: &mut impl Read) -> Result<(Dialect, Vec<u8>), String> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = source.read(&mut piece).map_err(|error| format!("cannot be read: {error}"))?;
        head.extend_from_slice(&piece[..read]);
        let is_whole = read == 0 || head.len() >= MAX_HEADER_LEN;
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return Err(UTF_16.to_owned());
        }
        if let Some((dialect, header)) = find(&head, is_whole) {
            return if header.contains(&0) { Err(BINARY.to_owned()) } else { Ok((dialect, head)) };
        }
    }
}

/// Finds the first line that is not blank, and its dialect; `None` if more bytes are needed.
fn find(head: &[u8], is_whole: bool) -> Option<(Dialect, &[u8])> {
    let (mut begin, mut is_quoted, mut is_blank) = (0, false, true);
    let (mut has_comma, mut has_semicolon, mut has_tab) = (false, false, false);
    let separator = |has_comma, has_semicolon, has_tab| match (has_comma, has_semicolon, has_tab) {
        (false, true, _) => b';',
        (false, false, true) => b'\t',
        _ => b',',
    };
    for (at, &byte) in head.iter().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b',' => has_comma = true,
            b';' => has_semicolon = true,
            b'\t' => has_tab = true,
            b'\r' | b'\n' if is_blank => {
                begin = at + 1;
                (has_comma, has_semicolon, has_tab) = (false, false, false);
            }
            b'\r' | b'\n' => {
                let next = head.get(at + 1);
                if byte == b'\r' && next.is_none() && !is_whole {
                    return None;
                }
                let has_cr_lines = byte == b'\r' && next != Some(&b'\n');
                let separator = separator(has_comma, has_semicolon, has_tab);
                return Some((Dialect { separator, has_cr_lines }, &head[begin..at]));
            }
            _ => {}
        }
        is_blank &= matches!(byte, b',' | b';' | b'\t' | b'\r' | b'\n' | b' ' | 0xef | 0xbb | 0xbf);
    }
    let separator = separator(has_comma, has_semicolon, has_tab);
    is_whole.then_some((Dialect { separator, has_cr_lines: false }, &head[begin..]))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A source that returns one byte for each read.
    struct SlowSource<'a>(&'a [u8]);

    impl Read for SlowSource<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    #[test]
    fn dialect_is_found_by_the_header() {
        let check = |text: &[u8], separator: u8, has_cr_lines: bool| {
            let expected = Dialect { separator, has_cr_lines };
            assert_eq!(read_head(&mut &*text).unwrap(), (expected, text.to_vec()), "{text:?}");
            let (found, head) = read_head(&mut SlowSource(text)).unwrap();
            assert!(found == expected && text.starts_with(&head), "{text:?} byte by byte: {found:?}, {head:?}");
        };
        check(b"", b',', false);
        check(b"a,b\n1;2;3,4\n", b',', false);
        check(b"a;b\n1,2;3\n", b';', false);
        check(b"a\tb\r\n1\t2\r\n", b'\t', false);
        check(b"a;b\tc", b';', false);
        check(b"\"a;x\",b\n", b',', false);
        check(b"\xef\xbb\xbf\n;\na;b\n", b';', false);
        check(b"a,b\r1,2\r", b',', true);
        check(b"a;b\r", b';', true);
        check(b"a\n1,2\n", b',', false);
    }

    #[test]
    fn file_that_is_no_utf_8_is_refused_with_advice() {
        let check = |text: &[u8], advice: &str| {
            assert!(read_head(&mut &*text).unwrap_err().contains(advice), "{text:?}");
        };
        check(b"\xff\xfea\0,\0b\0\n\0", "iconv");
        check(b"\xfe\xff\0a\0,\0b\0\n", "iconv");
        check(b"a\0,\0b\0\n\0", "CSV UTF-8");
        check(b"PK\x03\x04\x14\0\0\0", "CSV UTF-8");
        check(&[0; 2 * MAX_HEADER_LEN], "CSV UTF-8");
    }
}
