//! The parameters of a query. PHP names the items of a list `tags[]`, and of a repeated parameter the last one counts.

use tern_common::Timestamp;
use tern_common::link_labels::Tag;

use super::problem::{Outcome, Problem};

/// The parameters of a request in their order.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(query: &str) -> Query {
        Query(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Returns a parameter; `None` if it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the items of a list.
    fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_item = move |other: &str| {
            let index = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
            index.is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.0.iter().filter(move |(other, _)| is_item(other)).map(|(_, value)| value.as_str())
    }

    /// Returns the tags of a list.
    pub(super) fn tags(&self, name: &str) -> Outcome<Vec<Tag>> {
        self.list(name).map(|text| Tag::parse(text).map_err(|invalid| Problem::invalid(name, invalid))).collect()
    }

    /// Returns a truth value; false if it is absent.
    pub(super) fn flag(&self, name: &str) -> Outcome<bool> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(Problem::invalid(name, format!("{name} must be true or false"))),
        }
    }

    /// Returns a whole number; `None` if it is absent.
    pub(super) fn number(&self, name: &str) -> Outcome<Option<i64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::invalid(name, format!("{name} must be a whole number")))
    }

    /// Returns a time; UTC where it names no zone. `None` if it is absent.
    pub(super) fn time(&self, name: &str) -> Outcome<Option<Timestamp>> {
        self.get(name).map(|text| parse_time(name, text)).transpose()
    }

    /// Returns one of two words; the first one if it is absent.
    pub(super) fn is_second(&self, name: &str, words: [&str; 2]) -> Outcome<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(word) if word == words[0] => Ok(false),
            Some(word) if word == words[1] => Ok(true),
            Some(_) => Err(Problem::invalid(name, format!("{name} must be {} or {}", words[0], words[1]))),
        }
    }

    /// Returns a field and whether its order is descending, from `field-ASC` or `field-DESC`.
    pub(super) fn order(&self) -> Outcome<Option<(&str, bool)>> {
        let Some(text) = self.get("orderBy") else { return Ok(None) };
        let (field, direction) = text.split_once('-').unwrap_or((text, "ASC"));
        match direction {
            "ASC" => Ok(Some((field, false))),
            "DESC" => Ok(Some((field, true))),
            _ => Err(Problem::invalid("orderBy", "orderBy must be a field with -ASC or -DESC")),
        }
    }
}

/// Reads a time such as `2098-01-01T00:00:00+00:00`.
pub(super) fn parse_time(name: &str, text: &str) -> Outcome<Timestamp> {
    Timestamp::parse_any_zone(text)
        .map_err(|_| Problem::invalid(name, format!("{name} must be a time such as 2026-11-28T11:04:28+00:00")))
}

/// Returns the second after a time, so that a range that includes the time ends before it.
pub(super) fn after(time: Timestamp) -> Timestamp {
    time.plus(std::time::Duration::from_secs(1)).unwrap_or(Timestamp::LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_list_have_brackets() {
        let query = Query::read("tags%5B%5D=a+b&tags[1]=c&tags=d&tagsMode=all&tags[x]=e&page=1&page=2&title=");
        let tags: Vec<String> = query.tags("tags").unwrap().iter().map(|tag| tag.as_str().to_owned()).collect();
        assert_eq!(tags, ["a b", "c"]);
        assert_eq!((query.get("page"), query.get("title"), query.get("nope")), (Some("2"), None, None));
        assert!(query.is_second("tagsMode", ["any", "all"]).unwrap());
        assert!(query.is_second("page", ["any", "all"]).is_err());
    }

    #[test]
    fn zone_of_a_time_is_converted() {
        let time = |query: &str| Query::read(query).time("startDate").unwrap().map(|time| time.to_string());
        assert_eq!(time("startDate=2024-01-01T00%3A00%3A00%2B02%3A00").as_deref(), Some("2023-12-31T22:00:00"));
        assert_eq!(time(""), None);
        assert!(Query::read("startDate=yesterday").time("startDate").is_err());
    }
}
