//! Sample data in the form of real data. A fixed seed makes every sample equal.

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

const SEED: u64 = 0x7e72;
const USERS: usize = 400;
const URLS: usize = 2000;
const UPDATES: usize = 1206;
const DELETIONS: usize = 216;

/// Percentage of active links.
const ACTIVE_PERCENT: u32 = 82;

/// The first second of the sample, 2025-01-01, and its length of 420 days.
const FIRST_SECOND: i64 = 1_735_689_600;
const SECONDS: i64 = 420 * 24 * 60 * 60;

/// The first second of starts and ends that lie ahead, 2090-01-01.
const FAR_FUTURE: i64 = 3_786_912_000;

const ADJECTIVES: [&str; 20] = [
    "amber", "brisk", "calm", "coastal", "crisp", "distant", "early", "gentle", "grey", "keen", "light", "long",
    "narrow", "northern", "quiet", "rapid", "silver", "steady", "tidal", "wide",
];
const NOUNS: [&str; 20] = [
    "bay", "beacon", "breeze", "channel", "cliff", "colony", "current", "dune", "feather", "harbour", "island",
    "lagoon", "marsh", "meadow", "reef", "ridge", "shore", "strait", "tide", "wing",
];
const TITLES: [&str; 8] = ["Campaign", "Changelog", "Guide", "Invitation", "Launch", "Offer", "Report", "Status"];

/// Host names that are reserved for examples (RFC 2606), so that sample links load no real site.
const HOSTS: [&str; 5] = ["example.com", "example.net", "example.org", "www.example.com", "docs.example.org"];

/// Writes `users.csv`, `urls.csv` and `events.csv` into `directory`, which must contain none of them.
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

fn write_files(directory: &Path) -> anyhow::Result<[PathBuf; 3]> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let paths = ["users.csv", "urls.csv", "events.csv"].map(|name| directory.join(name));
    for path in &paths {
        ensure!(!path.exists(), "{} is there already", path.display());
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let urls = urls(&mut random);
    let tables = [users(&mut random), urls_table(&urls), events_table(&mut random, &urls)];
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
    created_at: i64,
    updated_at: i64,
}

/// Cells of the optional columns. An empty cell is no value.
#[derive(Default)]
struct Options {
    starts_at: String,
    expires_at: String,
    expired_url: String,
    redirect_status: String,
    forward_query: String,
}

fn users(random: &mut ChaCha8Rng) -> Table {
    let mut rows = vec![row(["id", "username", "email", "created_at"])];
    for id in 1..=USERS {
        let name = format!("{}{}{id}", pick(random, &ADJECTIVES), pick(random, &NOUNS));
        let email = format!("{name}@{}", pick(random, &HOSTS));
        rows.push(row([id.to_string(), name, email, time(moment(random, FIRST_SECOND))]));
    }
    rows
}

fn urls(random: &mut ChaCha8Rng) -> Vec<SampleUrl> {
    let mut taken = std::collections::HashSet::new();
    // Numbers of their own leave all other columns as they are.
    let mut random_options = ChaCha8Rng::seed_from_u64(SEED + 1);
    (1..=URLS)
        .map(|id| {
            let short_code = std::iter::repeat_with(|| code(random))
                .find(|code| taken.insert(code.clone()))
                .expect("there are far more codes than links");
            let created_at = moment(random, FIRST_SECOND);
            let (adjective, noun) = (pick(random, &ADJECTIVES), pick(random, &NOUNS));
            SampleUrl {
                id,
                user_id: random.random_range(1..=USERS),
                short_code,
                original_url: format!("https://{}/{adjective}/{noun}/{id}", pick(random, &HOSTS)),
                title: format!("{} {adjective} {noun}", pick(random, &TITLES)),
                // The first link is active, because `tern serve` prints it.
                is_active: id == 1 || random.random_ratio(ACTIVE_PERCENT, 100),
                options: if id == 1 { Options::default() } else { options(&mut random_options, created_at) },
                created_at,
                updated_at: moment(random, created_at),
            }
        })
        .collect()
}

/// Draws the options of a link: one of seven has some.
fn options(random: &mut ChaCha8Rng, created_at: i64) -> Options {
    let over = format!("https://{}/over", pick(random, &HOSTS));
    let past = time(moment(random, created_at));
    let future = time(random.random_range(FAR_FUTURE..FAR_FUTURE + SECONDS));
    let none = Options::default();
    match random.random_range(0..100) {
        0..2 => Options { expires_at: past, ..none },
        2..4 => Options { expires_at: past, expired_url: over, ..none },
        4..6 => Options { starts_at: past, expires_at: future, expired_url: over, ..none },
        6 => Options { starts_at: future, ..none },
        7 => Options { redirect_status: "301".to_owned(), ..none },
        8 => Options { redirect_status: "307".to_owned(), expires_at: future, ..none },
        9 => Options { redirect_status: "308".to_owned(), ..none },
        10..14 => Options { forward_query: "True".to_owned(), ..none },
        _ => none,
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
        ])
    });
    std::iter::once(row(header)).chain(rows).collect()
}

fn events_table(random: &mut ChaCha8Rng, urls: &[SampleUrl]) -> Table {
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
        add(url, "updated", moment(random, url.created_at), json!({"field": field, "new_value": value}));
    }
    for _ in 0..DELETIONS {
        let url = pick_url(random, urls);
        let reason = pick(random, &["duplicate", "expired", "user_requested"]);
        add(url, "deleted", moment(random, url.created_at), json!({"reason": reason}));
    }
    rows
}

fn code(random: &mut ChaCha8Rng) -> String {
    let characters = rand::distr::Alphanumeric;
    let code: String = (0..ShortCode::DEFAULT_LEN).map(|_| char::from(random.sample(characters))).collect();
    // The fixed seed generates no reserved word: a test loads the sample.
    code
}

/// Returns a second between `from` and the end of the sample.
fn moment(random: &mut ChaCha8Rng, from: i64) -> i64 {
    random.random_range(from..FIRST_SECOND + SECONDS)
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
