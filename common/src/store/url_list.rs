//! SQL for lists of urls that both stores share.

use super::page::{Page, PageStart};
use super::url_cursor::{SortValue, UrlCursor};
use crate::Timestamp;
use crate::link_labels::Tag;
use crate::link_state::LinkState;
use crate::url::{FilterTime, SortKey, TagMode, UrlFilter, UrlSort};

/// A piece of SQL with a `?` for each value that it binds.
#[derive(Clone, Debug, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Bound>,
}

/// A bound value.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Integer(i64),
    Text(String),
    Flag(bool),
    Time(Timestamp),
    /// A time in the form of its store.
    StoredTime(i64),
}

/// The parameter of a filter to which a condition belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ShortCode,
    #[cfg(feature = "sqlite")]
    Search,
    Host,
    UserId,
    State,
    Created,
    IsActive,
    Tag,
    NotTag,
    EndsAfter,
    Exhausted,
    Clicks,
}

/// A condition of a filter.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "only SQLite chooses an index by the parameter"))]
    pub(super) field: Field,
    pub(super) sql: Sql,
}

/// The source of the rows of a list, and the names of the columns that order them.
pub(super) struct Source {
    pub(super) columns: &'static str,
    pub(super) from: String,
    /// The source of the rows without a value, if the index of the order does not have them.
    pub(super) from_absent: Option<&'static str>,
    pub(super) conditions: Vec<Sql>,
    /// The column of the order.
    pub(super) key: &'static str,
    /// The column of ids, from the table whose index gives the order.
    pub(super) id: &'static str,
}

impl Sql {
    pub(super) fn new(text: impl Into<String>, values: impl IntoIterator<Item = Bound>) -> Sql {
        Sql { text: text.into(), values: values.into_iter().collect() }
    }

    pub(super) fn push(&mut self, text: &str, values: impl IntoIterator<Item = Bound>) {
        self.text.push_str(text);
        self.values.extend(values);
    }

    /// Joins conditions into one.
    pub(super) fn all(conditions: &[Sql]) -> Sql {
        let texts: Vec<&str> = conditions.iter().map(|condition| condition.text.as_str()).collect();
        let text = if texts.is_empty() { "true".to_owned() } else { texts.join(" AND ") };
        Sql { text, values: conditions.iter().flat_map(|condition| condition.values.clone()).collect() }
    }
}

/// Returns the conditions of a filter, without the one for `search`, which each store writes.
pub(super) fn conditions(filter: &UrlFilter, now: Timestamp) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let mut add =
        |field, text: &str, values: Vec<Bound>| conditions.push(Condition { field, sql: Sql::new(text, values) });
    if let Some(code) = &filter.short_code {
        add(Field::ShortCode, "urls.short_code = ?", vec![Bound::Text(code.clone())]);
    }
    for tags in tag_groups(filter) {
        let text = format!("EXISTS ({OWN_TAGS} AND own.tag IN ({}))", marks(tags.len()));
        add(Field::Tag, &text, tags.iter().map(text_of).collect());
    }
    if let Some(host) = &filter.host {
        let [given, ascii] = host_names(host).map(Bound::Text);
        add(Field::Host, "target_host IN (?, ?)", vec![given, ascii]);
    }
    if let Some(id) = filter.user_id {
        add(Field::UserId, "urls.user_id = ?", vec![Bound::Integer(id.get())]);
    }
    if let Some(state) = filter.state {
        let (text, values) = state_condition(state, now);
        add(Field::State, text, values);
    }
    let bounds = [(filter.created_from, ">="), (filter.created_to, "<")];
    let created = bounds.iter().filter_map(|(time, than)| Some((format!("urls.created_at {than} ?"), (*time)?)));
    let (created, times): (Vec<String>, Vec<FilterTime>) = created.unzip();
    if !created.is_empty() {
        let times = times.into_iter().map(|FilterTime(time)| Bound::Time(time)).collect();
        add(Field::Created, &created.join(" AND "), times);
    }
    if let Some(is_active) = filter.is_active {
        add(Field::IsActive, "urls.is_active = ?", vec![Bound::Flag(is_active)]);
    }
    if let Some(time) = filter.ends_after {
        let text = "(urls.expires_at IS NULL OR urls.expires_at > ?)";
        add(Field::EndsAfter, text, vec![Bound::Time(time)]);
    }
    if filter.has_clicks_left {
        add(Field::Exhausted, HAS_CLICKS_LEFT, Vec::new());
    }
    if !filter.not_tag.is_empty() {
        let text = format!("NOT EXISTS ({OWN_TAGS} AND own.tag IN ({}))", marks(filter.not_tag.len()));
        add(Field::NotTag, &text, filter.not_tag.iter().map(text_of).collect());
    }
    if let Some(never) = filter.never_clicked {
        let clicks = if never { "= 0" } else { "> 0" };
        let own = "SELECT 1 FROM link_clicks AS own WHERE own.url_id = urls.id";
        add(Field::Clicks, &format!("EXISTS ({own} AND own.clicks {clicks})"), Vec::new());
    }
    conditions
}

/// The condition of a link without a limit of clicks, or with one that is not used up.
const HAS_CLICKS_LEFT: &str = "(urls.max_clicks IS NULL
    OR NOT EXISTS (SELECT 1 FROM link_limits AS own WHERE own.url_id = urls.id AND own.is_exhausted))";

/// The tags of a link, as the beginning of a query.
const OWN_TAGS: &str = "SELECT 1 FROM url_tags AS own WHERE own.url_id = urls.id";

/// Returns groups of tags: a link needs one tag of each.
pub(super) fn tag_groups(filter: &UrlFilter) -> Vec<&[Tag]> {
    match filter.tag_mode {
        TagMode::All => filter.tag.chunks(1).collect(),
        TagMode::Any if filter.tag.is_empty() => Vec::new(),
        TagMode::Any => vec![filter.tag.as_slice()],
    }
}

pub(super) fn text_of(tag: &Tag) -> Bound {
    Bound::Text(tag.as_str().to_owned())
}

/// Returns the marks of several values.
pub(super) fn marks(number: usize) -> String {
    vec!["?"; number].join(", ")
}

/// Returns a host as it was given and as a URL has it in ASCII, both in lower case.
fn host_names(host: &str) -> [String; 2] {
    let given = host.to_lowercase();
    let ascii = url::Host::parse(&given).map_or_else(|_| given.clone(), |host| host.to_string());
    [given, ascii]
}

/// Returns the condition of a state, in the order of decisions at a redirect.
fn state_condition(state: LinkState, now: Timestamp) -> (&'static str, Vec<Bound>) {
    let (on, now) = (Bound::Flag(true), Bound::Time(now));
    match state {
        LinkState::Inactive => ("urls.is_active = ?", vec![Bound::Flag(false)]),
        LinkState::Scheduled => ("urls.is_active = ? AND urls.starts_at > ?", vec![on, now]),
        LinkState::Expired => (
            "urls.is_active = ? AND (urls.starts_at IS NULL OR urls.starts_at <= ?) AND urls.expires_at <= ?",
            vec![on, now.clone(), now],
        ),
        LinkState::Active => (
            "urls.is_active = ? AND (urls.starts_at IS NULL OR urls.starts_at <= ?)
             AND (urls.expires_at IS NULL OR urls.expires_at > ?)
             AND (urls.max_clicks IS NULL
                 OR NOT EXISTS (SELECT 1 FROM link_limits AS own WHERE own.url_id = urls.id AND own.is_exhausted))",
            vec![on, now.clone(), now],
        ),
        LinkState::Exhausted => (
            "urls.is_active = ? AND (urls.starts_at IS NULL OR urls.starts_at <= ?)
             AND (urls.expires_at IS NULL OR urls.expires_at > ?)
             AND urls.id IN (SELECT url_id FROM link_limits WHERE is_exhausted)",
            vec![on, now.clone(), now],
        ),
    }
}

/// Returns the statement for the rows of a page, and one more. The columns `part` and `sort_value` follow those of a
/// source. A row is in one of the sources.
///
/// The rows before a cursor come in reverse. `limit` replaces the number of rows of a numbered page.
pub(super) fn rows(sources: &[Source], sort: UrlSort, page: &Page<UrlCursor>, limit: Option<&str>) -> Sql {
    let size = u64::from(page.size) + 1;
    let outer = limit.map_or_else(|| size.to_string(), str::to_owned);
    let outer = format!(" LIMIT {outer} OFFSET {}", page.offset().min(i64::MAX.unsigned_abs()));
    let parts: Vec<Sql> = sources.iter().flat_map(|source| source.parts(sort, page)).collect();
    if let [only] = parts.as_slice() {
        let mut rows = only.clone();
        rows.push(&outer, []);
        return rows;
    }
    // A part needs as many rows as the page and those before it.
    let reach = page.offset().saturating_add(size).min(i64::MAX.unsigned_abs());
    let mut rows = Sql::new("SELECT * FROM (", []);
    for (n, part) in parts.into_iter().enumerate() {
        let name = if n == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" };
        rows.push(&format!("{name}{} LIMIT {reach}) AS part_{n}", part.text), part.values);
    }
    let order = if is_reverse(page) { "DESC" } else { "ASC" };
    let direction = direction(sort, page);
    rows.push(&format!(") AS parts ORDER BY part {order}, sort_value {direction}, id {direction}{outer}"), []);
    rows
}

/// Returns the page of the first rows after an id, for a walk in the order of ids. A statement reads one row more.
pub(super) fn walk_page(after: i64, size: u32) -> Page<UrlCursor> {
    let cursor = UrlCursor::At { key: SortKey::Id, value: SortValue::Absent, id: after };
    Page { start: PageStart::After(cursor), size: size.saturating_sub(1) }
}

/// Returns the direction in which the rows of a page are read.
pub(super) fn direction(sort: UrlSort, page: &Page<UrlCursor>) -> &'static str {
    if sort.is_descending == is_reverse(page) { "ASC" } else { "DESC" }
}

impl Source {
    /// Returns the statements for the rows of a page, without a limit.
    ///
    /// Rows without a value are a part of their own, after the rows with one, so that an index orders each part.
    fn parts(&self, sort: UrlSort, page: &Page<UrlCursor>) -> Vec<Sql> {
        let is_reverse = is_reverse(page);
        let direction = direction(sort, page);
        let beyond = if direction == "DESC" { "<" } else { ">" };
        let (key, id) = (self.key, self.id);
        let cursor = match &page.start {
            PageStart::Number(_) => None,
            PageStart::After(cursor) | PageStart::Before(cursor) => Some(cursor),
        };
        let position = match cursor {
            Some(UrlCursor::At { value, id, .. }) => Some((value, *id)),
            _ => None,
        };
        let is_past_the_end =
            matches!(page.start, PageStart::After(UrlCursor::End) | PageStart::Before(UrlCursor::Start));
        let end = || is_past_the_end.then(|| Sql::new("1 = 0", []));
        let part = |number: u8, own: Vec<Sql>, order: String| {
            let all: Vec<Sql> = self.conditions.iter().cloned().chain(own).chain(end()).collect();
            let conditions = Sql::all(&all);
            let value = if sort.key == SortKey::Id { "0" } else { key };
            let from = self.from_absent.filter(|_| number > 0).unwrap_or(&self.from);
            let text = format!(
                "SELECT {}, {number} AS part, {value} AS sort_value FROM {from} WHERE {} ORDER BY {order}",
                self.columns, conditions.text
            );
            Sql { text, values: conditions.values }
        };
        let by_id = |position: Option<i64>| {
            position
                .map(|at| Sql::new(format!("{id} {beyond} ?"), [Bound::Integer(at)]))
                .into_iter()
                .collect::<Vec<_>>()
        };
        if sort.key == SortKey::Id {
            return vec![part(0, by_id(position.map(|(_, id)| id)), format!("{id} {direction}"))];
        }

        let present = |position: Option<(Bound, i64)>| {
            let beyond = position
                .map(|(value, at)| Sql::new(format!("({key}, {id}) {beyond} (?, ?)"), [value, Bound::Integer(at)]));
            let has_value = sort.key.is_optional().then(|| Sql::new(format!("{key} IS NOT NULL"), []));
            part(0, has_value.into_iter().chain(beyond).collect(), format!("{key} {direction}, {id} {direction}"))
        };
        let absent = |position| {
            let no_value = Sql::new(format!("{key} IS NULL"), []);
            let own = [no_value].into_iter().chain(by_id(position)).collect();
            part(1, own, format!("{id} {direction}"))
        };
        let at_absent = matches!(position, Some((SortValue::Absent, _)));
        let with_value = position.and_then(|(value, id)| Some((bound(sort.key, value)?, id)));
        match (sort.key.is_optional(), at_absent, position.is_some(), is_reverse) {
            (false, ..) => vec![present(with_value)],
            (true, true, _, false) => vec![absent(position.map(|(_, id)| id))],
            (true, true, _, true) => vec![absent(position.map(|(_, id)| id)), present(None)],
            (true, false, true, true) => vec![present(with_value)],
            (true, false, _, false) => vec![present(with_value), absent(None)],
            (true, false, false, true) => vec![absent(None), present(None)],
        }
    }
}

/// Returns whether a page is read from its end.
pub(super) fn is_reverse(page: &Page<UrlCursor>) -> bool {
    matches!(page.start, PageStart::Before(_))
}

/// Returns the column of an order.
pub(super) fn column(key: SortKey) -> &'static str {
    match key {
        SortKey::Id => "urls.id",
        SortKey::CreatedAt => "urls.created_at",
        SortKey::UpdatedAt => "urls.updated_at",
        SortKey::Title => "urls.title",
        SortKey::ShortCode => "urls.short_code",
        SortKey::Clicks => "counted.clicks",
        SortKey::LastClickedAt => "counted.last_clicked_at",
        SortKey::ExpiresAt => "urls.expires_at",
    }
}

fn bound(key: SortKey, value: &SortValue) -> Option<Bound> {
    Some(match value {
        SortValue::Absent => return None,
        SortValue::Text(text) => Bound::Text(text.clone()),
        SortValue::Integer(value) if key.is_time() => Bound::StoredTime(*value),
        SortValue::Integer(value) => Bound::Integer(*value),
    })
}
