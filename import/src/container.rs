//! The encoding of a file, by its first bytes.

use crate::error::FileError;

/// The encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Csv,
    Json,
}

/// The first bytes of files that have to be changed before, and what to do.
const OTHERS: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "is compressed with gzip: unpack it with gunzip"),
    (b"PK\x03\x04", "is an archive or a workbook: unpack it, or save the sheet as \"CSV UTF-8\""),
    (b"BZh", "is compressed with bzip2: unpack it with bunzip2"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it with unzstd"),
    (b"\xd0\xcf\x11\xe0", "is an old workbook: save the sheet as \"CSV UTF-8\""),
];

/// Finds the encoding of a file by its beginning.
pub(crate) fn of(head: &[u8]) -> Result<Container, FileError> {
    if let Some((_, advice)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(FileError::of_file(*advice));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') => Ok(Container::Json),
        Some(b'<') => Err(FileError::of_file("is a web page or XML, and not an export: download it again")),
        _ => Ok(Container::Csv),
    }
}
