//! Files of YOURLS.

use tern_import::{Options, Source};

use crate::reading::{at, codes, dropped, links, links_with, open};

#[test]
fn file_of_the_plugin_has_codes_between_slashes() {
    let text = "source,target,hits\n/sale/,https://example.com/sale?a=1,4321\n/1/,https://example.com/,12\n\
        /list/,\"https://example.com/list?x=1,2\",\"\"\n";
    let links = links(text, Source::Yourls);
    assert_eq!(codes(&links), ["sale", "1", "list"]);
    assert_eq!(links.iter().map(|link| link.clicks).collect::<Vec<_>>(), [4321, 12, 0]);
    assert_eq!(links[2].target, "https://example.com/list?x=1,2");
}

#[test]
fn file_of_phpmyadmin_has_bare_nulls_and_local_times() {
    let text = "\"keyword\",\"url\",\"title\",\"timestamp\",\"ip\",\"clicks\"\n\
        \"sale\",\"https://example.com/sale\",\"A sale\",\"2021-12-24 23:59:59\",\"192.0.2.1\",\"4321\"\n\
        \"Sale\",\"https://example.com/other\",NULL,\"2022-07-01 00:00:00\",\"192.0.2.7\",\"0\"\n";
    let timezone = Some(jiff::tz::TimeZone::get("Europe/Berlin").unwrap());
    let links = links_with(text, Source::Yourls, &Options { timezone, ..Options::default() });
    assert_eq!(codes(&links), ["sale", "Sale"]);
    assert_eq!((links[0].title.as_deref(), links[0].created_at), (Some("A sale"), at("2021-12-24T22:59:59Z")));
    assert_eq!((links[1].title.as_deref(), links[1].created_at), (None, at("2022-06-30T22:00:00Z")));
    assert_eq!(dropped(&links[0]), ["ip"]);
}

#[test]
fn file_without_a_header_is_recognised_by_its_first_rows() {
    let text = "https://example.com/a,promo,\"Promo, page\"\nHTTPS://example.com/b,,\nhttps://example.com/c\n";
    let links = links(text, Source::Yourls);
    assert_eq!(codes(&links), ["promo", "(new)", "(new)"]);
    assert_eq!(links.iter().map(|link| link.row).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(links[0].title.as_deref(), Some("Promo, page"));
}

#[test]
fn file_whose_first_rows_have_more_cells_or_no_address_is_not_taken_for_one_without_a_header() {
    for text in ["https://example.com/a,b,c,d\n", "https://example.com/a\nexample.com/b\n"] {
        let error = open(text, None, &Options::default()).unwrap_err().to_string();
        assert!(error.contains("is of no known service"), "{error}");
    }
}
