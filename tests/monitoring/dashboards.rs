//! The dashboards: their structure, and the queries of their panels.

use std::collections::HashSet;
use std::fs;

use serde_json::{Value, json};

use crate::root;

/// Returns each panel of each dashboard.
pub fn panels() -> Vec<Value> {
    dashboards().into_iter().flat_map(|(_, dashboard)| dashboard["panels"].as_array().unwrap().clone()).collect()
}

fn dashboards() -> Vec<(String, Value)> {
    let directory = root().join("monitoring/grafana/dashboards");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (path.display().to_string(), serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()))
        .collect()
}

/// Returns the queries of a panel.
pub fn queries(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
}

#[test]
fn dashboards_have_the_structure_that_grafana_needs() {
    let datasource = json!({"type": "prometheus", "uid": "prometheus"});
    let provisioned = fs::read_to_string(root().join("monitoring/grafana/provisioning/datasources/prometheus.yml"));
    assert!(provisioned.unwrap().contains("uid: prometheus\n"));
    let mut uids = HashSet::new();
    for (path, dashboard) in dashboards() {
        for text in ["title", "description", "uid", "refresh", "timezone"] {
            assert!(
                dashboard[text].as_str().is_some_and(|text| !text.is_empty()),
                "{path}: {text} is missing or empty"
            );
        }
        let uid = dashboard["uid"].as_str().unwrap().to_owned();
        assert!(
            uid.len() <= 40 && uids.insert(uid),
            "{path}: the uid is longer than 40 bytes, or another dashboard has it"
        );
        // Grafana 9.3 writes schema version 37; later versions of Grafana migrate it.
        assert_eq!(dashboard["schemaVersion"], 37, "{path}: unknown schema version");
        assert!(dashboard["time"]["from"].is_string() && dashboard["time"]["to"].is_string(), "{path}: no time range");
        assert!(
            dashboard["templating"]["list"].is_array() && dashboard["annotations"]["list"].is_array(),
            "{path}: templating or annotations have no list"
        );

        let (mut ids, mut places) = (HashSet::new(), Vec::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{path}: {title} has the id of another panel");
            assert!(
                ["timeseries", "stat", "gauge"].contains(&panel["type"].as_str().unwrap()),
                "{path}: {title} has an unknown type"
            );
            assert!(
                panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
                "{path}: {title} has no description that ends with a full stop"
            );
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{path}: {title} has no unit");
            assert!(
                panel["fieldConfig"]["overrides"].is_array() && panel["options"].is_object(),
                "{path}: {title} has no overrides or options"
            );
            assert_eq!(panel["datasource"], datasource, "{path}: {title} has another data source");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + w <= 24 && w > 0 && h > 0, "{path}: {title} is empty or wider than the grid");
            let overlaps =
                |&(ox, oy, ow, oh): &(u64, u64, u64, u64)| x < ox + ow && ox < x + w && y < oy + oh && oy < y + h;
            assert!(!places.iter().any(overlaps), "{path}: {title} overlaps another panel");
            places.push((x, y, w, h));
            let mut names = HashSet::new();
            for target in panel["targets"].as_array().unwrap() {
                assert!(
                    names.insert(target["refId"].as_str().unwrap()),
                    "{path}: two queries of {title} have the same refId"
                );
                assert_eq!(target["datasource"], datasource, "{path}: a query of {title} has another data source");
                assert!(target["legendFormat"].is_string(), "{path}: a query of {title} has no legend");
            }
            assert!(queries(panel).count() > 0, "{path}: {title} has no query");
        }
    }
}

/// Checks that the dashboard `tern.json` has the ten required panels.
#[test]
fn tern_dashboard_has_the_required_panels() {
    let (_, tern) = dashboards().into_iter().find(|(path, _)| path.ends_with("/tern.json")).unwrap();
    let has = |kind: &str, words: &[&str]| {
        let panels = tern["panels"].as_array().unwrap();
        let fits = |panel: &&Value| {
            panel["type"] == kind && words.iter().all(|word| queries(panel).any(|query| query.contains(word)))
        };
        assert!(panels.iter().any(|panel| fits(&panel)), "no panel of the type {kind} has queries with {words:?}");
    };
    has("timeseries", &["histogram_quantile(0.5,", "histogram_quantile(0.95,", "histogram_quantile(0.99,"]);
    has("gauge", &["histogram_quantile(0.95,"]);
    has("timeseries", &["by (status)", "by (outcome)"]);
    has("stat", &["sum(rate("]);
    has("gauge", &["5.."]);
    has("timeseries", &["pg_stat_database_numbackends", "pg_settings_max_connections"]);
    has("timeseries", &["redis_memory_used_bytes", "redis_memory_max_bytes"]);
    has("timeseries", &["redis_keyspace_hits_total", "redis_keyspace_misses_total"]);
    has("stat", &["up{"]);
    assert_eq!(tern["panels"].as_array().unwrap().len(), 10);
}
