//! A random checker of coherence: it compares the redirectors' answers with the history of the links.
//!
//! Writers change links of their own by direct SQL and through the API, and note the time span of each change. Samplers
//! request codes from the redirectors meanwhile. Afterwards each answer is compared with the history of its code.

mod world;
mod writer;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use self::world::{Answer, CODES_EACH, Links, QUERY, State, Step, WRITERS, World, code, new_user};
use self::writer::Writer;
use crate::Fleet;

struct Sample {
    redirector: usize,
    code: String,
    asked: Instant,
    answered: Instant,
    answer: Answer,
}

/// Result of a check.
#[derive(Debug, Default)]
pub struct Findings {
    pub changes: usize,
    pub samples: usize,
    pub restores: usize,
    /// Ages of answers that were no longer true when they were requested.
    pub stale: Vec<Duration>,
    /// Ages of stale answers for which a restore was in progress after they were last true.
    pub stale_beside_restores: Vec<Duration>,
    /// Answers that were never true, or not yet.
    pub wrong: Vec<String>,
    /// Number of codes that a redirector answers differently from the table, after two quiet seconds.
    pub differing_codes: usize,
}

impl Findings {
    /// Returns the longest time for which an answer had been untrue because of a change.
    pub fn stalest(&self) -> Duration {
        longest(&self.stale)
    }
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { changes, samples, restores, stale, stale_beside_restores, wrong, differing_codes } = self;
        writeln!(f, "{changes} changes, {restores} restores of a backup, {samples} samples: {} stale,", stale.len())?;
        let (changed, restored) = (self.stalest(), longest(stale_beside_restores));
        writeln!(f, "by {changed:?} at most, and by {restored:?} beside a restore;")?;
        writeln!(f, "{} wrong; {differing_codes} codes differ", wrong.len())?;
        wrong.iter().take(5).try_for_each(|wrong| writeln!(f, "{wrong}"))
    }
}

/// Starts a fleet that accepts a backup as the truth, however many links it lacks.
pub async fn fleet_to_check() -> Arc<Fleet> {
    Arc::new(Fleet::start(0, &[("VISIBLE_WAIT", "0"), ("REPLICA_ALLOW_SHRINK", "true")]).await)
}

/// Checks the fleet for `time` with random changes by `seed`; calls `disturb` a few times a second.
pub async fn check(fleet: &Arc<Fleet>, seed: u64, time: Duration, mut disturb: impl FnMut(&Fleet)) -> Findings {
    println!("the seed is {seed}");
    let began = Instant::now();
    let absent = Step { began, ended: began, state: State::Absent, is_restore: false };
    let codes = (0..WRITERS).flat_map(|writer| (0..CODES_EACH).map(move |n| code(writer, n)));
    let histories = codes.map(|code| (code, vec![absent.clone()])).collect();
    let mut links = Vec::new();
    for writer in 0..WRITERS {
        let user = new_user(fleet, &format!("writer{writer}")).await;
        links.push(Mutex::new(Links { user, states: vec![State::Absent; CODES_EACH], loaded: 0 }));
    }
    let world = Arc::new(World {
        histories: Mutex::new(histories),
        links,
        gate: RwLock::default(),
        is_over: AtomicBool::new(false),
        changes: AtomicUsize::new(0),
    });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (fleet, world, handle) = (Arc::clone(fleet), Arc::clone(&world), Handle::current());
        writers.spawn_blocking(move || Writer::new(fleet, world, handle, writer, seed).run());
    }
    let mut samplers = JoinSet::new();
    for redirector in 0..fleet.redirectors.len() {
        let random = SmallRng::seed_from_u64(seed ^ ((redirector as u64 + 1) << 32));
        samplers.spawn(sample(Arc::clone(fleet), Arc::clone(&world), redirector, random));
    }
    let mut restores = 0;
    let mut backup = None;
    while began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(300)).await;
        disturb(fleet);
        let at = began.elapsed().as_secs_f64() / time.as_secs_f64();
        // Two backups, each restored after a while.
        if backup.is_none() && (0.2..0.4).contains(&(at % 0.5)) {
            backup = Some(world.back_up(fleet));
        } else if backup.is_some() && at % 0.5 > 0.4 {
            world.restore(fleet, backup.take().unwrap());
            restores += 1;
        }
    }
    world.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let mut samples = Vec::new();
    while let Some(taken) = samplers.join_next().await {
        samples.extend(taken.unwrap());
    }
    let mut findings = judge(&world, &samples);
    findings.restores = restores;
    // Each loaded link would otherwise have to be requested.
    fleet.run_sql("DELETE FROM urls WHERE short_code LIKE 'load%'");
    findings.differing_codes = fleet.count_differing_codes().await;
    findings
}

/// Requests random codes until the check is over.
async fn sample(fleet: Arc<Fleet>, world: Arc<World>, redirector: usize, mut random: SmallRng) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !world.is_over.load(Ordering::Relaxed) {
        let code = code(random.random_range(0..WRITERS), random.random_range(0..CODES_EACH));
        let asked = Instant::now();
        let (status, location) = fleet.look_up(redirector, &format!("{code}{QUERY}")).await;
        samples.push(Sample { redirector, code, asked, answered: Instant::now(), answer: Answer { status, location } });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    samples
}

/// Compares each sample with the history of its code.
fn judge(world: &World, samples: &[Sample]) -> Findings {
    let histories = world.histories.lock().unwrap();
    let changes = world.changes.load(Ordering::Relaxed);
    let mut findings = Findings { changes, samples: samples.len(), ..Findings::default() };
    for sample in samples {
        match sample.staleness(&histories[&sample.code]) {
            Some((Duration::ZERO, _)) => {}
            Some((stale, true)) => findings.stale_beside_restores.push(stale),
            Some((stale, false)) => findings.stale.push(stale),
            None => findings.wrong.push(format!(
                "redirector {} answered {} with {:?}, which it never was",
                sample.redirector, sample.code, sample.answer
            )),
        }
    }
    findings
}

impl Sample {
    /// Returns for how long the answer had been untrue when it was requested, and whether a restore was in progress
    /// since. Returns `None` if the answer had never been true.
    fn staleness(&self, history: &[Step]) -> Option<(Duration, bool)> {
        let is_true = |step: &Step| step.state.answer() == self.answer && step.began <= self.answered;
        let was_true = history.iter().enumerate().filter(|(_, step)| is_true(step));
        // A state may be seen until the change after it has ended.
        was_true
            .map(|(n, _)| match history.get(n + 1) {
                Some(next) => {
                    // No delta passes the locks of a restore.
                    let is_beside = |step: &Step| step.began <= self.asked && step.ended >= next.ended;
                    let is_restored = history.iter().any(|step| step.is_restore && is_beside(step));
                    (self.asked.saturating_duration_since(next.ended), is_restored)
                }
                None => (Duration::ZERO, false),
            })
            .min()
    }
}
