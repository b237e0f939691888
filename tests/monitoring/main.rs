//! The project's monitoring: its files as their tools check them, and the whole stack over a fleet.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod dashboards;
mod discord;
mod files;
mod notifications;
mod stack;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn prometheus() -> PathBuf {
    root().join("monitoring/prometheus")
}

fn alertmanager() -> PathBuf {
    root().join("monitoring/alertmanager")
}

/// Returns the alerts of the rules, each with the lines of its rule.
fn alerts() -> Vec<(String, String)> {
    let rules = fs::read_to_string(prometheus().join("rules/tern.yml")).unwrap();
    let rules = rules.split("\n      - ").filter_map(|rule| {
        let (name, rest) = rule.strip_prefix("alert: ")?.split_once('\n')?;
        Some((name.to_owned(), rest.to_owned()))
    });
    let alerts: Vec<_> = rules.collect();
    assert!(alerts.len() >= 12, "the rules are all there: {alerts:?}");
    alerts
}
