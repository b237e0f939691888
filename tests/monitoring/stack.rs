//! A fleet behind nginx, with exporters, Prometheus and Alertmanager, under load. Every panel has data, and the alert
//! of a killed redirector reaches Discord.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tern_testkit::monitoring::Monitor;
use tern_testkit::nginx::{Nginx, Site};
use tern_tests::{Fleet, Visitors, eventually};

use crate::dashboards::{panels, queries};
use crate::discord::Discord;
use crate::{alertmanager, prometheus, root};

struct Stack {
    fleet: Fleet,
    nginx: Nginx,
    prometheus: Monitor,
    discord: Discord,
    client: Client,
    /// Token with the role `admin`.
    token: String,
    others: [Monitor; 4],
}

impl Stack {
    async fn start() -> Stack {
        let settings = [("TRUSTED_PROXIES", "127.0.0.1"), ("ADMIN_OPS_LISTEN", "127.0.0.1:0")];
        let mut fleet = Fleet::start(3, &settings).await;
        let token = fleet.close_api();
        let of =
            |index: usize| fleet.redirectors.iter().map(|redirector| redirector.addresses[index].clone()).collect();
        let admins = vec![fleet.admin.addresses[0].clone()];
        let site = Site { redirectors: of(0), admins, is_behind_proxy: false };
        let nginx = Nginx::start(&root().join("nginx"), &site);
        let discord = Discord::start();
        let others = [
            Monitor::alertmanager(&alertmanager(), &discord.webhook, None),
            Monitor::nginx_exporter(&nginx.status_address()),
            Monitor::postgres_exporter(&fleet.postgres.url("postgres")),
            Monitor::redis_exporter(&fleet.redis.url()),
        ];
        let targets = [
            ("redirectors", of(1)),
            ("admins", vec![fleet.admin.addresses[1].clone()]),
            ("alertmanagers", vec![others[0].address()]),
            ("nginx", vec![others[1].address()]),
            ("postgres", vec![others[2].address()]),
            ("redis", vec![others[3].address()]),
        ];
        let prometheus = Monitor::prometheus(&prometheus(), &targets);
        Stack { fleet, nginx, prometheus, discord, client: Client::new(), token, others }
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("http://{}/api/v1/{path}", self.prometheus.address());
        let mut url = reqwest::Url::parse(&url).unwrap();
        url.query_pairs_mut().extend_pairs(query);
        // Prometheus answers 503 until it has read its files.
        let answer = self.client.get(url).send().await.unwrap();
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Returns the current values of a query.
    async fn values(&self, query: &str) -> Vec<f64> {
        let answer = self.ask("query", &[("query", query)]).await;
        assert_ne!(answer["status"], "error", "{query}: {answer}");
        let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        result.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Checks that each command of the runbook runs, with the addresses that its `export` lines name set here.
    fn check_runbook_commands(&self) {
        let runbook = fs::read_to_string(root().join("docs/RUNBOOK.md")).unwrap();
        let commands = runbook.lines().filter_map(|line| line.strip_prefix("    "));
        let commands: Vec<&str> = commands.filter(|command| !command.starts_with("export ")).collect();
        assert!(commands.len() > 25, "a command is missing: {commands:?}");
        let directory = self.fleet.redirector_directory(0);
        let access_log = self.nginx.access_log_file();
        for command in commands {
            let mut shell = Command::new("sh");
            shell.args(["-e", "-u", "-c", command]).current_dir(&directory);
            shell.envs([("EDGE", &self.nginx.address()), ("ADMIN", &self.fleet.admin.addresses[0])]);
            shell.envs([("OPS", &self.fleet.redirectors[0].addresses[1]), ("PROMETHEUS", &self.prometheus.address())]);
            shell.envs([("ALERTMANAGER", &self.others[0].address()), ("TOKEN", &self.token)]);
            shell.envs([("DATABASE_URL", &self.fleet.postgres.url("test0")), ("REDIS_URL", &self.fleet.redis.url())]);
            shell.env("ACCESS_LOG", &access_log).env("TERN_DATA_DIR", "data");
            let output = shell.output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{command}: {output:?}");
        }
    }

    /// Reads and changes as administrators do.
    async fn administer(&self, round: usize) {
        let url = json!({"user_id": 1, "original_url": format!("https://example.com/{round}")});
        assert_eq!(self.fleet.call(Method::PUT, "/urls/1", &url).await.0, 200);
        let through_nginx =
            |path: &str| self.fleet.client().get(format!("http://{}{path}", self.nginx.address())).send();
        assert_eq!(through_nginx("/products").await.unwrap().status(), 200);
        // An invalid Host makes a request that the redirector refuses.
        let refused = self.client.get(format!("http://{}/x", self.fleet.redirectors[0].addresses[0]));
        assert_eq!(refused.header("host", "a@b").send().await.unwrap().status(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_data_and_an_alert_reaches_discord() {
    let started = Instant::now();
    let mut stack = Stack::start().await;
    let code = stack.fleet.code(2).await;
    let visitors = Visitors::start(&stack.nginx.address(), &code, 200);
    println!("set up after {:?}", started.elapsed());

    let panels = panels();
    let wanted: Vec<&str> = panels.iter().flat_map(queries).collect();
    let mut missing: Vec<&str> = wanted.clone();
    let mut round = 0;
    eventually("every panel shows something", async || {
        stack.administer(round).await;
        round += 1;
        let mut without_data = Vec::new();
        for query in &missing {
            let values = stack.values(&query.replace("$__rate_interval", "12s")).await;
            // A quantile without samples is NaN.
            if values.is_empty() || values.iter().any(|value| value.is_nan()) {
                without_data.push(*query);
            }
        }
        missing = without_data;
        tokio::time::sleep(Duration::from_millis(200)).await;
        if started.elapsed() > Duration::from_secs(20) {
            println!("nothing to show for {missing:#?}");
        }
        missing.is_empty()
    })
    .await;
    println!("{} queries of {} panels have data after {:?}", wanted.len(), panels.len(), started.elapsed());

    let names = stack.ask("label/__name__/values", &[]).await;
    let names: BTreeSet<&str> = names["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let rules = fs::read_to_string(prometheus().join("rules/tern.yml")).unwrap();
    let mentioned = metrics_of(&rules).chain(wanted.iter().flat_map(|query| metrics_of(query)));
    for metric in mentioned {
        assert!(names.contains(metric), "no server exports {metric}");
    }

    stack.check_runbook_commands();

    // No alert fires yet.
    let firing = stack.ask("query", &[("query", r#"ALERTS{alertstate="firing"}"#)]).await;
    assert_eq!(firing["data"]["result"], json!([]), "{firing}");

    let killed = Instant::now();
    stack.fleet.redirectors[1].signal(Signal::SIGKILL);
    let address = &stack.fleet.redirectors[1].addresses[1].clone();
    eventually("the alert reaches Discord", async || !stack.discord.messages_with(&[address]).is_empty()).await;
    println!("the alert reached Discord {:?} after the kill", killed.elapsed());
    let messages = stack.discord.messages_with(&[address, "docs/RUNBOOK.md#ternplaneunreachable", "CRITICAL: "]);
    assert_eq!(messages.len(), 1, "{messages:?}");
    let embed = &messages[0]["embeds"][0];
    assert_eq!(embed["title"], "CRITICAL: A process of Tern does not answer");
    assert!(embed["description"].as_str().unwrap().starts_with(&format!("The redirector at {address} does not")));

    stack.fleet.restart_redirector_in_place(1, Signal::SIGKILL).await;
    eventually("Discord hears that it is over", async || !stack.discord.messages_with(&[address, "OVER: "]).is_empty())
        .await;

    // No client outside noticed anything.
    let visits = visitors.finish().await;
    println!("{visits}");
    assert_eq!(visits.failed(), 0, "{visits:?}");
}

/// Returns the words of a text that look like metric names.
fn metrics_of(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.contains("record:"));
    let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':'));
    let families = ["tern_", "pg_", "redis_", "nginx_"];
    words.filter(move |word| families.iter().any(|family| word.starts_with(family)) && word.len() > 6)
}
