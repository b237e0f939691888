//! What Alertmanager makes of alerts that it is given: what is told, and what is kept back.

use reqwest::Client;
use serde_json::{Value, json};
use tern_testkit::monitoring::Monitor;
use tern_tests::eventually;

use crate::alertmanager;
use crate::discord::Discord;

struct Desk {
    alertmanager: Monitor,
    discord: Discord,
    client: Client,
}

impl Desk {
    fn start() -> Desk {
        Desk::start_with_runbook_at(None)
    }

    fn start_with_runbook_at(runbook: Option<&str>) -> Desk {
        let discord = Discord::start();
        let alertmanager = Monitor::alertmanager(&alertmanager(), &discord.webhook, runbook);
        Desk { alertmanager, discord, client: Client::new() }
    }

    /// Hands in alerts, as Prometheus does.
    async fn take(&self, alerts: &[Value]) {
        let url = format!("http://{}/api/v2/alerts", self.alertmanager.address());
        // It answers 503 until it is ready.
        eventually("the alerts are taken", async || {
            self.client.post(&url).json(alerts).send().await.unwrap().status() == 200
        })
        .await;
    }

    async fn title_and_text(&self, texts: &[&str]) -> (String, String) {
        eventually("Discord is told", async || !self.discord.messages_with(texts).is_empty()).await;
        let embed = self.discord.messages_with(texts).pop().unwrap()["embeds"][0].take();
        (embed["title"].as_str().unwrap().to_owned(), embed["description"].as_str().unwrap().to_owned())
    }
}

/// One that fires, of a redirector unless the labels say otherwise, and is described by its name and instance.
fn alert(name: &str, instance: &str, labels: &Value) -> Value {
    let mut all = json!({"alertname": name, "severity": "critical", "job": "redirector", "instance": instance});
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    let description = format!("{name} at {instance}.");
    let annotations = json!({"summary": "It is bad", "description": description, "runbook_url": "docs/RUNBOOK.md"});
    json!({"labels": all, "annotations": annotations})
}

fn over(mut alert: Value) -> Value {
    alert["startsAt"] = json!("2020-01-01T00:00:00Z");
    alert["endsAt"] = json!("2020-01-01T00:01:00Z");
    alert
}

#[tokio::test]
async fn of_two_the_one_that_is_over_is_told_as_over() {
    let desk = Desk::start();
    let both = ["r1", "r2"].map(|instance| alert("TernReplicaStale", instance, &json!({})));
    desk.take(&both).await;
    let (title, text) = desk.title_and_text(&["at r1.", "at r2."]).await;
    assert_eq!(title, "CRITICAL: It is bad");
    assert_eq!(text, "TernReplicaStale at r1.\nTernReplicaStale at r2.\nTernReplicaStale: docs/RUNBOOK.md");

    let [first, second] = both.map(over);
    desk.take(&[first]).await;
    let (title, text) = desk.title_and_text(&["Over: "]).await;
    assert_eq!(title, "CRITICAL: It is bad");
    assert_eq!(text, "TernReplicaStale at r2.\nOver: TernReplicaStale at r1.\nTernReplicaStale: docs/RUNBOOK.md");

    desk.take(&[second]).await;
    let (title, text) = desk.title_and_text(&["OVER: "]).await;
    assert_eq!(title, "OVER: It is bad");
    assert_eq!(text, "Over: TernReplicaStale at r2.\nTernReplicaStale: docs/RUNBOOK.md");
}

#[tokio::test]
async fn message_with_a_runbook_address_links_to_the_section_of_its_alert() {
    let desk = Desk::start_with_runbook_at(Some("https://git.example/tern/RUNBOOK.md"));
    let mut stale = alert("TernReplicaStale", "r1", &json!({}));
    stale["annotations"]["runbook_url"] = json!("docs/RUNBOOK.md#ternreplicastale");
    desk.take(&[stale]).await;
    let (_, text) = desk.title_and_text(&["at r1."]).await;
    let link = "TernReplicaStale: https://git.example/tern/RUNBOOK.md#ternreplicastale";
    assert_eq!(text, format!("TernReplicaStale at r1.\n{link}"));
}

/// Alerts that follow from a database that is away.
fn consequences() -> [Value; 2] {
    [alert("TernReplicaStale", "r1", &json!({})), alert("TernClicksWaiting", "r1", &json!({}))]
}

/// The names of what Alertmanager keeps back.
async fn kept_back(desk: &Desk) -> Vec<String> {
    let url = format!("http://{}/api/v2/alerts?active=false&inhibited=true", desk.alertmanager.address());
    let alerts: Value = desk.client.get(url).send().await.unwrap().json().await.unwrap();
    let names =
        alerts.as_array().unwrap().iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_follows_from_a_database_that_is_away_is_kept_back() {
    let desk = Desk::start();
    desk.take(&[alert("TernServiceUnreachable", "p1", &json!({"job": "postgres", "away": "service"}))]).await;
    desk.title_and_text(&["TernServiceUnreachable at p1."]).await;
    desk.take(&consequences()).await;
    let redirectors = alert("TernErrorsHigh", "r1", &json!({}));
    desk.take(&[redirectors]).await;
    // A redirector that fails does not fail for want of a database.
    desk.title_and_text(&["TernErrorsHigh at r1."]).await;
    eventually("the rest is kept back", async || kept_back(&desk).await == ["TernClicksWaiting", "TernReplicaStale"])
        .await;
    assert!(desk.discord.messages_with(&["at r1.", "TernReplicaStale"]).is_empty());
    assert!(desk.discord.messages_with(&["at r1.", "TernClicksWaiting"]).is_empty());
}

/// Its exporter says nothing of the database, and neither does the exporter of another service.
#[tokio::test]
async fn nothing_is_kept_back_while_only_an_exporter_is_away() {
    let desk = Desk::start();
    let labels = [json!({"job": "postgres", "away": "exporter"}), json!({"job": "redis", "away": "service"})];
    desk.take(&labels.map(|labels| alert("TernServiceUnreachable", "x1", &labels))).await;
    desk.title_and_text(&["TernServiceUnreachable at x1."]).await;
    desk.take(&consequences()).await;
    for told in ["TernReplicaStale at r1.", "TernClicksWaiting at r1."] {
        desk.title_and_text(&[told]).await;
    }
}

/// The labels by which Alertmanager keeps back are those that the rules give.
#[test]
fn the_rules_say_who_is_away() {
    let rules = crate::alerts();
    let of_services: Vec<_> = rules.iter().filter(|(name, _)| name == "TernServiceUnreachable").collect();
    let tells = |expression: &str, label: &str| {
        of_services.iter().any(|(_, rule)| rule.contains(expression) && rule.contains(label))
    };
    assert!(tells("pg_up == 0", "away: service}"), "{of_services:?}");
    assert!(tells("expr: up{", "away: exporter}"), "{of_services:?}");
}
