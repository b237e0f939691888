//! The state of the whole installation: its redirectors, its database, its bus, and what is wrong with them.
//!
//! Each problem is one sentence with the section of the runbook that describes how to end it. The limits are those of the
//! alerts in `monitoring/prometheus/rules/tern.yml`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use serde::Serialize;
use tern_common::bus::ReplicaId;
use tern_common::store::PoolStatus;
use utoipa::ToSchema;

use crate::fleet::Report;
use crate::http::answer::Json;
use crate::state::AppState;

/// The age of the links of a redirector from which it is stale.
const STALE: Duration = Duration::from_secs(30);

/// The age of a waiting click from which clicks are late.
const LATE: Duration = Duration::from_secs(60);

/// The part of the room for clicks, in percent, below which it is nearly full.
const LITTLE_ROOM: u8 = 20;

/// The state of the installation
#[derive(Serialize, ToSchema)]
pub(crate) struct Installation {
    /// The version of the process that answers.
    #[schema(example = "0.2.0")]
    version: &'static str,
    /// The problems, the causes before their effects; empty if everything works.
    problems: Vec<Problem>,
    /// The redirectors that reported themselves, by machine and address.
    redirectors: Vec<ShownRedirector>,
    store: ShownStore,
    bus: ShownBus,
}

/// A problem, and how to end it
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Problem {
    #[schema(example = "The database does not answer: redirects go on, and nothing can be changed")]
    message: String,
    /// The section of the runbook, in the repository.
    #[schema(example = "docs/RUNBOOK.md#ternserviceunreachable")]
    runbook: String,
}

#[derive(Serialize, ToSchema)]
struct ShownRedirector {
    /// Random at each start.
    #[schema(example = "4f0c2a9b7d1e6a35")]
    id: String,
    /// The name of the machine.
    #[schema(example = "edge-1")]
    host: String,
    /// The address of the redirect port.
    #[schema(example = "10.0.0.7:8080")]
    address: String,
    #[schema(example = "0.2.0")]
    version: String,
    /// The links in memory.
    #[schema(example = 2000)]
    links: u64,
    /// The seconds since the links last equalled the database; `null` before the first load.
    #[schema(required, example = 0.3)]
    staleness_seconds: Option<f64>,
    /// Clicks that are on the disk of the redirector and not in the database yet.
    #[schema(example = 0)]
    clicks_waiting: u64,
    /// The age of the oldest of them in seconds.
    #[schema(example = 0.0)]
    oldest_click_seconds: f64,
    /// Clicks that were lost since the start of the redirector.
    #[schema(example = 0)]
    clicks_dropped: u64,
    /// The seconds since its last report. It reports every second.
    #[schema(example = 0.4)]
    reported_seconds_ago: f64,
}

#[derive(Serialize, ToSchema)]
struct ShownStore {
    /// `PostgreSQL` or `SQLite`.
    #[schema(example = "PostgreSQL")]
    kind: &'static str,
    #[schema(example = true)]
    is_available: bool,
    /// The time until it answered, in milliseconds; `null` if it did not.
    #[schema(required, example = 0.8)]
    answered_in_ms: Option<f64>,
    /// The connections of this process.
    pools: Vec<ShownPool>,
}

/// Connections for one kind of work
#[derive(Serialize, ToSchema)]
struct ShownPool {
    #[schema(example = "requests")]
    name: &'static str,
    #[schema(example = 1)]
    in_use: usize,
    #[schema(example = 8)]
    most: usize,
    /// Tasks that wait for a connection.
    #[schema(example = 0)]
    waiting: usize,
}

#[derive(Serialize, ToSchema)]
struct ShownBus {
    /// `Redis` or `in process`.
    #[schema(example = "Redis")]
    kind: &'static str,
    #[schema(example = true)]
    is_available: bool,
    /// The time until it answered, in milliseconds; `null` if it did not.
    #[schema(required, example = 0.5)]
    answered_in_ms: Option<f64>,
}

/// The state of the installation
///
/// The redirectors report themselves over the bus. The answer is a 200 whatever is wrong.
#[utoipa::path(
    get,
    path = "/system",
    tag = "operations",
    responses((status = 200, body = Installation, description = "The redirectors, the database, the bus, and what is wrong"))
)]
pub(crate) async fn show_system(State(state): State<Arc<AppState>>) -> Json<Installation> {
    let began = Instant::now();
    let store = async {
        let answered = state.readiness.check(&*state.store).await;
        answered.is_ok().then(|| began.elapsed())
    };
    let (store, bus) = tokio::join!(store, state.visibility.check_bus());
    let reports = state.visibility.fleet().into_reports();
    let facts = Facts {
        has_store: store.is_some(),
        has_bus: bus.is_some(),
        needs_no_token: state.access.needs_no_token(),
        retention_is_refused: state.metrics.retention_refused.get() == 1,
    };
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    Json(Installation {
        version: env!("CARGO_PKG_VERSION"),
        problems: problems(&facts, &reports),
        redirectors: reports.into_iter().map(ShownRedirector::from).collect(),
        store: ShownStore {
            kind: state.store.kind(),
            is_available: store.is_some(),
            answered_in_ms: store.map(millis),
            pools: state.store.pools().into_iter().map(ShownPool::from).collect(),
        },
        bus: ShownBus { kind: state.bus.kind(), is_available: bus.is_some(), answered_in_ms: bus.map(millis) },
    })
}

/// The facts that this process knows beside the reports of redirectors.
#[derive(Clone, Copy, Debug)]
struct Facts {
    has_store: bool,
    has_bus: bool,
    needs_no_token: bool,
    retention_is_refused: bool,
}

/// Returns what is wrong, the causes before their effects.
fn problems(facts: &Facts, reports: &[(ReplicaId, Report)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |alert: &str, message: String| {
        problems.push(Problem { message, runbook: format!("docs/RUNBOOK.md#{}", alert.to_lowercase()) });
    };
    if !facts.has_store {
        let message = "The database does not answer: redirects go on, and nothing can be read or changed";
        add("TernServiceUnreachable", message.to_owned());
    }
    if !facts.has_bus {
        let message = "Redis does not answer: changes reach redirectors within a second, and their state is unknown";
        add("TernServiceUnreachable", message.to_owned());
    } else if reports.iter().all(|(_, report)| report.is_silent()) {
        add("TernPlaneUnreachable", "No redirector reports itself, so short links may lead nowhere".to_owned());
    }
    for (_, report) in reports {
        let status = &report.status;
        let name = format!("The redirector {} on {}", status.address, status.host);
        if report.is_silent() {
            if facts.has_bus {
                let ago = report.age().as_secs();
                add("TernPlaneUnreachable", format!("{name} has not reported itself for {ago} seconds"));
            }
            continue;
        }
        match status.stale_ms.map(Duration::from_millis) {
            None => add("TernReplicaStale", format!("{name} has not loaded its links yet")),
            Some(stale) if stale > STALE => {
                let seconds = stale.as_secs();
                let message = format!("{name} has not seen the database for {seconds} seconds and serves older links");
                add("TernReplicaStale", message);
            }
            Some(_) => {}
        }
        let oldest = Duration::from_millis(status.oldest_click_ms);
        if status.clicks_waiting > 0 && oldest > LATE {
            let (clicks, seconds) = (status.clicks_waiting, oldest.as_secs());
            add("TernClicksWaiting", format!("{name} has {clicks} clicks waiting, the oldest for {seconds} seconds"));
        }
        if status.has_no_room {
            add("TernClicksDropped", format!("{name} has no room for clicks and drops them; redirects go on"));
        } else if status.room_percent < LITTLE_ROOM {
            let percent = status.room_percent;
            add("TernJournalNearlyFull", format!("{name} has {percent} % of its room for clicks left"));
        }
    }
    if facts.retention_is_refused {
        let message = "EVENT_RETENTION deletes nothing, because even the newest event is older";
        add("TernRetentionRefused", message.to_owned());
    }
    if facts.needs_no_token {
        let message = "ADMIN_AUTH=none: every client that reaches the API may do everything";
        add("TernAuthenticationOff", message.to_owned());
    }
    problems
}

impl From<(ReplicaId, Report)> for ShownRedirector {
    fn from((id, report): (ReplicaId, Report)) -> ShownRedirector {
        let (age, status) = (report.age(), report.status);
        let seconds = |millis: u64| Duration::from_millis(millis).as_secs_f64();
        ShownRedirector {
            id: id.to_string(),
            host: status.host,
            address: status.address.to_string(),
            version: status.version,
            links: status.links,
            staleness_seconds: status.stale_ms.map(seconds),
            clicks_waiting: status.clicks_waiting,
            oldest_click_seconds: seconds(status.oldest_click_ms),
            clicks_dropped: status.clicks_dropped,
            reported_seconds_ago: age.as_secs_f64(),
        }
    }
}

impl From<PoolStatus> for ShownPool {
    fn from(pool: PoolStatus) -> ShownPool {
        ShownPool {
            name: pool.pool,
            in_use: pool.size.saturating_sub(pool.available),
            most: pool.max,
            waiting: pool.waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use tern_common::bus::ReplicaStatus;

    use super::*;
    use crate::fleet::Fleet;
    use crate::fleet::tests::status;

    const SOUND: Facts = Facts { has_store: true, has_bus: true, needs_no_token: false, retention_is_refused: false };

    fn anchors(facts: Facts, statuses: impl IntoIterator<Item = ReplicaStatus>) -> Vec<String> {
        let mut fleet = Fleet::default();
        statuses.into_iter().for_each(|status| fleet.note(ReplicaId::random(), status));
        let found = problems(&facts, &fleet.into_reports());
        found.into_iter().map(|problem| problem.runbook.replace("docs/RUNBOOK.md#tern", "")).collect()
    }

    #[tokio::test]
    async fn problem_is_found_in_each_part_and_nothing_else() {
        let sound = status(1);
        assert_eq!(anchors(SOUND, [sound.clone(), status(2)]), [""; 0]);
        assert_eq!(anchors(SOUND, []), ["planeunreachable"]);
        assert_eq!(anchors(Facts { has_bus: false, ..SOUND }, []), ["serviceunreachable"]);
        assert_eq!(anchors(Facts { has_store: false, ..SOUND }, [sound.clone()]), ["serviceunreachable"]);
        assert_eq!(anchors(Facts { needs_no_token: true, ..SOUND }, [sound.clone()]), ["authenticationoff"]);
        assert_eq!(anchors(Facts { retention_is_refused: true, ..SOUND }, [sound.clone()]), ["retentionrefused"]);
        for (status, anchor) in [
            (ReplicaStatus { stale_ms: None, ..sound.clone() }, "replicastale"),
            (ReplicaStatus { stale_ms: Some(30_001), ..sound.clone() }, "replicastale"),
            (ReplicaStatus { clicks_waiting: 1, oldest_click_ms: 60_001, ..sound.clone() }, "clickswaiting"),
            (ReplicaStatus { has_no_room: true, room_percent: 0, ..sound.clone() }, "clicksdropped"),
            (ReplicaStatus { room_percent: 19, ..sound.clone() }, "journalnearlyfull"),
        ] {
            assert_eq!(anchors(SOUND, [status]), [anchor]);
        }
        let busy = ReplicaStatus { clicks_waiting: 9, oldest_click_ms: 60_000, stale_ms: Some(30_000), ..sound };
        assert_eq!(anchors(SOUND, [busy]), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_redirector_is_a_problem_while_the_bus_answers() {
        let mut fleet = Fleet::default();
        fleet.note(ReplicaId::random(), status(1));
        tokio::time::advance(Duration::from_secs(5)).await;
        fleet.note(ReplicaId::random(), status(2));
        let found = problems(&SOUND, &fleet.clone().into_reports());
        let messages: Vec<_> = found.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, ["The redirector 127.0.0.1:1 on a has not reported itself for 5 seconds"]);
        assert_eq!(problems(&Facts { has_bus: false, ..SOUND }, &fleet.into_reports()).len(), 1);
    }

    #[test]
    fn runbook_has_the_section_of_each_problem() {
        let runbook = include_str!("../../../docs/RUNBOOK.md");
        let source = include_str!("system.rs");
        let alerts = source.split("add(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let alerts: Vec<_> = alerts.filter(|alert| alert.starts_with("Tern")).collect();
        assert!(alerts.len() > 8);
        for alert in alerts {
            assert!(runbook.contains(&format!("\n## {alert}\n")), "{alert}");
        }
    }
}
