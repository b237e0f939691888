//! Alertmanager's notifications: messages that it sends, and alerts that it inhibits.

use reqwest::Client;
use serde_json::{Value, json};
use tern_testkit::monitoring::Monitor;
use tern_tests::eventually;

use crate::alertmanager;
use crate::discord::Discord;

struct Alerting {
    alertmanager: Monitor,
    discord: Discord,
    client: Client,
}

impl Alerting {
    fn start() -> Alerting {
        Alerting::start_with_runbook_at(None)
    }

    fn start_with_runbook_at(runbook: Option<&str>) -> Alerting {
        let discord = Discord::start();
        let alertmanager = Monitor::alertmanager(&alertmanager(), &discord.webhook, runbook);
        Alerting { alertmanager, discord, client: Client::new() }
    }

    /// Sends alerts, as Prometheus does.
    async fn send(&self, alerts: &[Value]) {
        let url = format!("http://{}/api/v2/alerts", self.alertmanager.address());
        // Alertmanager answers 503 until it is ready.
        eventually("the alerts are taken", async || {
            self.client.post(&url).json(alerts).send().await.unwrap().status() == 200
        })
        .await;
    }

    async fn wait_for_message(&self, texts: &[&str]) -> (String, String) {
        eventually("Discord has the message", async || !self.discord.messages_with(texts).is_empty()).await;
        let embed = self.discord.messages_with(texts).pop().unwrap()["embeds"][0].take();
        (embed["title"].as_str().unwrap().to_owned(), embed["description"].as_str().unwrap().to_owned())
    }
}

/// Returns a firing alert of a redirector, unless the labels differ, described by its name and instance.
fn alert(name: &str, instance: &str, labels: &Value) -> Value {
    let mut all = json!({"alertname": name, "severity": "critical", "job": "redirector", "instance": instance});
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    let description = format!("{name} at {instance}.");
    let annotations = json!({"summary": "It is bad", "description": description, "runbook_url": "docs/RUNBOOK.md"});
    json!({"labels": all, "annotations": annotations})
}

fn resolved(mut alert: Value) -> Value {
    alert["startsAt"] = json!("2020-01-01T00:00:00Z");
    alert["endsAt"] = json!("2020-01-01T00:01:00Z");
    alert
}

#[tokio::test]
async fn resolved_alert_of_two_is_reported_as_over() {
    let alerting = Alerting::start();
    let both = ["r1", "r2"].map(|instance| alert("TernReplicaStale", instance, &json!({})));
    alerting.send(&both).await;
    let (title, text) = alerting.wait_for_message(&["at r1.", "at r2."]).await;
    assert_eq!(title, "CRITICAL: It is bad");
    assert_eq!(text, "TernReplicaStale at r1.\nTernReplicaStale at r2.\nTernReplicaStale: docs/RUNBOOK.md");

    let [first, second] = both.map(resolved);
    alerting.send(&[first]).await;
    let (title, text) = alerting.wait_for_message(&["Over: "]).await;
    assert_eq!(title, "CRITICAL: It is bad");
    assert_eq!(text, "TernReplicaStale at r2.\nOver: TernReplicaStale at r1.\nTernReplicaStale: docs/RUNBOOK.md");

    alerting.send(&[second]).await;
    let (title, text) = alerting.wait_for_message(&["OVER: "]).await;
    assert_eq!(title, "OVER: It is bad");
    assert_eq!(text, "Over: TernReplicaStale at r2.\nTernReplicaStale: docs/RUNBOOK.md");
}

#[tokio::test]
async fn message_with_runbook_address_links_to_the_section_of_its_alert() {
    let alerting = Alerting::start_with_runbook_at(Some("https://git.example/tern/RUNBOOK.md"));
    let mut stale = alert("TernReplicaStale", "r1", &json!({}));
    stale["annotations"]["runbook_url"] = json!("docs/RUNBOOK.md#ternreplicastale");
    alerting.send(&[stale]).await;
    let (_, text) = alerting.wait_for_message(&["at r1."]).await;
    let link = "TernReplicaStale: https://git.example/tern/RUNBOOK.md#ternreplicastale";
    assert_eq!(text, format!("TernReplicaStale at r1.\n{link}"));
}

/// Returns alerts that an unavailable database causes.
fn consequences() -> [Value; 2] {
    [alert("TernReplicaStale", "r1", &json!({})), alert("TernClicksWaiting", "r1", &json!({}))]
}

/// Returns the names of the alerts that Alertmanager inhibits.
async fn inhibited_alerts(alerting: &Alerting) -> Vec<String> {
    let url = format!("http://{}/api/v2/alerts?active=false&inhibited=true", alerting.alertmanager.address());
    let alerts: Value = alerting.client.get(url).send().await.unwrap().json().await.unwrap();
    let names =
        alerts.as_array().unwrap().iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn alerts_caused_by_an_unavailable_database_are_inhibited() {
    let alerting = Alerting::start();
    alerting
        .send(&[alert("TernServiceUnreachable", "p1", &json!({"job": "postgres", "unreachable": "service"}))])
        .await;
    alerting.wait_for_message(&["TernServiceUnreachable at p1."]).await;
    alerting.send(&consequences()).await;
    let redirectors = alert("TernErrorsHigh", "r1", &json!({}));
    alerting.send(&[redirectors]).await;
    // Errors of a redirector are not caused by the database.
    alerting.wait_for_message(&["TernErrorsHigh at r1."]).await;
    eventually("the rest is kept back", async || {
        inhibited_alerts(&alerting).await == ["TernClicksWaiting", "TernReplicaStale"]
    })
    .await;
    assert!(alerting.discord.messages_with(&["at r1.", "TernReplicaStale"]).is_empty());
    assert!(alerting.discord.messages_with(&["at r1.", "TernClicksWaiting"]).is_empty());
}

/// An unavailable exporter proves nothing about the database, nor does another service's exporter.
#[tokio::test]
async fn unavailable_exporter_inhibits_no_alert() {
    let alerting = Alerting::start();
    let labels =
        [json!({"job": "postgres", "unreachable": "exporter"}), json!({"job": "redis", "unreachable": "service"})];
    alerting.send(&labels.map(|labels| alert("TernServiceUnreachable", "x1", &labels))).await;
    alerting.wait_for_message(&["TernServiceUnreachable at x1."]).await;
    alerting.send(&consequences()).await;
    for text in ["TernReplicaStale at r1.", "TernClicksWaiting at r1."] {
        alerting.wait_for_message(&[text]).await;
    }
}

/// Alertmanager inhibits by the labels that the rules set.
#[test]
fn unreachable_alert_labels_service_and_exporter() {
    let rules = crate::alerts();
    let of_services: Vec<_> = rules.iter().filter(|(name, _)| name == "TernServiceUnreachable").collect();
    let tells = |expression: &str, label: &str| {
        of_services.iter().any(|(_, rule)| rule.contains(expression) && rule.contains(label))
    };
    assert!(tells("pg_up == 0", "unreachable: service}"), "{of_services:?}");
    assert!(tells("expr: up{", "unreachable: exporter}"), "{of_services:?}");
}
