//! The conversion of rows of CSV files into typed rows, with a reason for each row that is not valid.

use std::fmt;

use tern_common::event::{Details, EventRow, EventType};
use tern_common::link_labels::{ExternalId, LinkLabels, Notes, Tag, Tags};
use tern_common::product::{Price, ProductRow};
use tern_common::routing::{Rules, Split};
use tern_common::short_text::MAX_TEXT_LEN;
use tern_common::url::{Title, UrlRow};
use tern_common::user::{Email, UserRow, Username};
use tern_common::{ClickLimit, Id, LinkOptions, OwnAddresses, RedirectStatus, ShortCode, TargetUrl, Timestamp};
use tern_import::csv_file::CsvRow;

/// The columns that a file of users must have.
pub(crate) const USER_COLUMNS: &[&str] = &["username", "email"];
pub(crate) const URL_COLUMNS: &[&str] = &["short_code", "user_id", "original_url"];
pub(crate) const EVENT_COLUMNS: &[&str] = &["event_type", "url_id", "user_id"];
pub(crate) const PRODUCT_COLUMNS: &[&str] = &["name", "category", "price", "stock"];

type Result<T> = std::result::Result<T, String>;

pub(crate) fn user_row(row: CsvRow<'_>) -> Result<UserRow> {
    Ok(UserRow {
        id: own_id(row)?,
        username: parse(row, "username", Username::parse)?,
        email: parse(row, "email", Email::parse)?,
        created_at: time(row, "created_at")?,
    })
}

pub(crate) fn url_row(row: CsvRow<'_>, own: &OwnAddresses) -> Result<UrlRow> {
    Ok(UrlRow {
        id: own_id(row)?,
        user_id: foreign_id(row, "user_id")?,
        short_code: parse(row, "short_code", ShortCode::parse)?,
        original_url: target(row.field("original_url"), "original_url", own)?.ok_or("original_url is missing")?,
        // A CSV file has no null, so a blank title is none.
        title: row.given("title").map(Title::parse).transpose().map_err(reason)?,
        is_active: row.field("is_active").map_or(Ok(true), |text| flag(text, "is_active"))?,
        options: link_options(row, own)?,
        labels: link_labels(row)?,
        revision: row.given("revision").map(revision).transpose()?,
        imported_clicks: row
            .given("imported_clicks")
            .map_or(Ok(0), |text| whole_number(text.trim(), "imported_clicks"))?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// Reads the optional served fields. A file may hold links that have ended.
fn link_options(row: CsvRow<'_>, own: &OwnAddresses) -> Result<LinkOptions> {
    let (rules, split) = routing(row, own)?;
    let options = LinkOptions {
        starts_at: time(row, "starts_at")?,
        expires_at: time(row, "expires_at")?,
        expired_url: expired_url(row.given("expired_url"), own)?,
        redirect_status: row.given("redirect_status").map(RedirectStatus::parse).transpose().map_err(reason)?,
        forward_query: row.given("forward_query").map(|text| flag(text, "forward_query")).transpose()?,
        max_clicks: row.given("max_clicks").map(ClickLimit::parse).transpose().map_err(reason)?,
        rules,
        split,
    };
    options.check().map_err(reason)?;
    Ok(options)
}

/// Reads the rules and the split, which a file has as JSON.
fn routing(row: CsvRow<'_>, own: &OwnAddresses) -> Result<(Rules, Split)> {
    let rules = Rules::parse(row.field("rules").unwrap_or_default()).map_err(reason)?;
    let split = Split::parse(row.field("split").unwrap_or_default()).map_err(reason)?;
    for (field, target) in rules.targets().chain(split.targets()) {
        own.parse_target(target).map_err(|error| format!("{field} {error}"))?;
    }
    Ok((rules, split))
}

/// Reads the labels. A file has the tags in one field, separated by `|`.
fn link_labels(row: CsvRow<'_>) -> Result<LinkLabels> {
    let present = |column| row.field(column).filter(|text| !text.is_empty());
    let tags =
        row.given("tags").map(|tags| tags.split('|').map(Tag::parse).collect::<std::result::Result<Vec<_>, _>>());
    Ok(LinkLabels {
        tags: Tags::new(tags.transpose().map_err(reason)?.unwrap_or_default()).map_err(reason)?,
        notes: present("notes").map(Notes::parse).transpose().map_err(reason)?,
        external_id: present("external_id").map(ExternalId::parse).transpose().map_err(reason)?,
    })
}

fn revision(text: &str) -> Result<i64> {
    let revision = text.trim().parse().ok().filter(|&revision| revision > 0);
    revision.ok_or_else(|| "revision must be a positive integer".to_owned())
}

fn target(text: Option<&str>, column: &str, own: &OwnAddresses) -> Result<Option<TargetUrl>> {
    text.map(|text| own.parse_target(text)).transpose().map_err(|error| format!("{column} {error}"))
}

fn expired_url(text: Option<&str>, own: &OwnAddresses) -> Result<Option<TargetUrl>> {
    text.map(|text| own.parse_expired_url(text)).transpose().map_err(|error| format!("expired_url {error}"))
}

pub(crate) fn event_row(row: CsvRow<'_>) -> Result<EventRow> {
    Ok(EventRow {
        id: own_id(row)?,
        url_id: foreign_id(row, "url_id")?,
        user_id: foreign_id(row, "user_id")?,
        event_type: parse(row, "event_type", EventType::parse)?,
        timestamp: time(row, "timestamp")?,
        details: details(row)?,
    })
}

pub(crate) fn product_row(row: CsvRow<'_>) -> Result<ProductRow> {
    Ok(ProductRow {
        id: own_id(row)?,
        name: short_text(row, "name")?,
        category: short_text(row, "category")?,
        price: parse(row, "price", Price::parse)?,
        stock: whole_number(required(row, "stock")?, "stock")?,
    })
}

fn parse<T, E: fmt::Display>(
    row: CsvRow<'_>,
    column: &str,
    parse: impl FnOnce(&str) -> std::result::Result<T, E>,
) -> Result<T> {
    parse(required(row, column)?).map_err(reason)
}

fn required<'a>(row: CsvRow<'a>, column: &str) -> Result<&'a str> {
    row.field(column).ok_or_else(|| format!("{column} is missing"))
}

/// Reads an id of at most [`Id::MAX_GIVEN`], above which the sequence of ids could not continue.
fn id(text: &str, column: &str) -> Result<Id> {
    let id = Id::parse(text).filter(|&id| id <= Id::MAX_GIVEN);
    id.ok_or_else(|| format!("{column} must be a positive integer of at most {}", Id::MAX_GIVEN))
}

fn own_id(row: CsvRow<'_>) -> Result<Option<Id>> {
    row.given("id").map(|text| id(text, "id")).transpose()
}

fn foreign_id(row: CsvRow<'_>, column: &str) -> Result<Id> {
    id(required(row, column)?, column)
}

fn time(row: CsvRow<'_>, column: &str) -> Result<Option<Timestamp>> {
    let time = row.given(column).map(|text| Timestamp::parse_any_zone(text.trim())).transpose();
    time.map_err(|error| format!("{column} is not a time: {error}, and may have a fraction and a zone (Z, +02:00)"))
}

fn details(row: CsvRow<'_>) -> Result<Details> {
    Details::parse(row.field("details").unwrap_or_default()).map_err(reason)
}

fn whole_number(text: &str, column: &str) -> Result<i64> {
    let number = text.parse().ok().filter(|&number| number >= 0);
    number.ok_or_else(|| format!("{column} must be a whole number, not negative"))
}

/// Reads a truth value in the words of PostgreSQL, in any case. Spreadsheets write `TRUE`, and COPY writes `t`.
fn flag(text: &str, column: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(format!("{column} must be true or false (or t, f, yes, no, 1, 0)")),
    }
}

fn short_text(row: CsvRow<'_>, column: &str) -> Result<String> {
    let text = required(row, column)?;
    if text.trim().is_empty() || text.chars().count() > MAX_TEXT_LEN || text.contains('\0') {
        return Err(format!("{column} must have 1 to {MAX_TEXT_LEN} characters, none of them U+0000"));
    }
    Ok(text.to_owned())
}

fn reason(error: impl fmt::Display) -> String {
    error.to_string()
}
