//! Sample data in the form of real data. A fixed seed makes samples of the same hour equal.

mod options;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tern_admin::load::{LoadCommand, OnError, load_files};
use tern_common::store::{AdminStore, Page};
use tern_common::{OwnAddresses, ShortCode, Timestamp};

use self::options::{GO_LINK, Options, featured};
use self::words::{ADJECTIVES, COUNTRIES, HOSTS, LANGUAGES, NOUNS, REFERRERS, TAGS, TITLES, USER_AGENTS};

const SEED: u64 = 0x7e72;
const USERS: usize = 400;
const URLS: usize = 2000;
const UPDATES: usize = 1206;
const DELETIONS: usize = 216;
const CLICKS: usize = 6000;

/// Percentage of active links.
const ACTIVE_PERCENT: u32 = 82;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// The days over which the links were created, and those of the clicks.
const DAYS: i64 = 420;
const CLICK_DAYS: i64 = 60;

/// The newest links at a time, which have half of the clicks.
const NEW: usize = 400;

/// The days within which links start or end that have not yet.
const DAYS_AHEAD: i64 = 90;

/// The hours of a sample.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    end: i64,
}

impl Span {
    /// Returns the span that ends with the present hour.
    fn until_now() -> Span {
        let now = Timestamp::now().unix_seconds();
        let end = now - now.rem_euclid(HOUR);
        Span { first: end - DAYS * DAY, end }
    }

    /// Returns a second between `from` and the end.
    fn moment(self, random: &mut ChaCha8Rng, from: i64) -> i64 {
        random.random_range(from..self.end)
    }

    fn moment_ahead(self, random: &mut ChaCha8Rng) -> i64 {
        self.end + random.random_range(DAY..DAYS_AHEAD * DAY)
    }
}

/// Writes `users.csv`, `urls.csv`, `events.csv` and `clicks.csv` into `directory`, which must contain none of them.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    let paths = write_files(directory)?;
    for path in &paths {
        println(&format!("Wrote {}", path.display()));
    }
    Ok(())
}

/// Loads a sample into a store without users and links. Returns whether it did.
pub async fn load_if_empty(store: &dyn AdminStore) -> anyhow::Result<bool> {
    let first = Page::first(1);
    let is_empty = store.list_users(first).await?.rows.is_empty()
        && store.list_urls(Default::default(), Default::default(), Page::first(1)).await?.rows.is_empty();
    if is_empty {
        let directory = tempfile::tempdir().context("cannot create a directory for the sample")?;
        let paths = write_files(directory.path())?;
        let command = LoadCommand { files: paths.to_vec(), on_error: OnError::Fail };
        let (out, report) = (&mut std::io::sink(), &mut std::io::sink());
        load_files(store, &command, &OwnAddresses::default(), out, report).await?;
    }
    Ok(is_empty)
}

fn write_files(directory: &Path) -> anyhow::Result<[PathBuf; 4]> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let paths = ["users.csv", "urls.csv", "events.csv", "clicks.csv"].map(|name| directory.join(name));
    for path in &paths {
        ensure!(!path.exists(), "{} is there already", path.display());
    }
    let span = Span::until_now();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let urls = urls(&mut random, span);
    let (users, events) = (users(&mut random, span), events_table(&mut random, &urls, span));
    let tables = [users, urls_table(&urls), events, clicks_table(&urls, span)];
    for (path, table) in paths.iter().zip(tables) {
        write_csv(path, &table).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(paths)
}

type Table = Vec<Vec<String>>;

struct SampleUrl {
    id: usize,
    user_id: usize,
    short_code: String,
    original_url: String,
    title: String,
    is_active: bool,
    options: Options,
    tags: String,
    created_at: i64,
    updated_at: i64,
}

fn users(random: &mut ChaCha8Rng, span: Span) -> Table {
    let mut rows = vec![row(["id", "username", "email", "created_at"])];
    for id in 1..=USERS {
        let name = format!("{}{}{id}", pick(random, &ADJECTIVES), pick(random, &NOUNS));
        let email = format!("{name}@{}", pick(random, &HOSTS));
        rows.push(row([id.to_string(), name, email, time(span.moment(random, span.first))]));
    }
    rows
}

fn urls(random: &mut ChaCha8Rng, span: Span) -> Vec<SampleUrl> {
    let mut taken = std::collections::HashSet::new();
    // Numbers of their own leave all other columns as they are.
    let mut random_options = ChaCha8Rng::seed_from_u64(SEED + 1);
    // Few links are very new, so that those on the first screen have clicks of some weeks.
    let mut times: Vec<i64> =
        (0..URLS).map(|_| span.moment(random, span.first).min(span.moment(random, span.first))).collect();
    times.sort_unstable();
    let mut urls: Vec<_> = (1..=URLS)
        .zip(times)
        .map(|(id, created_at)| {
            let short_code = std::iter::repeat_with(|| code(random))
                .find(|code| taken.insert(code.clone()))
                .expect("there are far more codes than links");
            let (adjective, noun) = (pick(random, &ADJECTIVES), pick(random, &NOUNS));
            SampleUrl {
                id,
                user_id: random.random_range(1..=USERS),
                short_code,
                original_url: format!("https://{}/{adjective}/{noun}/{id}", pick(random, &HOSTS)),
                title: format!("{} {adjective} {noun}", pick(random, &TITLES)),
                // The first link is active, because `tern serve` prints it.
                is_active: id == 1 || random.random_ratio(ACTIVE_PERCENT, 100),
                options: if id == 1 { Options::default() } else { options(&mut random_options, created_at, span) },
                tags: tags(&mut random_options),
                created_at,
                updated_at: span.moment(random, created_at),
            }
        })
        .collect();
    let (id, code, target) = GO_LINK;
    let go_link: &mut SampleUrl = &mut urls[id - 1];
    (go_link.short_code, go_link.original_url) = (code.to_owned(), target.to_owned());
    (go_link.title, go_link.is_active, go_link.options) = ("Ticket".to_owned(), true, Options::default());
    for (url, (code, title, options)) in urls.iter_mut().rev().zip(featured()) {
        (url.short_code, url.title) = (code.to_owned(), title.to_owned());
        (url.is_active, url.options) = (true, options);
    }
    urls
}

/// Draws the options of a link: one of seven has some.
fn options(random: &mut ChaCha8Rng, created_at: i64, span: Span) -> Options {
    let over = format!("https://{}/over", pick(random, &HOSTS));
    let past = time(span.moment(random, created_at));
    let ahead = time(span.moment_ahead(random));
    let none = Options::default();
    match random.random_range(0..100) {
        0..2 => Options { expires_at: past, is_limited: true, ..none },
        2..4 => Options { expires_at: past, expired_url: over, is_limited: true, ..none },
        4..6 => Options { starts_at: past, expires_at: ahead, expired_url: over, is_limited: true, ..none },
        6 => Options { starts_at: ahead, is_limited: true, ..none },
        7 => Options { redirect_status: "301".to_owned(), ..none },
        8 => Options { redirect_status: "307".to_owned(), expires_at: ahead, ..none },
        9 => Options { redirect_status: "308".to_owned(), ..none },
        10..14 => Options { forward_query: "True".to_owned(), ..none },
        _ => none,
    }
}

/// Draws the tags of a link: half of the links have one or two.
fn tags(random: &mut ChaCha8Rng) -> String {
    let [first, second] = [pick(random, &TAGS), pick(random, &TAGS)];
    match random.random_range(0..8) {
        0..3 => first.to_owned(),
        3 if first != second => format!("{first}|{second}"),
        _ => String::new(),
    }
}

fn urls_table(urls: &[SampleUrl]) -> Table {
    let header = [
        "id",
        "user_id",
        "short_code",
        "original_url",
        "title",
        "is_active",
        "created_at",
        "updated_at",
        "starts_at",
        "expires_at",
        "expired_url",
        "redirect_status",
        "forward_query",
        "max_clicks",
        "rules",
        "split",
        "tags",
    ];
    let rows = urls.iter().map(|url| {
        row([
            url.id.to_string(),
            url.user_id.to_string(),
            url.short_code.clone(),
            url.original_url.clone(),
            url.title.clone(),
            if url.is_active { "True" } else { "False" }.to_owned(),
            time(url.created_at),
            time(url.updated_at),
            url.options.starts_at.clone(),
            url.options.expires_at.clone(),
            url.options.expired_url.clone(),
            url.options.redirect_status.clone(),
            url.options.forward_query.clone(),
            url.options.max_clicks.clone(),
            url.options.rules.clone(),
            url.options.split.clone(),
            url.tags.clone(),
        ])
    });
    std::iter::once(row(header)).chain(rows).collect()
}

fn events_table(random: &mut ChaCha8Rng, urls: &[SampleUrl], span: Span) -> Table {
    let mut rows = vec![row(["id", "url_id", "user_id", "event_type", "timestamp", "details"])];
    let mut add = |url: &SampleUrl, event_type: &str, at: i64, details: serde_json::Value| {
        let id = rows.len().to_string();
        let (url_id, user_id) = (url.id.to_string(), url.user_id.to_string());
        rows.push(row([id, url_id, user_id, event_type.to_owned(), time(at), details.to_string()]));
    };
    for url in urls {
        let details = json!({"short_code": url.short_code, "original_url": url.original_url});
        add(url, "created", url.created_at, details);
    }
    for _ in 0..UPDATES {
        let url = pick_url(random, urls);
        let (field, value) = match random.random_range(0..3) {
            0 => ("title", format!("{} {}", pick(random, &TITLES), pick(random, &NOUNS))),
            1 => ("is_active", url.is_active.to_string()),
            _ => ("original_url", url.original_url.clone()),
        };
        add(url, "updated", span.moment(random, url.created_at), json!({"field": field, "new_value": value}));
    }
    for _ in 0..DELETIONS {
        let url = pick_url(random, urls);
        let reason = pick(random, &["duplicate", "expired", "user_requested"]);
        add(url, "deleted", span.moment(random, url.created_at), json!({"reason": reason}));
    }
    rows
}

/// Returns clicks of the last days on links that redirected then. Half of them are on links that were among the newest at
/// that time, the others on few old ones. The first link has none.
fn clicks_table(urls: &[SampleUrl], span: Span) -> Table {
    let first = span.end - CLICK_DAYS * DAY;
    // Links are in the order of their creation.
    let urls: Vec<&SampleUrl> = urls.iter().skip(1).filter(|url| !url.options.is_limited).collect();
    let mut random = ChaCha8Rng::seed_from_u64(SEED + 2);
    let mut times: Vec<_> = (0..CLICKS).map(|_| click_time(&mut random, first, span)).collect();
    times.sort_unstable();
    let rows = times.into_iter().map(|at| {
        let present = &urls[..urls.partition_point(|url| url.created_at < at)];
        let url = clicked_url(&mut random, present, at);
        let mut details = json!({
            "short_code": url.short_code,
            "original_url": url.original_url,
            "user_agent": USER_AGENTS[skewed(&mut random, USER_AGENTS.len())],
            "language": LANGUAGES[skewed(&mut random, LANGUAGES.len())],
            "country": COUNTRIES[skewed(&mut random, COUNTRIES.len())],
        });
        if random.random_ratio(3, 5) {
            details["referrer"] = REFERRERS[skewed(&mut random, REFERRERS.len())].into();
        }
        row([url.id.to_string(), url.user_id.to_string(), "clicked".to_owned(), time(at), details.to_string()])
    });
    std::iter::once(row(["url_id", "user_id", "event_type", "timestamp", "details"])).chain(rows).collect()
}

/// Draws the link of a click. Links with a high popularity are drawn more often, and links that were switched off only
/// before their last change.
fn clicked_url<'a>(random: &mut ChaCha8Rng, urls: &[&'a SampleUrl], at: i64) -> &'a SampleUrl {
    loop {
        let is_new = random.random_ratio(1, 2);
        let index =
            if is_new { urls.len() - 1 - skewed(random, NEW.min(urls.len())) } else { skewed(random, urls.len()) };
        let url = urls[index];
        let popularity = 1 + (url.id % 7) as u32;
        if (url.is_active || at < url.updated_at) && random.random_ratio(popularity, 7) {
            return url;
        }
    }
}

/// Returns the time of a click: rarely at night, rarely on a Saturday or a Sunday, and more often in the last days.
fn click_time(random: &mut ChaCha8Rng, first: i64, span: Span) -> i64 {
    loop {
        let at = span.moment(random, first);
        let hour = at.rem_euclid(DAY) / HOUR;
        // 1970-01-01 was a Thursday.
        let is_weekend = matches!(at.div_euclid(DAY).rem_euclid(7), 2 | 3);
        let quarters = if (7..22).contains(&hour) { 4 } else { 1 };
        let day = ((at - first) / DAY) as u32;
        if random.random_ratio(if is_weekend { quarters } else { 2 * quarters }, 8)
            && random.random_ratio(CLICK_DAYS as u32 + day, 2 * CLICK_DAYS as u32)
        {
            return at;
        }
    }
}

/// Returns an index below `len`. Low ones are far more frequent.
fn skewed(random: &mut ChaCha8Rng, len: usize) -> usize {
    let below = random.random_range(0..len);
    let below = random.random_range(0..=below);
    random.random_range(0..=below)
}

fn code(random: &mut ChaCha8Rng) -> String {
    let characters = rand::distr::Alphanumeric;
    let code: String = (0..ShortCode::DEFAULT_LEN).map(|_| char::from(random.sample(characters))).collect();
    // The fixed seed generates no reserved word: a test loads the sample.
    code
}

fn time(second: i64) -> String {
    Timestamp::from_unix_seconds(second).to_string().replace('T', " ")
}

fn pick(random: &mut ChaCha8Rng, words: &[&'static str]) -> &'static str {
    words.choose(random).expect("there is something to choose from")
}

fn pick_url<'a>(random: &mut ChaCha8Rng, urls: &'a [SampleUrl]) -> &'a SampleUrl {
    urls.choose(random).expect("there is something to choose from")
}

fn row<const N: usize>(cells: [impl Into<String>; N]) -> Vec<String> {
    cells.into_iter().map(Into::into).collect()
}

fn write_csv(path: &Path, table: &Table) -> csv::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    for row in table {
        writer.write_record(row)?;
    }
    Ok(writer.flush()?)
}

#[expect(clippy::print_stdout, reason = "this is the command line")]
fn println(line: &str) {
    println!("{line}");
}
