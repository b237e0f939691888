//! Properties of imports over random links.

use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tern_admin::AdminConfig;
use tern_admin::export_command::{self, ExportCommand, Format};
use tern_admin::import::{self, ImportCommand, ImportSettings};
use tern_common::OwnAddresses;
use tern_common::link_labels::{ExternalId, LinkLabels, Notes, Tag, Tags};
use tern_common::routing::{Condition, Rule, Rules, Split, Variant};
use tern_common::store::{AdminStore, Load, NumberedRow};
use tern_common::url::{Title, UrlRow};
use tern_common::user::{Email, NewUser, Username};
use tern_common::{Id, LinkOptions, RedirectStatus, ShortCode, TargetUrl, Timestamp};
use tokio::sync::mpsc;

use crate::database::Database;

/// The random sets of links.
const CASES: usize = 12;

const FORMATS: [(Format, &str); 3] = [(Format::Csv, "csv"), (Format::Json, "json"), (Format::Ndjson, "ndjson")];

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    import: ImportCommand,
}

fn text(most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>().prop_filter("no NUL", |c| *c != '\0'), 1..most)
        .prop_map(|chars| chars.into_iter().collect())
}

fn word() -> impl Strategy<Value = String> {
    "[a-zäß=+@'-][a-z0-9 ;\"'.-]{0,8}[a-z0-9]"
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000).prop_map(Timestamp::from_unix_seconds)
}

/// Rules with texts of any characters, and a split; or neither.
fn routing() -> impl Strategy<Value = (Rules, Split)> {
    let condition = ("[ -~äß€]{1,12}", "[ -~äß€]{0,12}").prop_map(|(key, value)| Condition {
        kind: "query".to_owned(),
        key: Some(key),
        value: Some(value),
    });
    let rule = ("https://[a-z]{1,9}\\.example/[!-~]{0,9}", proptest::collection::vec(condition, 1..3))
        .prop_map(|(target, conditions)| Rule { target, conditions });
    let variant =
        ("https://[a-z]{1,9}\\.example/[!-~]{0,9}", 1_i64..50).prop_map(|(target, weight)| Variant { target, weight });
    let split = proptest::option::of(proptest::collection::vec(variant, 2));
    (proptest::collection::vec(rule, 0..3), split)
        .prop_map(|(rules, split)| (Rules::new(rules).unwrap(), Split::new(split.unwrap_or_default()).unwrap()))
}

/// Every field of a link that Tern stores.
fn row() -> impl Strategy<Value = UrlRow> {
    let labels =
        (proptest::collection::vec(word(), 0..4), proptest::option::of(text(40)), proptest::option::of("[ -~]{1,20}"));
    let options = (
        proptest::option::of((time(), 1_i64..1_000_000)),
        any::<bool>(),
        proptest::option::of("https://[a-z]{1,9}\\.example/[!-~]{0,9}"),
        proptest::option::of(proptest::sample::select(RedirectStatus::ALL.to_vec())),
        proptest::option::of(any::<bool>()),
        routing(),
    );
    let others = (
        "https?://[a-z]{1,9}\\.example/[a-zA-Z0-9?&=,;%\"'-]{0,20}",
        proptest::option::of(text(30)),
        any::<bool>(),
        0_i64..1_000_000_000,
        time(),
        0_i64..1_000_000,
    );
    (labels, options, others).prop_map(|((tags, notes, external_id), options, others)| {
        let (start, has_end, expired_url, status, forward_query, routing) = options;
        let (target, title, is_active, imported_clicks, created_at, later) = others;
        let is_plain = !has_end && routing.0.is_empty() && routing.1.is_empty();
        let status = status.filter(|status| is_plain || !status.is_permanent());
        UrlRow {
            id: None,
            user_id: Id::new(1).unwrap(),
            short_code: ShortCode::generate(8),
            original_url: TargetUrl::parse(&target).unwrap(),
            title: title.and_then(|title| Title::parse(&title).ok()),
            is_active,
            options: LinkOptions {
                starts_at: start.map(|(start, _)| start),
                expires_at: start
                    .filter(|_| has_end)
                    .map(|(start, length)| Timestamp::from_unix_seconds(start.unix_seconds() + length)),
                expired_url: expired_url.and_then(|url| TargetUrl::parse(&url).ok()),
                redirect_status: status,
                forward_query,
                max_clicks: None,
                rules: routing.0,
                split: routing.1,
            },
            labels: LinkLabels {
                tags: Tags::new(tags.iter().filter_map(|tag| Tag::parse(tag).ok())).unwrap(),
                notes: notes.and_then(|notes| Notes::parse(&notes).ok()),
                external_id: external_id.and_then(|id| ExternalId::parse(&id).ok()),
            },
            revision: None,
            imported_clicks,
            created_at: Some(created_at),
            updated_at: Some(Timestamp::from_unix_seconds(created_at.unix_seconds() + later)),
        }
    })
}

async fn store_with_user(directory: &Path) -> (Database, Arc<dyn AdminStore>) {
    let database = Database::create(directory).await;
    let store = Arc::clone(&database.store);
    let (username, email) = (Username::parse("ann").unwrap(), Email::parse("ann@mail.example").unwrap());
    store.insert_user(NewUser { username, email }).await.unwrap();
    (database, store)
}

async fn fill(store: &dyn AdminStore, rows: Vec<UrlRow>) {
    let (sender, batches) = mpsc::channel(2);
    let rows = (1..).zip(rows).map(|(line, row)| NumberedRow { line, row }).collect();
    for batch in [rows, Vec::new()] {
        sender.send(Ok(batch)).await.unwrap();
    }
    store.load(Load::Urls(batches), None).await.unwrap();
}

async fn export(store: &Arc<dyn AdminStore>, format: Format) -> Vec<u8> {
    let command = ExportCommand { format, ..ExportCommand::default() };
    let mut out = Vec::new();
    export_command::run(Arc::clone(store), &command, &OwnAddresses::default(), &mut out).await.unwrap();
    out
}

/// Returns what was printed.
async fn import(store: &dyn AdminStore, arguments: &[&str], file: &Path) -> String {
    let file = file.to_str().unwrap();
    let command = Cli::parse_from([&["import"], arguments, &[file]].concat()).import;
    let settings = ImportSettings::of(&AdminConfig::default(), "tern");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    import::run(store, &command, &settings, &mut out, &mut err).await.unwrap();
    String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap()
}

/// Returns every field of every link by its code, without those that an import chooses.
async fn links(store: &Arc<dyn AdminStore>) -> Vec<(String, Value)> {
    let exported: Vec<Value> = serde_json::from_slice(&export(store, Format::Json).await).unwrap();
    let mut links: Vec<(String, Value)> = exported
        .into_iter()
        .map(|mut link| {
            for name in ["id", "state", "revision"] {
                link.as_object_mut().unwrap().remove(name);
            }
            link["tags"].as_array_mut().unwrap().retain(|tag| !tag.as_str().unwrap().starts_with("import:"));
            (link["short_code"].as_str().unwrap().to_owned(), link)
        })
        .collect();
    links.sort_by(|a, b| a.0.cmp(&b.0));
    links
}

#[tokio::test(flavor = "multi_thread")]
async fn import_of_an_export_is_the_identity_is_repeated_without_effect_and_is_undone() {
    let mut runner = TestRunner::new(Config::default());
    for case in 0..CASES {
        let directory = tempfile::tempdir().unwrap();
        let mut rows = proptest::collection::vec(row(), 1..12).new_tree(&mut runner).unwrap().current();
        // An external id belongs to one link of a user.
        let mut ids = std::collections::HashSet::new();
        for row in &mut rows {
            row.labels.external_id = row.labels.external_id.take().filter(|id| ids.insert(id.as_str().to_owned()));
        }
        let (_origin, origin) = store_with_user(&directory.path().join("origin")).await;
        fill(&*origin, rows.clone()).await;
        let expected = links(&origin).await;
        let (format, extension) = FORMATS[case % FORMATS.len()];
        let file = directory.path().join(format!("links.{extension}"));
        std::fs::write(&file, export(&origin, format).await).unwrap();
        let (_copy, copy) = store_with_user(&directory.path().join("copy")).await;
        let printed = import(&*copy, &[], &file).await;
        assert_eq!(links(&copy).await, expected, "{format:?} {printed} {rows:?}");
        for policy in ["skip", "rename", "overwrite"] {
            let whole = export(&copy, Format::Json).await;
            let printed = import(&*copy, &["--on-conflict", policy], &file).await;
            assert_eq!(export(&copy, Format::Json).await, whole, "{policy} {printed}");
        }
        let tag = printed.split_whitespace().find(|word| word.starts_with("import:")).unwrap();
        let tag = tag.trim_end_matches([';', '.']);
        let undone = import::undo(&*copy, tag, Some(rows.len() as u64), None).await.unwrap();
        assert_eq!((undone.deleted, links(&copy).await.len()), (rows.len() as u64, 0));
    }
}
