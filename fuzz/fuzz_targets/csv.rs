//! CSV files: reading yields rows or an error, and written rows are read back unchanged.

#![no_main]

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use tern_admin::load::open;
use tern_common::OwnAddresses;
use tern_common::store::{Batches, Load};
use tokio::runtime::Runtime;

/// Headers before the input. The first is empty, so that the input has its own header.
const HEADERS: [&str; 5] = [
    "",
    "id,username,email,created_at\n",
    "id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n",
    "id,url_id,user_id,event_type,timestamp,details\n",
    "id,name,category,price,stock\n",
];

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));
}

/// Returns the debug form and the CSV form of all rows before the first invalid row.
fn rows<T: Debug>(mut batches: Batches<T>, cells: impl Fn(&T) -> Vec<String>) -> (Vec<String>, String) {
    let (mut seen, mut written, mut line) = (Vec::new(), String::new(), 1);
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            while let Some(Ok(batch)) = batches.recv().await {
                for numbered in batch {
                    assert!(numbered.line > line, "{} after {line}", numbered.line);
                    line = numbered.line;
                    let quoted =
                        cells(&numbered.row).into_iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
                    let _ = writeln!(written, "{}", quoted.collect::<Vec<_>>().join(","));
                    seen.push(format!("{:?}", numbered.row));
                }
            }
        });
    });
    (seen, written)
}

fn cell(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Reads a file. Returns the debug form of its rows, and a CSV file with the same rows.
fn read(path: &Path) -> Option<(Vec<String>, String)> {
    let file = RUNTIME.with_borrow(|runtime| {
        let _guard = runtime.enter();
        open(path).ok().map(|file| file.into_load(&OwnAddresses::default()))
    })?;
    let (header, (seen, written)) = match file {
        Load::ImportedClicks(_) => unreachable!("no CSV file has clicks that another service counted"),
        Load::Users(rows_of) => (
            1,
            rows(rows_of, |row| {
                vec![
                    cell(row.id),
                    row.username.as_str().to_owned(),
                    row.email.as_str().to_owned(),
                    cell(row.created_at),
                ]
            }),
        ),
        Load::Urls(rows_of) => (
            2,
            rows(rows_of, |row| {
                vec![
                    cell(row.id),
                    row.user_id.to_string(),
                    row.short_code.as_str().to_owned(),
                    row.original_url.as_given().to_owned(),
                    row.title.as_ref().map(|title| title.as_str().to_owned()).unwrap_or_default(),
                    row.is_active.to_string(),
                    cell(row.created_at),
                    cell(row.updated_at),
                ]
            }),
        ),
        Load::Events(rows_of) => (
            3,
            rows(rows_of, |row| {
                vec![
                    cell(row.id),
                    row.url_id.to_string(),
                    row.user_id.to_string(),
                    row.event_type.as_str().to_owned(),
                    cell(row.timestamp),
                    row.details.to_string(),
                ]
            }),
        ),
        Load::Products(rows_of) => (
            4,
            rows(rows_of, |row| {
                vec![cell(row.id), row.name.clone(), row.category.clone(), row.price.to_string(), row.stock.to_string()]
            }),
        ),
    };
    Some((seen, format!("{}{written}", HEADERS[header])))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&header, rest)) = bytes.split_first() else { return };
    let path = PathBuf::from("/dev/shm").join(format!("tern-fuzz-{}.csv", std::process::id()));
    let header = HEADERS[usize::from(header) % HEADERS.len()];
    fs::write(&path, [header.as_bytes(), rest].concat()).expect("the file is written");
    let Some((seen, written)) = read(&path) else { return };
    fs::write(&path, &written).expect("the file is written");
    let (again, _) = read(&path).expect("a file that was written is opened");
    assert_eq!(again, seen, "{written}");
});
