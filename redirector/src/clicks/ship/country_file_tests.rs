use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use ipnet::IpNet;
use tern_common::{Id, Visitor};

use super::*;

#[path = "../../../tests/support/mmdb.rs"]
mod mmdb;

use self::mmdb::{file, iso, map, string};

/// Writes a file with a time of its own, since a file system may not distinguish two quick changes.
fn write(path: &Path, content: &[u8], second: u64) {
    fs::write(path, content).unwrap();
    let changed = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + second);
    fs::File::options().write(true).open(path).unwrap().set_modified(changed).unwrap();
}

fn reader(file: Option<PathBuf>) -> CountryFileReader {
    CountryFileReader::new(file, Arc::default())
}

fn country(reader: &CountryFileReader, network: &str) -> &'static str {
    reader.countries.country(network.parse::<IpNet>().unwrap().addr())
}

#[test]
fn country_is_found_in_each_form_of_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countries.mmdb");
    let content = file(&[
        ("203.0.113.0/24", map(&[("country", iso("FR")), ("registered_country", iso("GB"))])),
        ("198.51.100.0/24", map(&[("registered_country", iso("GB"))])),
        ("192.0.2.0/24", map(&[("country_code", string("at")), ("country", string("Austria"))])),
        ("2001:db8:1::/48", map(&[("country", string("JP"))])),
        ("2001:db8:2::/48", map(&[("country", string("Nowhere"))])),
    ]);
    write(&path, &content, 0);
    let mut countries = reader(Some(path));
    assert_eq!(country(&countries, "203.0.113.0/24"), UNKNOWN);
    countries.refresh();
    assert_eq!(country(&countries, "203.0.113.0/24"), "FR");
    assert_eq!(country(&countries, "198.51.100.0/24"), "GB");
    assert_eq!(country(&countries, "192.0.2.0/24"), "AT");
    assert_eq!(country(&countries, "2001:db8:1::/48"), "JP");
    assert_eq!(country(&countries, "2001:db8:2::/48"), UNKNOWN);
    assert_eq!(country(&countries, "2001:db8:3::/48"), UNKNOWN);
    assert_eq!(country(&countries, "8.8.8.0/24"), "US", "the table of the registries has what the file lacks");
}

#[test]
fn changed_file_is_read_again_and_a_damaged_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countries.mmdb");
    let mut countries = reader(Some(path.clone()));
    countries.refresh();
    assert!(countries.has_failed);
    let content = |code| file(&[("203.0.113.0/24", map(&[("country", iso(code))]))]);
    write(&path, &content("FR"), 0);
    countries.refresh();
    assert_eq!((country(&countries, "203.0.113.0/24"), countries.has_failed), ("FR", false));
    write(&path, &content("DE"), 1);
    countries.refresh();
    assert_eq!(country(&countries, "203.0.113.0/24"), "DE");
    write(&path, b"damaged", 2);
    countries.refresh();
    assert_eq!((country(&countries, "203.0.113.0/24"), countries.has_failed), ("DE", true));
    fs::remove_file(&path).unwrap();
    countries.refresh();
    assert_eq!(country(&countries, "203.0.113.0/24"), "DE");
}

#[test]
fn country_without_a_file_is_that_of_the_registries() {
    let countries = reader(None);
    assert_eq!(country(&countries, "8.8.8.0/24"), "US");
    assert_eq!(country(&countries, "2001:4860:4860::/48"), "US");
    assert_eq!(country(&countries, "10.0.0.0/24"), UNKNOWN);
}

#[test]
fn minimal_click_loses_its_network_and_gets_its_country() {
    let click = Click {
        url_id: Id::new(1).unwrap(),
        owner_id: Id::new(1).unwrap(),
        short_code: "CODE12".to_owned(),
        original_url: "https://example.com/".to_owned(),
        at: UNIX_EPOCH,
        client: Some("8.8.8.0/24".parse().unwrap()),
        user_agent: None,
        referrer: None,
        visitor: Visitor::UNKNOWN,
        source: None,
        choice: None,
        is_minimal: true,
        is_counted_only: false,
    };
    let complete = |click: &Click| {
        let mut click = click.clone();
        reader(None).complete(&mut click);
        (click.visitor.country, click.client)
    };
    assert_eq!(complete(&click), ("US", None));
    assert_eq!(complete(&Click { is_minimal: false, ..click.clone() }), ("US", click.client));
    let visitor = Visitor { country: "FR", ..Visitor::UNKNOWN };
    assert_eq!(complete(&Click { visitor, ..click }).0, "FR", "a proxy named the country");
}
