//! The conversion of the cells of a row into links.

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use crate::address;
use crate::cells::{Cell, Cells};
use crate::count;
use crate::dates::{self, NoTime};
use crate::field::Field;
use crate::options::{DateOrder, Options};
use crate::row::{ImportedLink, Row};
use crate::rules;
use crate::shapes::shorten;
use crate::source::Source;
use crate::switch::{self, State};

/// The longest description that becomes a title, in characters.
const MAX_TITLE_LEN: usize = 255;

/// The tag of a link that the old service had archived, where it went on redirecting.
const ARCHIVED: &str = "archived";

/// The conversion of the rows of one file.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    source: Source,
    zone: TimeZone,
    domain: Option<String>,
    /// The order of day and month in the columns of [`Field::TIMES`].
    orders: [Option<DateOrder>; Field::TIMES.len()],
    /// Whether texts are taken with the white space around them.
    is_verbatim: bool,
}

/// A code and its host.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    code: Option<String>,
    domain: Option<String>,
}

impl Builder {
    pub(crate) fn new(source: Source, options: &Options) -> Builder {
        Builder {
            source,
            zone: options.timezone.clone().unwrap_or(TimeZone::UTC),
            domain: options.domain.as_deref().map(address::host),
            orders: [options.date_order; Field::TIMES.len()],
            is_verbatim: source == Source::Tern,
        }
    }

    /// Takes texts as they are, or without the white space around them.
    pub(crate) fn set_verbatim(&mut self, is_verbatim: bool) {
        self.is_verbatim = is_verbatim;
    }

    pub(crate) fn is_verbatim(&self) -> bool {
        self.is_verbatim
    }

    pub(crate) fn order(&mut self, time: usize) -> &mut Option<DateOrder> {
        &mut self.orders[time]
    }

    /// Appends the links of a row, or the reason why it makes none.
    pub(crate) fn build(&self, cells: &Cells<'_>, out: &mut VecDeque<Row>) {
        let row = cells.row;
        let mut names = match names(cells) {
            Ok(names) => names,
            Err(reason) => return out.push_back(Row::Skipped { row, short_code: None, reason }),
        };
        names.retain(|name| match self.other_domain(name) {
            Some(reason) => {
                out.push_back(Row::Skipped { row, short_code: name.code.clone(), reason });
                false
            }
            None => true,
        });
        let mut names = names.into_iter();
        let Some(first) = names.next() else { return };
        let mut link = match self.link(cells) {
            Ok(link) => link,
            Err(reason) => return out.push_back(Row::Invalid { row, short_code: first.code, reason }),
        };
        link.short_code = first.code;
        link.domain = first.domain;
        let others: Vec<Row> = names
            .map(|name| {
                let other = ImportedLink {
                    short_code: name.code,
                    domain: name.domain,
                    clicks: 0,
                    external_id: None,
                    ..link.clone()
                };
                Row::Link(Box::new(other))
            })
            .collect();
        out.push_back(Row::Link(Box::new(link)));
        out.extend(others);
    }

    /// Returns the reason to skip a link of another host than the chosen one.
    fn other_domain(&self, name: &Name) -> Option<String> {
        let wanted = self.domain.as_ref()?;
        match &name.domain {
            Some(domain) if domain == wanted => None,
            Some(domain) => Some(format!("is on {}, and only the links of {wanted} are imported", shorten(domain))),
            None => Some(format!("names no domain, and only the links of {wanted} are imported")),
        }
    }

    fn link(&self, cells: &Cells<'_>) -> Result<ImportedLink, String> {
        let target = cells.text(Field::Target).ok_or("has no target")?;
        let mut link = ImportedLink {
            row: cells.row,
            target: target.to_owned(),
            title: self.text(cells, Field::Title),
            notes: self.text(cells, Field::Notes),
            tags: self.tags(cells.cell(Field::Tags)),
            is_active: true,
            expired_url: self.text(cells, Field::ExpiredUrl),
            external_id: self.text(cells, Field::ExternalId),
            dropped: cells.dropped.clone(),
            ..ImportedLink::default()
        };
        if let Some(text) = cells.text(Field::Description) {
            describe(&mut link, text);
        }
        self.set_times(cells, &mut link)?;
        self.set_counts(cells, &mut link);
        if let Some(text) = cells.text(Field::RedirectStatus) {
            match text.parse() {
                Ok(status) => link.redirect_status = Some(status),
                Err(_) => link.remarks.push(format!("the status {:?} is no number and is left out", shorten(text))),
            }
        }
        link.forward_query = switch(cells, Field::ForwardQuery, "forward_query")?;
        link.rules = rules::of_row(cells, &mut link.remarks);
        link.split = cells.text(Field::Split).map(str::to_owned);
        self.set_state(cells, &mut link)?;
        Ok(link)
    }

    fn text(&self, cells: &Cells<'_>, field: Field) -> Option<String> {
        let text = if self.is_verbatim { cells.whole_text(field) } else { cells.text(field) };
        text.map(str::to_owned)
    }

    /// Splits tags by `|`, or by commas if there is none.
    fn tags(&self, cell: &Cell<'_>) -> Vec<String> {
        let separator = |text: &str| if self.is_verbatim || text.contains('|') { '|' } else { ',' };
        let tags: Vec<&str> = match cell {
            Cell::Absent => return Vec::new(),
            Cell::Text(text) => text.split(separator(text)).collect(),
            Cell::List(items) => items.iter().map(String::as_str).collect(),
        };
        tags.into_iter().map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
    }

    /// Sets the times. A start or an end that cannot be read makes the row invalid, because the link would redirect wrongly.
    fn set_times(&self, cells: &Cells<'_>, link: &mut ImportedLink) -> Result<(), String> {
        for (at, field) in Field::TIMES.into_iter().enumerate() {
            let Some(text) = cells.text(field) else { continue };
            let read = self.time(text, self.orders[at]);
            match (field, read) {
                (Field::CreatedAt, Ok(time)) => link.created_at = time,
                (Field::UpdatedAt, Ok(time)) => link.updated_at = time,
                (Field::StartsAt, Ok(time)) => link.starts_at = time,
                (_, Ok(time)) => link.expires_at = time,
                (Field::CreatedAt | Field::UpdatedAt, Err(reason)) => {
                    link.remarks.push(format!("{reason} and is left out"))
                }
                (_, Err(reason)) => {
                    return Err(format!("{reason}, and without it the link would redirect at wrong times"));
                }
            }
        }
        Ok(())
    }

    /// Reads a time that no column decides, or the reason why it cannot be read.
    pub(crate) fn moment(&self, text: &str) -> Result<Option<i64>, String> {
        self.time(text, self.orders[0])
    }

    fn time(&self, text: &str, order: Option<DateOrder>) -> Result<Option<i64>, String> {
        dates::parse(text, &self.zone, order).map_err(|error| {
            let shown = shorten(text);
            match error {
                NoTime::UnknownOrder => format!("the time {shown:?} may begin with the day or the month"),
                NoTime::Unreadable => format!("the time {shown:?} cannot be read"),
            }
        })
    }

    fn set_counts(&self, cells: &Cells<'_>, link: &mut ImportedLink) {
        let mut count = |field| {
            let text = cells.text(field)?;
            count::parse(text).unwrap_or_else(|()| {
                link.remarks.push(format!("the count {:?} cannot be read and is left out", shorten(text)));
                None
            })
        };
        let clicks = count(Field::Clicks);
        let imported = count(Field::ImportedClicks).unwrap_or(0);
        let people = count(Field::PeopleClicks).or(clicks).unwrap_or(0);
        let limit = count(Field::MaxClicks).filter(|&limit| limit > 0);
        link.clicks = clicks.or(count(Field::PeopleClicks)).unwrap_or(0).saturating_add(imported);
        link.clicks_left = count(Field::ClicksLeft).or(limit.map(|limit| limit.saturating_sub(people)));
    }

    /// Switches a link off that nobody could follow, with a note.
    fn set_state(&self, cells: &Cells<'_>, link: &mut ImportedLink) -> Result<(), String> {
        let source = self.source.name();
        let mut reasons = Vec::new();
        link.is_active = switch(cells, Field::IsActive, "is_active")?.unwrap_or(true);
        let mut is_archived = switch(cells, Field::Archived, "archived")?.unwrap_or(false);
        for (field, word) in [(Field::Banned, "banned"), (Field::Disabled, "disabled"), (Field::Deleted, "deleted")] {
            if switch(cells, field, word)?.unwrap_or(false) {
                reasons.push(format!("{source} had {word} it"));
            }
        }
        if let Some(text) = cells.text(Field::State) {
            match switch::parse_state(text) {
                Some(State::Active) => {}
                Some(State::Archived) => is_archived = true,
                Some(State::Deleted) => reasons.push(format!("{source} had deleted it")),
                Some(State::Disabled) => reasons.push(format!("{source} had disabled it")),
                None => return Err(format!("has the unknown status {:?}", shorten(text))),
            }
        }
        for (field, word) in [(Field::Secret, "secret"), (Field::Password, "password")] {
            if cells.text(field).is_some_and(|text| switch::parse(text) != Some(false)) {
                reasons.push(format!("{source} asked for a {word}"));
            }
        }
        if link.clicks_left == Some(0) {
            reasons.push("its limit of clicks was used up".to_owned());
        }
        if is_archived && !link.tags.iter().any(|tag| tag.eq_ignore_ascii_case(ARCHIVED)) {
            link.tags.push(ARCHIVED.to_owned());
        }
        for reason in reasons {
            link.is_active = false;
            let remark = format!("switched off, because {reason}");
            let notes = link.notes.get_or_insert_default();
            if !notes.is_empty() {
                notes.push('\n');
            }
            notes.push_str("Import: ");
            notes.push_str(&remark);
            link.remarks.push(remark);
        }
        Ok(())
    }
}

/// Returns the codes of a row, each once, or the reason why the row has none.
fn names(cells: &Cells<'_>) -> Result<Vec<Name>, String> {
    let short = cells.text(Field::ShortUrl).map(address::split);
    let host = short.as_ref().map(|short| short.host.clone()).filter(|host| !host.is_empty());
    let domain = cells.text(Field::Domain).map(address::host).or(host);
    let code = cells.text(Field::Code).map(|code| code.trim_matches('/'));
    let code = match (code, short) {
        (Some("_root" | ""), _) => None,
        (Some(code), _) => Some(code.to_owned()),
        (None, Some(short)) if short.code.is_empty() => None,
        (None, Some(short)) => Some(short.code),
        (None, None) => return Ok(vec![Name { code: None, domain }]),
    };
    let mut names: Vec<Name> = code.into_iter().map(|code| Name { code: Some(code), domain: domain.clone() }).collect();
    let more: Vec<&str> = match cells.cell(Field::BackHalves) {
        Cell::Absent => Vec::new(),
        Cell::Text(text) => vec![text],
        Cell::List(items) => items.iter().map(String::as_str).collect(),
    };
    for text in more {
        let name = if address::is_address(text) {
            let short = address::split(text);
            Name { code: Some(short.code), domain: Some(short.host) }
        } else {
            Name { code: Some(text.trim().trim_matches('/').to_owned()), domain: domain.clone() }
        };
        if name.code.as_deref() != Some("") && names.iter().all(|other| other.code != name.code) {
            names.push(name);
        }
    }
    if names.is_empty() {
        let domain = domain.map(|domain| format!(" {}", shorten(&domain))).unwrap_or_default();
        return Err(format!("is the root of the domain{domain} and has no code"));
    }
    Ok(names)
}

/// Reads a field that is on or off; `None` if it is absent.
fn switch(cells: &Cells<'_>, field: Field, name: &str) -> Result<Option<bool>, String> {
    let Some(text) = cells.text(field) else { return Ok(None) };
    match switch::parse(text) {
        Some(is_on) => Ok(Some(is_on)),
        None => Err(format!("{name} must be true or false, and is {:?}", shorten(text))),
    }
}

/// Takes a description as the title, or as notes if it is long.
fn describe(link: &mut ImportedLink, text: &str) {
    let is_title = text.chars().count() <= MAX_TITLE_LEN && !text.contains('\n');
    let place = if is_title { &mut link.title } else { &mut link.notes };
    place.get_or_insert_with(|| text.to_owned());
}
