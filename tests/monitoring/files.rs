//! Configuration, rules and runbook, checked by `promtool` and `amtool`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tern_testkit::monitoring::{prometheus_directory, tool};

use crate::{alertmanager, alerts, prometheus, root};

fn check_passes(name: &str, arguments: &[&str], directory: &Path) {
    let output = tool(name, arguments, directory);
    let output_text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {output_text}");
}

#[test]
fn promtool_accepts_configuration_and_rules() {
    let directory = prometheus_directory(&prometheus(), &[]);
    check_passes("promtool", &["check", "config", "prometheus.yml"], directory.path());
    // The rules with their own times.
    check_passes("promtool", &["check", "rules", "rules/tern.yml"], &prometheus());
    check_passes("promtool", &["test", "rules", "rules_test.yml"], &prometheus());
}

#[test]
fn each_alert_has_a_firing_and_a_silent_test() {
    let tests = fs::read_to_string(prometheus().join("rules_test.yml")).unwrap();
    for (alert, _) in alerts() {
        let cases: Vec<&str> = tests.split(&format!("alertname: {alert}\n")).skip(1).collect();
        let silent = |case: &&&str| case.trim_start().starts_with("exp_alerts: []");
        assert!(cases.iter().any(|case| silent(&case)), "{alert} has no case in which it is silent");
        assert!(cases.iter().any(|case| !silent(&case)), "{alert} has no case in which it fires");
    }
}

#[test]
fn each_alert_has_severity_texts_and_a_runbook_section() {
    let runbook = fs::read_to_string(root().join("docs/RUNBOOK.md")).unwrap();
    let headings: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for (alert, rule) in alerts() {
        assert!(rule.contains("severity: warning") || rule.contains("severity: critical"), "{alert}");
        for annotation in ["summary: ", "description: "] {
            assert!(rule.contains(annotation), "{alert} has no {annotation}");
        }
        let anchor = alert.to_lowercase();
        assert!(rule.contains(&format!("runbook_url: docs/RUNBOOK.md#{anchor}\n")), "{alert}");
        assert!(headings.contains(&*alert), "the runbook says nothing of {alert}");
    }
    // The runbook has no section of an alert that does not exist.
    let alerts = alerts();
    for heading in headings.iter().filter(|heading| heading.starts_with("Tern")) {
        assert!(alerts.iter().any(|(alert, _)| alert == heading), "{heading} is no alert");
    }
}

#[test]
fn amtool_accepts_configuration_with_and_without_webhook() {
    check_passes("amtool", &["check-config", "alertmanager.yml"], &alertmanager());
    let directory = tempfile::tempdir().unwrap();
    let configure = |webhook: &str| {
        fs::write(directory.path().join("webhook"), webhook).unwrap();
        Command::new(alertmanager().join("configure")).arg(directory.path().join("webhook")).output().unwrap()
    };
    let webhook = "https://discord.com/api/webhooks/1234/a-b_C?wait=true&thread_id=5";
    for (given, discords) in [(webhook, 1), (&*format!("{webhook}\n"), 1), ("", 0), ("\n", 0)] {
        let configured = configure(given);
        assert!(configured.status.success(), "{configured:?}");
        let text = String::from_utf8(configured.stdout).unwrap();
        assert_eq!(text.matches("discord_configs").count(), discords);
        assert_eq!(text.matches(&format!("webhook_url: {webhook}\n")).count(), discords, "{text}");
        fs::write(directory.path().join("configured.yml"), text).unwrap();
        check_passes("amtool", &["check-config", "configured.yml"], directory.path());
    }
    // With the runbook's address, a message has a link in place of a path.
    fs::write(directory.path().join("webhook"), webhook).unwrap();
    let linked = |runbook: &str| {
        let mut configure = Command::new(alertmanager().join("configure"));
        configure.arg(directory.path().join("webhook")).arg(runbook).output().unwrap()
    };
    let configured = linked("https://git.example/RUNBOOK.md?a=1&b=2");
    assert!(configured.status.success(), "{configured:?}");
    let text = String::from_utf8(configured.stdout).unwrap();
    assert!(text.contains(": https://git.example/RUNBOOK.md?a=1&b=2{{ reReplaceAll "), "{text}");
    fs::write(directory.path().join("configured.yml"), text).unwrap();
    check_passes("amtool", &["check-config", "configured.yml"], directory.path());
    let refused = linked("docs/RUNBOOK.md");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(64), 0), "{refused:?}");
    // An invalid address is refused before it becomes a configuration.
    for given in
        ["discord", "ftp://discord.com/", "https://discord.com/a\"b", "https://discord.com/a|b", "http://else/"]
    {
        let configured = configure(given);
        assert_eq!((configured.status.code(), configured.stdout.len()), (Some(64), 0), "{given}");
        assert!(
            !String::from_utf8_lossy(&configured.stderr).contains(given),
            "the output contains a secret: {configured:?}"
        );
    }
}
