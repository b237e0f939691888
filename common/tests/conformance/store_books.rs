//! Conformance tests of the books: statistics equal those of a plain list of clicks, after random changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tern_common::event::{Details, EventRow, EventType, NewEvent};
use tern_common::link_labels::{LinkLabels, Tag, Tags};
use tern_common::routing::Choice;
use tern_common::store::{AdminStore, Load, RetentionOutcome};
use tern_common::url::{NewUrl, Url};
use tern_common::{
    Breakdown, Click, ClickBatch, ClickFilter, HourClicks, Id, JournalId, JournalPosition, ShipOutcome, Statistics,
    StatsQuery, StatsScope, Timestamp, Visitor,
};

use crate::fixture::{new_url, user};
use crate::store_clicks::click_on;
use crate::store_loading::{load, numbered};
use crate::store_pages::Random;

const HOUR: i64 = 3600;

const DAYS: u64 = 4;

/// A click as the model counts it.
#[derive(Clone, Debug)]
struct Counted {
    url_id: Id,
    user_id: Id,
    at: i64,
    visitor: Visitor,
    referrer: Option<String>,
    source: Option<String>,
    target: Option<String>,
    has_event: bool,
}

impl Counted {
    fn value(&self, breakdown: Breakdown) -> &str {
        match breakdown {
            Breakdown::Referrers => self.referrer.as_deref().unwrap_or("Direct"),
            Breakdown::Sources => self.source.as_deref().unwrap_or("None"),
            Breakdown::Targets => self.target.as_deref().unwrap_or("Other"),
            Breakdown::Browsers => self.visitor.browser,
            Breakdown::Systems => self.visitor.system,
            Breakdown::Devices => self.visitor.device,
            Breakdown::Languages => self.visitor.language,
            Breakdown::Countries => self.visitor.country,
        }
    }
}

/// The store and what it must contain.
struct Books<'a> {
    store: &'a dyn AdminStore,
    random: Random,
    users: Vec<Id>,
    links: Vec<Url>,
    clicks: Vec<Counted>,
    names: u64,
    journal: u128,
}

impl Books<'_> {
    async fn add_user(&mut self) {
        self.names += 1;
        self.users.push(user(self.store, &format!("user{}", self.names)).await.id);
    }

    async fn add_link(&mut self) {
        self.names += 1;
        let owner = self.any(&self.users.clone());
        let tags = if self.names.is_multiple_of(2) { vec![Tag::parse("even").unwrap()] } else { vec![] };
        let labels = LinkLabels { tags: Tags::new(tags).unwrap(), ..LinkLabels::default() };
        let url = new_url(owner, &format!("code{}", self.names), "https://target.example/");
        self.links.push(self.store.insert_url(NewUrl { labels, ..url }).await.unwrap().value);
    }

    fn any<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len() as u64) as usize].clone()
    }

    /// Draws a time of the last days, at least five minutes from a full hour.
    fn time(&mut self) -> i64 {
        let hour = present_hour() - HOUR * self.random.below(24 * DAYS).cast_signed();
        hour + 600 + self.random.below(2400).cast_signed()
    }

    fn visitor(&mut self) -> Visitor {
        const AGENTS: [&str; 6] = [
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "curl/8.5.0",
            "",
        ];
        let agent = self.any(&AGENTS);
        let language = self.any(&["de", "en", "fr", "es", "pl"]);
        let country = self.any(&["DE", "US", "FR", "ES", "PL", "GB", "NL"]);
        Visitor {
            language: tern_common::visitor::language_of(language.as_bytes()),
            country: tern_common::visitor::country_of(country.as_bytes()),
            ..Visitor::of_user_agent(agent.as_bytes())
        }
    }

    fn counted(&self, click: &Click, owner: Id) -> Counted {
        let host = |referrer: &String| referrer.trim_start_matches("https://").trim_end_matches('/').to_owned();
        Counted {
            url_id: click.url_id,
            user_id: owner,
            at: Timestamp::from(click.at).unix_seconds(),
            visitor: click.visitor,
            referrer: click.referrer.as_ref().map(host),
            source: click.source.clone(),
            target: click.choice.map(|_| click.original_url.clone()),
            has_event: !click.is_counted_only,
        }
    }

    /// Ships a batch in an hour, and then the same batch again.
    async fn ship(&mut self, clicks: u64) {
        let (links, at) = (self.links.clone(), self.time());
        if links.is_empty() {
            return;
        }
        let mut batch = Vec::new();
        for _ in 0..clicks {
            let link = self.any(&links);
            let referrer = self.random.below(30);
            let source = self.random.below(10);
            // Some links have no rules.
            let choice = if link.id.get() % 3 == 0 { 0 } else { self.random.below(4) as usize };
            let click = Click {
                at: SystemTime::UNIX_EPOCH + Duration::from_secs(at.unsigned_abs()),
                visitor: self.visitor(),
                referrer: (referrer < 20).then(|| format!("https://site{referrer}.example/")),
                source: (source < 5).then(|| format!("source{source}")),
                original_url: format!("https://target{choice}.example/"),
                choice: [None, Some(Choice::Plain), Some(Choice::Rule(2)), Some(Choice::Variant(1))][choice],
                is_counted_only: self.random.below(5) == 0,
                ..click_on(&link)
            };
            self.clicks.push(self.counted(&click, link.user_id));
            batch.push(click);
        }
        self.journal += 1;
        let to = JournalPosition { segment: 0, offset: 1, sequence: clicks };
        let batch = ClickBatch { journal: JournalId(self.journal), from: None, to, clicks: &batch, parked: 0 };
        assert!(matches!(self.store.ship_clicks(batch).await.unwrap(), ShipOutcome::Committed(_)));
        assert!(matches!(self.store.ship_clicks(batch).await.unwrap(), ShipOutcome::Mismatch(Some(_))));
    }

    /// Records clicks of any user as events of programs: of the present or of a file.
    async fn record_events(&mut self) {
        let (links, users) = (self.links.clone(), self.users.clone());
        if links.is_empty() {
            return;
        }
        let (event_type, details) = (EventType::parse("clicked").unwrap(), r#"{"user_agent":"curl/8"}"#);
        let details = Details::parse(details).unwrap();
        let mut rows = Vec::new();
        for _ in 0..20 {
            let (url_id, user_id, at) = (self.any(&links).id, self.any(&users), self.time());
            let timestamp = Some(Timestamp::from_unix_seconds(at));
            let (event_type, details) = (event_type.clone(), details.clone());
            rows.push(EventRow { id: None, url_id, user_id, event_type, timestamp, details });
        }
        for row in &rows {
            let at = row.timestamp.unwrap().unix_seconds();
            self.clicks.push(by_program(row.url_id, row.user_id, at));
        }
        load(self.store, Load::Events, numbered(rows)).await.unwrap();
        let (url_id, user_id) = (self.any(&links).id, self.any(&users));
        let event = NewEvent { url_id, user_id: Some(user_id), event_type, details };
        let at = self.store.insert_event(event).await.unwrap().timestamp.unix_seconds();
        self.clicks.push(by_program(url_id, user_id, at));
    }

    async fn delete_link(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let at = self.random.below(self.links.len() as u64) as usize;
        let link = self.links.swap_remove(at);
        self.store.delete_url(link.id, None).await.unwrap().unwrap();
        self.clicks.retain(|click| click.url_id != link.id);
    }

    async fn delete_user(&mut self) {
        if self.users.len() < 3 {
            return;
        }
        let at = self.random.below(self.users.len() as u64) as usize;
        let gone = self.users.swap_remove(at);
        self.store.delete_user(gone, true).await.unwrap().unwrap();
        let links: BTreeSet<Id> = self.links.iter().filter(|link| link.user_id == gone).map(|link| link.id).collect();
        self.links.retain(|link| link.user_id != gone);
        // Clicks without an event belong to their link alone.
        self.clicks.retain(|click| !(links.contains(&click.url_id) || click.has_event && click.user_id == gone));
    }

    async fn delete_old_events(&mut self) {
        let days = 1 + self.random.below(DAYS * 24 - 1).cast_signed();
        // Far from each click, since the store has a clock of its own.
        let horizon = present_hour() - days * HOUR + 120;
        let keep = Duration::from_secs((Timestamp::now().unix_seconds() - horizon).unsigned_abs());
        if self.store.delete_old_events(keep).await.unwrap() != RetentionOutcome::Refused {
            self.clicks.retain(
                |click| {
                    if click.has_event { click.at >= horizon } else { hour_of(click.at) > horizon - HOUR }
                },
            );
        }
    }

    async fn check(&mut self) {
        let from = present_hour() - HOUR * self.random.below(24 * DAYS).cast_signed();
        let ranges = [
            (Timestamp::FIRST, Timestamp::LAST),
            (Timestamp::from_unix_seconds(from - 30 * HOUR), Timestamp::from_unix_seconds(from + 5 * HOUR)),
        ];
        let owner = self.any(&self.users.clone());
        let tag = Tag::parse("even").unwrap();
        let mut scopes: Vec<StatsScope> = self.links.iter().map(|link| StatsScope::Link(link.id)).collect();
        scopes.push(StatsScope::All { tag: None, owner: None });
        scopes.push(StatsScope::All { tag: Some(tag.clone()), owner: None });
        scopes.push(StatsScope::All { tag: None, owner: Some(owner) });
        scopes.push(StatsScope::All { tag: Some(tag), owner: Some(owner) });
        for scope in scopes {
            for (from, to) in ranges {
                let bots = self.random.below(2) == 0;
                let is_link = matches!(scope, StatsScope::Link(_));
                let filter = if is_link { self.random_filter() } else { ClickFilter::All };
                let query = StatsQuery { scope: scope.clone(), from, to, bots, filter };
                let stats = self.store.statistics(query.clone()).await.unwrap().unwrap();
                let found = Statistics { top: vec![], ..stats };
                assert_eq!(found, self.expected(&query), "{query:?}");
            }
        }
        for link in &self.links {
            let shown = self.store.find_url(link.id).await.unwrap().unwrap().clicks.unsigned_abs();
            let humans = self.clicks.iter().filter(|click| click.url_id == link.id && click.visitor.bot.is_none());
            assert_eq!(shown, humans.count() as u64, "clicks of {}", link.short_code);
        }
    }

    /// Returns a filter by values of a click, or by none.
    fn random_filter(&mut self) -> ClickFilter {
        let Some(click) = (!self.clicks.is_empty()).then(|| self.any(&self.clicks.clone())) else {
            return ClickFilter::All;
        };
        let breakdowns: &[Breakdown] = match self.random.below(6) {
            0 => &[],
            1 => &[Breakdown::Browsers],
            2 => &[Breakdown::Devices, Breakdown::Countries, Breakdown::Languages],
            3 => &[Breakdown::Referrers],
            4 => &[Breakdown::Targets],
            _ => &[Breakdown::Sources],
        };
        if breakdowns == [Breakdown::Targets] && click.target.is_none() {
            return ClickFilter::All;
        }
        let values = breakdowns.iter().map(|breakdown| (*breakdown, click.value(*breakdown).to_owned()));
        ClickFilter::new(values.collect()).unwrap()
    }

    fn expected(&self, query: &StatsQuery) -> Statistics {
        let is_in = |click: &&Counted| {
            let link = self.links.iter().find(|link| link.id == click.url_id).unwrap();
            let is_in_scope = match &query.scope {
                StatsScope::Link(id) => click.url_id == *id,
                StatsScope::All { tag, owner } => {
                    owner.is_none_or(|owner| link.user_id == owner)
                        && tag.as_ref().is_none_or(|tag| link.tags.iter().any(|name| name == tag.as_str()))
                }
            };
            let hour = hour_of(click.at);
            let is_counted = match &query.filter {
                ClickFilter::All => true,
                ClickFilter::Visitors(values) => values.iter().all(|(by, value)| click.value(*by) == value),
                ClickFilter::Value(by, value) => click.value(*by) == value,
            };
            is_counted && is_in_scope && hour >= query.from.unix_seconds() && hour < query.to.unix_seconds()
        };
        let mut stats = Statistics::default();
        let mut hours: BTreeMap<i64, HourClicks> = BTreeMap::new();
        let mut values: BTreeMap<Breakdown, BTreeMap<String, u64>> = BTreeMap::new();
        for click in self.clicks.iter().filter(is_in) {
            let at = Timestamp::from_unix_seconds(hour_of(click.at));
            let hour = hours.entry(hour_of(click.at)).or_insert(HourClicks { at, humans: 0, bots: 0 });
            let is_bot = click.visitor.bot.is_some();
            *(if is_bot { &mut hour.bots } else { &mut hour.humans }) += 1;
            *(if is_bot { &mut stats.bots } else { &mut stats.humans }) += 1;
            stats.without_event += u64::from(!click.has_event);
            if is_bot && !query.bots {
                continue;
            }
            for breakdown in Breakdown::ALL {
                *values.entry(breakdown).or_default().entry(click.value(breakdown).to_owned()).or_default() += 1;
            }
        }
        stats.hours = hours.into_values().collect();
        stats.breakdowns = Breakdown::ALL
            .into_iter()
            .filter(|breakdown| query.filter.has(*breakdown))
            .map(|breakdown| {
                let mut values = values.remove(&breakdown).unwrap_or_default();
                let without = values.remove("Other").unwrap_or_default();
                // Clicks on plain links make no breakdown by targets.
                let without = if breakdown == Breakdown::Targets && values.is_empty() { 0 } else { without };
                let mut rows: Vec<_> = values.into_iter().collect();
                rows.sort_by_key(|(value, clicks)| (std::cmp::Reverse(*clicks), value.clone()));
                let other = without + rows.iter().skip(Breakdown::MOST).map(|(_, clicks)| clicks).sum::<u64>();
                rows.truncate(Breakdown::MOST);
                rows.extend((other > 0).then(|| ("Other".to_owned(), other)));
                (breakdown, rows)
            })
            .collect();
        stats
    }
}

fn by_program(url_id: Id, user_id: Id, at: i64) -> Counted {
    let visitor = Visitor::of_user_agent(b"curl/8");
    Counted { url_id, user_id, at, visitor, referrer: None, source: None, target: None, has_event: true }
}

fn hour_of(at: i64) -> i64 {
    at - at.rem_euclid(HOUR)
}

fn present_hour() -> i64 {
    hour_of(Timestamp::now().unix_seconds())
}

pub async fn books_close_after_random_changes(store: &dyn AdminStore) {
    let random = Random(20_261_129);
    let mut books = Books { store, random, users: vec![], links: vec![], clicks: vec![], names: 0, journal: 0 };
    for _ in 0..4 {
        books.add_user().await;
    }
    for turn in 0..60 {
        match books.random.below(16) {
            0 => books.add_user().await,
            1 | 2 => books.add_link().await,
            3 => books.delete_link().await,
            4 => books.delete_user().await,
            5 => books.delete_old_events().await,
            6 => books.record_events().await,
            7 | 8 => books.ship(600).await,
            9..12 => books.store.run_upkeep().await.unwrap(),
            _ => books.ship(40).await,
        }
        if books.links.len() < 3 {
            books.add_link().await;
        }
        if turn % 2 == 1 {
            books.check().await;
        }
    }
    while !books.links.is_empty() {
        books.delete_link().await;
    }
    books.check().await;
    books.store.run_upkeep().await.unwrap();
    books.check().await;
}
