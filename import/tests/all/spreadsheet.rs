//! Spreadsheets.

use tern_import::{DateOrder, Options, Row, Source};

use crate::reading::{at, codes, dropped, error, invalid, links, links_with, rows, rows_with};

fn options(map: &str) -> Options {
    Options { columns: map.parse().unwrap(), ..Options::default() }
}

#[test]
fn sheet_of_a_german_excel_is_read() {
    let text = "\u{feff}URL;Slug;Title;Tags;Created;Active;Clicks;Paid\r\n\
        \u{feff}https://example.com/gr%C3%BCn;gruen;Grün;farbe|test;02.03.2026 09:15;WAHR;1.204;2\r\n\
        ;;;;;;;\r\n\
        https://example.com/b;;'=SUM(1);\"eins, zwei\";;FALSCH;;0\r\n";
    let links = links(text, Source::Csv);
    assert_eq!(codes(&links), ["gruen", "(new)"]);
    assert_eq!((links[0].title.as_deref(), links[0].target.as_str()), (Some("Grün"), "https://example.com/gr%C3%BCn"));
    assert_eq!((links[0].created_at, links[0].clicks), (at("2026-03-02T09:15:00Z"), 1204));
    assert_eq!((links[0].row, links[1].row), (2, 4));
    assert_eq!((links[1].title.as_deref(), links[1].is_active), (Some("=SUM(1)"), false));
    assert_eq!(links[1].tags, ["eins", "zwei"]);
    assert_eq!((dropped(&links[0]), dropped(&links[1])), (vec!["Paid"], vec![]));
}

#[test]
fn mapped_columns_take_the_place_of_usual_ones() {
    let text = "Where,Name it,URL,Slug\nhttps://example.com/a,one,https://example.com/other,x\n";
    let links = links_with(text, Source::Csv, &options("target=Where, code=name it"));
    assert_eq!((codes(&links), links[0].target.as_str()), (vec!["one"], "https://example.com/a"));
    assert_eq!(dropped(&links[0]), ["URL", "Slug"]);
    let missing = error(text, None, &options("target=Wohin"));
    assert_eq!(missing, "the file has no column Wohin; its columns are Where, Name it, URL, Slug");
}

#[test]
fn map_of_columns_is_checked() {
    let check = |text: &str, expected: &str| {
        assert_eq!(text.parse::<tern_import::ColumnMap>().unwrap_err().to_string(), expected, "{text}");
    };
    check("code", "\"code\" must be a field and its column, such as code=Slug");
    check("code=", "\"code=\" must be a field and its column, such as code=Slug");
    check("code=A,code=B", "code has two columns");
    assert!("kode=A".parse::<tern_import::ColumnMap>().unwrap_err().to_string().starts_with("\"kode\" is no field"));
}

#[test]
fn repeated_columns_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(error(text, None, &Options::default()), expected, "{text}");
    check("URL,Slug,URL\n", "the file has the column URL twice, in places 1 and 3 of its header");
    check("URL,Slug,url\n", "the file has two columns of one name, URL and url: rename or remove one");
    check(
        "URL,Slug,Target\n",
        "the file has two columns of one meaning, URL and Target: map the right one, such as target=URL",
    );
}

#[test]
fn sheet_is_never_recognised_by_one_column() {
    let message = error("URL,Colour\nhttps://example.com/,red\n", None, &Options::default());
    assert_eq!(
        message,
        "the file is of no known service: it has the columns URL, Colour. Name the service, or map the columns, such as \
         code=Slug,target=URL"
    );
    let rows =
        tern_import::read(std::io::Cursor::new("URL\nhttps://example.com/\n"), Some(Source::Csv), &Options::default());
    assert_eq!(rows.unwrap().rows.count(), 1);
}

#[test]
fn sheet_without_targets_or_domains_is_refused_where_they_are_needed() {
    let message = error("Slug,Title\na,b\n", Some(Source::Csv), &Options::default());
    assert_eq!(message, "the file has no column of targets: map one, such as target=URL; its columns are Slug, Title");
    let domain = Options { domain: Some("go.example.com".to_owned()), ..Options::default() };
    let message = error("URL,Slug\nhttps://example.com/,b\n", None, &domain);
    assert_eq!(message, "the file has no column of domains, so no domain can be chosen: leave the domain out");
}

#[test]
fn slashes_are_decided_by_a_later_date_of_the_column() {
    let text = "URL,Slug,Created,Expires\nhttps://example.com/a,a,03/02/2026,\nhttps://example.com/b,b,14/02/2026,12/31/2027\n\
        https://example.com/c,c,04/02/2026 1:05 PM,01/02/2028\n";
    let links = links(text, Source::Csv);
    let created: Vec<_> = links.iter().map(|link| link.created_at).collect();
    assert_eq!(created, [at("2026-02-03T00:00:00Z"), at("2026-02-14T00:00:00Z"), at("2026-02-04T13:05:00Z")]);
    let expires: Vec<_> = links.iter().map(|link| link.expires_at).collect();
    assert_eq!(expires, [None, at("2027-12-31T00:00:00Z"), at("2028-01-02T00:00:00Z")]);
}

#[test]
fn slashes_that_no_date_decides_are_an_error_that_asks() {
    let text = "URL,Slug,Created\nhttps://example.com/a,a,2026-01-01\nhttps://example.com/b,b,03/02/2026\n";
    assert_eq!(
        error(text, None, &Options::default()),
        "line 3: \"03/02/2026\" in the column Created may begin with the day or the month, and no date of the column decides \
         it: choose day-first or month-first, or write the dates as 2026-03-31"
    );
    let options = Options { date_order: Some(DateOrder::MonthFirst), ..Options::default() };
    assert_eq!(links_with(text, Source::Csv, &options)[1].created_at, at("2026-03-02T00:00:00Z"));
}

#[test]
fn slashes_in_both_orders_are_an_error_with_both_lines() {
    let text = "URL,Slug,Created\nhttps://example.com/a,a,13/02/2026\nhttps://example.com/b,b,02/13/2026\n";
    let message = error(text, None, &Options::default());
    assert!(message.contains("with the day in line 2 and with the month in line 3"), "{message}");
}

#[test]
fn survey_of_a_long_file_returns_to_the_row_that_asked() {
    let mut text = "URL,Slug,Created\n".to_owned();
    for row in 0..20_000 {
        text += &format!("https://example.com/{row},c{row},{}/02/2026\n", row % 28 + 1);
    }
    let links = links(text, Source::Csv);
    assert_eq!(links.len(), 20_000);
    assert!(links.iter().enumerate().all(|(at, link)| link.short_code == Some(format!("c{at}"))));
    assert_eq!(links[1].created_at, at("2026-02-02T00:00:00Z"));
}

#[test]
fn unreadable_end_or_switch_makes_a_row_invalid() {
    let text = "URL,Slug,Expires,Active\nhttps://example.com/a,a,soon,\nhttps://example.com/b,b,,perhaps\n";
    let rows = rows(text, Source::Csv);
    let soon = "the time \"soon\" cannot be read, and without it the link would redirect at wrong times";
    assert_eq!(rows[0], invalid(2, Some("a"), soon));
    assert_eq!(rows[1], invalid(3, Some("b"), "is_active must be true or false, and is \"perhaps\""));
}

#[test]
fn row_of_another_length_is_invalid_and_later_rows_are_read() {
    let rows = rows("URL,Slug,Title\nhttps://example.com/a,a\nhttps://example.com/b,b,B\n", Source::Csv);
    assert_eq!(rows[0], invalid(2, None, "the row has 2 fields and not 3"));
    assert!(matches!(&rows[1], Row::Link(link) if link.short_code.as_deref() == Some("b")));
}

#[test]
fn unclosed_quote_is_an_error_with_its_line_after_the_rows_before_it() {
    let text = "URL,Slug\nhttps://example.com/a,a\n\"https://example.com/b,b\nhttps://example.com/c,c\n";
    let import = crate::reading::open(text, None, &Options::default()).unwrap();
    let rows: Vec<_> = import.rows.collect();
    assert!(rows[0].is_ok() && rows.len() == 2, "{rows:?}");
    assert_eq!(rows[1].as_ref().unwrap_err().to_string(), "line 3: the quote opened in line 3 is never closed");
}

#[test]
fn separators_and_line_ends_of_every_system_are_read() {
    for (separator, end) in [(",", "\n"), (";", "\r\n"), ("\t", "\r"), (",", "\r\n")] {
        let text =
            ["URL,Slug", "https://example.com/a,a", "", "https://example.com/b,b"].join(end).replace(',', separator);
        assert_eq!(codes(&links(text, Source::Csv)), ["a", "b"], "{separator:?} {end:?}");
    }
}

#[test]
fn given_time_zone_is_that_of_local_dates() {
    let timezone = Some(jiff::tz::TimeZone::get("America/New_York").unwrap());
    let options = Options { timezone, ..Options::default() };
    let rows = rows_with("URL,Slug,Created\nhttps://example.com/a,a,2026-07-01 00:00\n", Source::Csv, &options);
    assert!(matches!(&rows[0], Row::Link(link) if link.created_at == at("2026-07-01T04:00:00Z")), "{rows:?}");
}
