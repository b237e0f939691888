//! Decision records: each has a status, a date and three parts, and the table in `README.md` lists it.

use std::fs;
use std::path::Path;

const PARTS: [&str; 3] = ["## Context", "## Decision", "## Consequences"];

/// Returns the rest of the first line that begins with `start`.
fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(start))
}

/// Returns the kind of a status without the record that it refers to.
fn kind(status: &str) -> Option<&'static str> {
    ["accepted", "superseded in part by", "superseded by"].into_iter().find(|kind| status.starts_with(kind))
}

fn is_date(text: &str) -> bool {
    let digits = |part: &str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

/// Lists the faults of one record and of its row in the table `index`.
fn faults(file: &str, record: &str, index: &str) -> Vec<String> {
    let mut found = Vec::new();
    let status = line(record, "Status: ").and_then(kind);
    let date = line(record, "Date: ").filter(|date| is_date(date));
    if line(record, "# ").is_none() {
        found.push(format!("{file}: the title is missing"));
    }
    if status.is_none() {
        found.push(format!("{file}: the line \"Status: \" is missing or names no known status"));
    }
    if date.is_none() {
        found.push(format!("{file}: the line \"Date: YYYY-MM-DD\" is missing"));
    }
    for part in PARTS {
        if !record.lines().any(|line| line == part) {
            found.push(format!("{file}: the part \"{part}\" is missing"));
        }
    }
    let (number, link) = (format!("| {} | ", &file[..4]), format!("]({file}) | "));
    let Some(row) = index.lines().find(|row| row.starts_with(&number) && row.contains(&link)) else {
        found.push(format!("{file}: README.md has no row for it"));
        return found;
    };
    let shown = row.split_once(&link).and_then(|(_, rest)| rest.strip_suffix(" |")?.rsplit_once(" | "));
    let is_right = shown.is_some_and(|(shown, day)| kind(shown) == status && Some(day) == date);
    if status.is_some() && date.is_some() && !is_right {
        found.push(format!("{file}: its row in README.md has another status or date"));
    }
    found
}

#[test]
fn decision_records_are_complete_and_listed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/decisions");
    let index = fs::read_to_string(directory.join("README.md")).unwrap();
    let files = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut records: Vec<String> = files.filter(|file| file != "README.md").collect();
    records.sort();
    assert!(records.len() > 50, "records are missing below {}", directory.display());
    let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
    let found: Vec<String> = records.iter().flat_map(|file| faults(file, &read(file), &index)).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn incomplete_decision_record_is_reported_with_its_faults() {
    let record = "# One\n\nStatus: accepted; adds to another\nDate: 2026-11-28\n\n## Context\n\n## Decision\n\n\
                  ## Consequences\n";
    let row = "| 0001 | [One](0001-one.md) | accepted | 2026-11-28 |";
    let check = |record: &str, row: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|fault| format!("0001-one.md: {fault}")).collect();
        assert_eq!(faults("0001-one.md", record, row), expected);
    };
    check(record, row, &[]);
    let part = record.replace("Status: accepted; adds to another", "Status: superseded in part by another");
    check(&part, row, &["its row in README.md has another status or date"]);
    check(&part, &row.replace("accepted", "superseded in part by [0002](0002-two.md)"), &[]);
    check(record, &row.replace("28", "27"), &["its row in README.md has another status or date"]);
    check(record, "", &["README.md has no row for it"]);
    check(
        "Status: open\nDate: today\n## Context\n## Consequences\n",
        row,
        &[
            "the title is missing",
            "the line \"Status: \" is missing or names no known status",
            "the line \"Date: YYYY-MM-DD\" is missing",
            "the part \"## Decision\" is missing",
        ],
    );
}
