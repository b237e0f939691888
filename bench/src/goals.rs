//! The goals, and whether a run met them.

use std::time::Duration;

use crate::figures::{Figure, thousands};
use crate::measurements::{Case, Measurements, find, ratio};
use crate::servers::Kind;
use crate::turns::{Latencies, Peak};
use crate::workload::{RequestKind, mean_payload};

/// A goal with its measurement in the same run.
#[derive(Clone, Debug)]
pub struct Row {
    pub what: String,
    pub goal: String,
    pub yardstick: String,
    pub result: String,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    No,
    /// The run or the machine cannot decide it.
    Open,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Yes => "yes",
            Verdict::No => "**no**",
            Verdict::Open => "in doubt",
        }
    }

    /// Returns whether every round, no round, or some rounds stayed at or below `most`.
    fn if_at_most(figure: Figure, most: f64) -> Verdict {
        // Compared as precisely as it is printed.
        let keeps = |value: f64| (value * 100.0).round() <= (most * 100.0).round();
        match (keeps(figure.least), keeps(figure.most)) {
            (_, true) => Verdict::Yes,
            (false, _) => Verdict::No,
            (true, false) => Verdict::Open,
        }
    }

    fn if_at_least(figure: Figure, least: f64) -> Verdict {
        Verdict::if_at_most(Figure { median: -figure.median, least: -figure.most, most: -figure.least }, -least)
    }
}

const TERN: Case = Case::hits(Kind::Tern);
const FLOOR: Case = Case::hits(Kind::Floor);

fn serving(peak: Peak) -> f64 {
    peak.serving
}

/// Returns every goal for redirects, memory and loading.
pub fn rows(run: &Measurements) -> Vec<Row> {
    let mut rows = vec![cost(run, Kind::Floor, 1.10)];
    rows.extend([Kind::MiniHttp, Kind::Nginx, Kind::NginxLog, Kind::HaProxy].map(|kind| cost(run, kind, 0.99)));
    rows.push(click(run));
    let others = [RequestKind::Mixed, RequestKind::Filled, RequestKind::Misses, RequestKind::Gone];
    rows.extend(others.map(|kind| other_requests(run, kind)));
    rows.push(rules(run));
    rows.push(many_links(run));
    rows.push(latency(run, "p99", |seen| seen.p99));
    rows.push(latency(run, "p99.9", |seen| seen.p999));
    rows.extend([memory(run), full_load(run), start(run), two_workers(run), idle(run)]);
    rows
}

fn row(what: &str, goal: &str, yardstick: String, result: Option<(String, Verdict)>) -> Row {
    let (result, verdict) = result.unwrap_or_else(|| ("not measured".to_owned(), Verdict::Open));
    Row { what: what.to_owned(), goal: goal.to_owned(), yardstick, result, verdict }
}

fn cost_of(run: &Measurements, case: Case) -> String {
    let figure = find(&run.one, case).and_then(|turns| turns.figure(serving));
    figure.map_or_else(|| "not measured".to_owned(), |figure| format!("{figure:.2} us"))
}

fn cost(run: &Measurements, kind: Kind, most: f64) -> Row {
    let goal = if kind == Kind::Floor { "<= 1.10 x the floor".to_owned() } else { format!("below {}", kind.name()) };
    let yardstick = format!("{} {}", kind.name(), cost_of(run, Case::hits(kind)));
    let ratio = ratio(&run.one, TERN, Case::hits(kind), serving);
    let result = ratio.map(|ratio| (format!("{ratio:.2} x"), Verdict::if_at_most(ratio, most)));
    row("CPU per redirect, clicks on", &goal, yardstick, result)
}

fn click(run: &Measurements) -> Row {
    let result = (format!("{:.0} ns", run.append), Verdict::if_at_most(Figure::once(run.append.median), 200.0));
    row("recording a click, in the worker", "<= 200 ns at p50", String::new(), Some(result))
}

fn other_requests(run: &Measurements, request_kind: RequestKind) -> Row {
    // With clicks on, wrk has less of the processor and sends fewer requests a second, and each of them costs less.
    let without_click = Case::hits(Kind::TernWithoutClicks);
    let (what, goal, most, hit) = match request_kind {
        RequestKind::Misses => ("CPU per miss (404)", "<= 1.05 x a hit without a click", 1.05, without_click),
        RequestKind::Gone => ("CPU per 410", "<= 1.05 x a hit without a click", 1.05, without_click),
        RequestKind::Filled => ("CPU per redirect of a link with placeholders", "<= 1.25 x a plain link", 1.25, TERN),
        _ => ("CPU per redirect, 5 % of links with options", "<= 1.03 x plain links alone", 1.03, TERN),
    };
    let ratio = ratio(&run.one, Case { kind: Kind::Tern, request_kind }, hit, serving);
    let result = ratio.map(|ratio| (format!("{ratio:.2} x"), Verdict::if_at_most(ratio, most)));
    row(what, goal, format!("a hit {}", cost_of(run, hit)), result)
}

fn rules(run: &Measurements) -> Row {
    let case = |request_kind| Case { kind: Kind::Tern, request_kind };
    let plain = case(RequestKind::Browsers);
    let ratio = ratio(&run.one, case(RequestKind::Rules), plain, serving);
    let result = ratio.map(|ratio| (format!("{ratio:.2} x"), Verdict::if_at_most(ratio, 1.25)));
    let yardstick = format!("a plain one, asked for by browsers {}", cost_of(run, plain));
    row("CPU per redirect of a link with five rules", "<= 1.25 x a plain link", yardstick, result)
}

/// Returns the smallest and largest number of links, if they differ.
fn ends(run: &Measurements) -> Option<(u64, u64)> {
    let (least, most) = (*run.plan.sizes.first()?, *run.plan.sizes.last()?);
    (least < most).then_some((least, most))
}

fn many_links(run: &Measurements) -> Row {
    let compare = || {
        let (least, most) = ends(run)?;
        let (few, many) = (run.size(Kind::Tern, least)?.serving(), run.size(Kind::Tern, most)?.serving());
        let ratio = Figure::ratio(&many, &few)?;
        let yardstick = format!("{} links {:.2} us", thousands(least as f64, 0), Figure::of(few)?);
        Some((most, yardstick, ratio))
    };
    let (most, yardstick, result) = match compare() {
        Some((most, yardstick, ratio)) => {
            (most, yardstick, Some((format!("{ratio:.2} x"), Verdict::if_at_most(ratio, 1.10))))
        }
        None => (10_000_000, String::new(), None),
    };
    let what = format!("CPU per redirect, {} links", thousands(most as f64, 0));
    row(&what, "<= 1.10 x of that with 2,000", yardstick, result)
}

fn latency(run: &Measurements, name: &str, value: impl Fn(Latencies) -> f64 + Copy) -> Row {
    let floor = find(&run.steady, FLOOR).and_then(|turns| turns.figure(value));
    let yardstick = floor.map_or_else(String::new, |floor| format!("floor {floor:.0} us"));
    let ratio = ratio(&run.steady, TERN, FLOOR, value);
    let result = ratio.map(|ratio| (format!("{ratio:.2} x"), Verdict::if_at_most(ratio, 1.2)));
    row(&format!("{name} at half of peak, clicks on"), "<= 1.2 x the floor's", yardstick, result)
}

fn memory(run: &Measurements) -> Row {
    let measure = || {
        let (_, most) = ends(run)?;
        let size = run.size(Kind::Tern, most)?;
        let payload = mean_payload(most);
        let beyond = run.bytes_per_link(size, size.resident)? - payload;
        Some((payload, format!("payload + {beyond:.1} bytes"), Verdict::if_at_most(Figure::once(beyond), 32.0)))
    };
    let measured = measure();
    let yardstick = measured.as_ref().map_or_else(String::new, |(payload, ..)| format!("payload {payload:.1} bytes"));
    row("memory per link", "payload + 32 bytes", yardstick, measured.map(|(_, result, verdict)| (result, verdict)))
}

fn seconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}

fn full_load(run: &Measurements) -> Row {
    let measure = || {
        let (_, most) = ends(run)?;
        let size = run.size(Kind::Tern, most)?;
        let psql = Figure::of(seconds(&size.psql).iter().map(|seconds| most as f64 / seconds))?;
        // Rates in rows a second are the inverse of times.
        let ratio = Figure::ratio(&seconds(&size.psql), &seconds(&size.starts))?;
        let verdict = Verdict::if_at_least(ratio, 0.5);
        Some((format!("psql {psql:.0} rows/s"), format!("{ratio:.2} x"), verdict))
    };
    let measured = measure();
    let yardstick = measured.as_ref().map_or_else(String::new, |(psql, ..)| psql.clone());
    let result = measured.map(|(_, result, verdict)| (result, verdict));
    row("full load from PostgreSQL", ">= 0.5 x the rows/s of psql", yardstick, result)
}

fn start(run: &Measurements) -> Row {
    let measure = || {
        let (_, most) = ends(run)?;
        let each = seconds(&run.size(Kind::Tern, most)?.restarts).into_iter().map(|s| s * 5e6 / most as f64);
        Figure::of(each)
    };
    let result = measure().map(|each| (format!("{each:.2} s"), Verdict::if_at_most(each, 1.0)));
    row("start from the snapshot file", "<= 1 s for each 5,000,000", String::new(), result)
}

fn two_workers(run: &Measurements) -> Row {
    let both = || {
        let per_second = |peak: Peak| peak.per_second;
        let one = find(&run.one, TERN)?.figure(per_second)?;
        let two = find(&run.two, TERN)?.figure(per_second)?;
        Some((one, two))
    };
    let result = both().map(|(one, two)| {
        let ratio = two.median / one.median;
        // Two workers and two threads of wrk.
        let has_room = run.machine.cores >= 4;
        let verdict = if ratio >= 1.8 { Verdict::Yes } else { Verdict::No };
        (format!("{ratio:.2} x"), if has_room { verdict } else { Verdict::Open })
    });
    let yardstick = both().map_or_else(String::new, |(one, _)| format!("one worker {one:.0}/s"));
    row("one worker to two", ">= 1.8 x, where the generator leaves the cores free", yardstick, result)
}

fn idle(run: &Measurements) -> Row {
    let beyond = (run.idle.resident - run.idle.stack) / 1024.0;
    let result = (format!("{beyond:.1} KiB"), Verdict::if_at_most(Figure::once(beyond), 8.0));
    let yardstick = format!("stack {:.1} KiB", run.idle.stack / 1024.0);
    row("idle connection", "<= 8 KiB beyond its stack", yardstick, Some(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goal_met_in_some_rounds_is_in_doubt() {
        let figure = |least, most| Figure { median: (least + most) / 2.0, least, most };
        assert_eq!(Verdict::if_at_most(figure(1.0, 1.1), 1.1), Verdict::Yes);
        assert_eq!(Verdict::if_at_most(figure(1.0, 1.104), 1.1), Verdict::Yes, "as it is printed");
        assert_eq!(Verdict::if_at_most(figure(1.0, 1.2), 1.1), Verdict::Open);
        assert_eq!(Verdict::if_at_most(figure(1.15, 1.2), 1.1), Verdict::No);
        assert_eq!(Verdict::if_at_least(figure(0.5, 0.7), 0.5), Verdict::Yes);
        assert_eq!(Verdict::if_at_least(figure(0.4, 0.7), 0.5), Verdict::Open);
        assert_eq!(Verdict::if_at_least(figure(0.3, 0.4), 0.5), Verdict::No);
    }
}
