//! Measures how fast a backlog of clicks is drained, in turns with `psql \copy` of the same rows into the same table.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use tern_common::event::{Details, EventFilter};
use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, ClickSink, Page, PostgresConfig, PostgresStore, Total};
use tern_common::url::NewUrl;
use tern_common::user::{Email, NewUser, Username};
use tern_common::{
    Click, ClickBatch, ClickSource, Id, JournalId, JournalPosition, ShipOutcome, ShortCode, TargetUrl, Timestamp,
    Visitor,
};
use tern_testkit::postgres::Postgres;

const USERS: usize = 20;
const URLS: usize = 2_000;

/// Number of clicks in a batch of a shipper that has a backlog.
const BATCH: usize = 10_000;

/// Rows a second in each turn.
#[derive(Debug, Default)]
pub struct Rates {
    pub copied: Vec<f64>,
    pub shipped: Vec<f64>,
}

impl Rates {
    /// Returns the ratio of the medians, shipped to copied.
    pub fn ratio(&self) -> f64 {
        median(&self.shipped) / median(&self.copied)
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

pub async fn measure(server: &Postgres, clicks: usize, turns: usize) -> Rates {
    let config = PostgresConfig::new(server.create_database());
    migrate(&config).await.unwrap();
    let store = PostgresStore::open(&config).await.unwrap();
    store.run_upkeep().await.unwrap();
    let clicks = backlog(&links(&store).await, clicks);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.tsv");
    std::fs::write(&file, copy_rows(&clicks)).unwrap();

    let mut rates = Rates::default();
    let rate = |took: Duration| clicks.len() as f64 / took.as_secs_f64();
    for turn in 0..turns {
        for is_copy in [turn % 2 == 0, turn % 2 == 1] {
            let started = Instant::now();
            if is_copy {
                copy(&config.url, &file);
                rates.copied.push(rate(started.elapsed()));
            } else {
                ship(&store, turn as u128, &clicks).await;
                rates.shipped.push(rate(started.elapsed()));
            }
        }
    }
    let filter = EventFilter { event_type: Some("clicked".to_owned()), ..EventFilter::default() };
    let total = store.list_events(filter, Page::first(1)).await.unwrap().total;
    assert_eq!(total, Total::Exactly((2 * turns * clicks.len()) as u64));
    rates
}

pub async fn links(store: &PostgresStore) -> Vec<(Id, Id, String, String)> {
    let mut links = Vec::new();
    for user in 0..USERS {
        let name = format!("user{user}");
        let email = Email::parse(&format!("{name}@mail.example")).unwrap();
        let owner = store.insert_user(NewUser { username: Username::parse(&name).unwrap(), email }).await.unwrap().id;
        for url in 0..URLS / USERS {
            let code = format!("c{user}-{url}");
            let target = format!("https://example.com/some/longer/path/{code}?with=a&few=parameters");
            let url = NewUrl {
                user_id: owner,
                short_code: ShortCode::parse(&code).unwrap(),
                original_url: TargetUrl::parse(&target).unwrap(),
                title: None,
                is_active: true,
                options: Default::default(),
                labels: Default::default(),
            };
            links.push((store.insert_url(url).await.unwrap().value.id, owner, code, target));
        }
    }
    links
}

/// Returns clicks of a hundred hosts and five browsers, most of them on few links.
pub fn backlog(links: &[(Id, Id, String, String)], clicks: usize) -> Vec<Click> {
    let agents =
        ["Chrome/126.0 Safari/537.36", "Firefox/128.0", "Version/17.5 Safari/605.1.15", "Chrome/126 Edg/126", "x"];
    let begin = SystemTime::now() - Duration::from_secs(600);
    let step = Duration::from_secs(600) / u32::try_from(clicks).unwrap();
    let click = |n: u32| {
        // Pseudo-random, and the same in each run.
        let drawn = f64::from(n.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX);
        let (url_id, owner_id, short_code, original_url) = links[(drawn.powi(3) * (URLS - 1) as f64) as usize].clone();
        let agent = format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 {}", agents[n as usize % 5]);
        Click {
            url_id,
            owner_id,
            short_code,
            original_url,
            at: begin + step * n,
            client: None,
            referrer: n.is_multiple_of(2).then(|| format!("https://site{}.example/some/page", n % 100)),
            visitor: Visitor::of_user_agent(agent.as_bytes()),
            user_agent: Some(agent),
            source: None,
            choice: None,
            is_minimal: false,
            is_counted_only: false,
        }
    };
    (0..u32::try_from(clicks).unwrap()).map(click).collect()
}

/// Returns the rows that the clicks become, in the format of COPY.
fn copy_rows(clicks: &[Click]) -> String {
    let mut rows = String::new();
    for click in clicks {
        let ClickSource { visitor, referrer, .. } = ClickSource::of_click(click);
        let visitor = visitor.map(|visitor| visitor.to_string());
        let details = Details::of_click(click).as_str().replace('\\', r"\\");
        let (url, user, at) = (click.url_id, click.owner_id, Timestamp::from(click.at));
        let (visitor, referrer) = (visitor.as_deref().unwrap_or(r"\N"), referrer.as_deref().unwrap_or(r"\N"));
        writeln!(rows, "{url}\t{user}\tclicked\t{at}Z\t{details}\t{visitor}\t{referrer}").unwrap();
    }
    rows
}

fn copy(url: &str, file: &std::path::Path) {
    let columns = "url_id, user_id, event_type, timestamp, details, visitor, referrer";
    let copy = format!("\\copy events ({columns}) FROM '{}'", file.display());
    let status = Command::new("psql").args(["-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", &copy]).status().unwrap();
    assert!(status.success(), "psql: {status}");
}

pub async fn ship(store: &PostgresStore, journal: u128, clicks: &[Click]) {
    let mut from = None;
    for (batch, n) in clicks.chunks(BATCH).zip(1..) {
        let to = JournalPosition { segment: 0, offset: n, sequence: n };
        let shipped =
            store.ship_clicks(ClickBatch { journal: JournalId(journal), from, to, clicks: batch, parked: 0 }).await;
        assert!(matches!(shipped, Ok(ShipOutcome::Committed(_))), "{shipped:?}");
        from = Some(to);
    }
}
