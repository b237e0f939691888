//! Measures how many rows a second are read on one core: `cargo bench -p tern-import -- 1000000`.
//!
//! The argument is the number of rows of each file. The files are in memory.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::io::Cursor;
use std::time::Instant;

use tern_import::{Options, Row, read};

fn csv(rows: usize) -> String {
    let row = |n: usize| {
        format!(
            "https://bit.ly/{n:x},,2026-03-02T09:15:00Z,\"Title, number {n}\",https://www.example.com/page/{n}?utm_source=bitly,\"{},204\",Active\n",
            n % 900 + 1
        )
    };
    let header = "Link,Custom Link,Date created,Title,Destination URL,Engagements,Status\n";
    header.to_owned() + &(0..rows).map(row).collect::<String>()
}

fn slashes(rows: usize) -> String {
    let row = |n: usize| format!("https://www.example.com/page/{n},c{n},{}/02/2026 9:15,a|b\n", n % 28 + 1);
    "URL,Slug,Created,Tags\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

fn lines(rows: usize) -> String {
    let row = |n: usize| {
        format!(
            "{{\"id\":{n},\"user_id\":1,\"short_code\":\"c{n}\",\"original_url\":\"https://www.example.com/page/{n}\",\"title\":\"Title {n}\",\
             \"is_active\":true,\"created_at\":\"2026-03-02T09:15:00\",\"tags\":[\"a\",\"b\"],\"clicks\":{n}}}\n"
        )
    };
    (0..rows).map(row).collect()
}

fn dump(rows: usize) -> String {
    let row = |n: usize| {
        format!("('c{n}','https://www.example.com/page/{n}','It\\'s title {n}','2019-06-01 08:00:00','192.0.2.1',{n})")
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let statements = rows.chunks(5000).map(|rows| format!("INSERT INTO `yourls_url` VALUES {};\n", rows.join(",")));
    "CREATE TABLE `yourls_url` (`keyword` varchar(100), `url` text, `title` text, `timestamp` timestamp, `ip` varchar(41), `clicks` int);\n"
        .to_owned()
        + &statements.collect::<String>()
}

fn measure(name: &str, text: String, rows: usize) {
    let bytes = text.len();
    let begin = Instant::now();
    let import = read(Cursor::new(text), None, &Options::default()).unwrap();
    let links = import.rows.filter(|row| matches!(row, Ok(Row::Link(_)))).count();
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(links, rows);
    println!("{name}: {:.0} rows/s, {:.0} MB/s", rows as f64 / seconds, bytes as f64 / seconds / 1e6);
}

fn main() {
    let rows = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    measure("CSV of Bitly", csv(rows), rows);
    measure("spreadsheet with slashes, read twice", slashes(rows), rows);
    measure("NDJSON of Tern", lines(rows), rows);
    measure("dump of YOURLS, read twice", dump(rows), rows);
}
