//! Files of other services: any bytes are read to an end or refused, and links have a row and a target.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tern_import::{Options, Row, Source, read};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, file)) = bytes.split_first() else { return };
    // The numbers behind the sources recognise the file by itself.
    let from = Source::ALL.get(usize::from(first) % (2 * Source::ALL.len())).copied();
    let options = Options { with_clicks: true, ..Options::default() };
    let Ok(import) = read(Cursor::new(file.to_vec()), from, &options) else { return };
    let mut rows = 0;
    for row in import.rows {
        rows += 1;
        assert!(rows <= 4 * file.len(), "more rows than bytes");
        if let Ok(Row::Link(link)) = row {
            assert!(link.row > 0 && !link.target.is_empty(), "{link:?}");
        }
    }
});
