//! Measurements of a run.

use std::time::Duration;

use crate::figures::Figure;
use crate::machine::Machine;
use crate::servers::Kind;
use crate::turns::{Latencies, Peak};
use crate::workload::RequestKind;

/// Extent of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Command that started the run.
    pub command: String,
    /// Turns of each server under wrk, and seconds of each turn.
    pub rounds: usize,
    pub seconds: u32,
    /// Turns of each server with two workers, and with more links.
    pub fewer_rounds: usize,
    /// Turns of each server under the generator, and seconds of each turn.
    pub steady_rounds: usize,
    pub steady_seconds: u32,
    /// Numbers of links, smallest first; all servers are compared at the smallest.
    pub sizes: Vec<u64>,
    /// Number of full loads and starts at each number of links.
    pub loads: usize,
}

/// A server and a kind of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub kind: Kind,
    pub request_kind: RequestKind,
}

impl Case {
    pub const fn hits(kind: Kind) -> Case {
        Case { kind, request_kind: RequestKind::Hits }
    }

    pub fn name(self) -> String {
        match self.request_kind {
            RequestKind::Hits => self.kind.name().to_owned(),
            RequestKind::Misses => "Tern, a miss (404)".to_owned(),
            RequestKind::Gone => "Tern, inactive (410)".to_owned(),
            RequestKind::Mixed => "Tern, 5 % with options".to_owned(),
            RequestKind::Filled => "Tern, placeholders".to_owned(),
            RequestKind::Browsers => "Tern, requests of browsers".to_owned(),
            RequestKind::Rules => "Tern, five rules, requests of browsers".to_owned(),
        }
    }
}

/// Turns of a case, with one value for each round.
#[derive(Clone, Debug)]
pub struct Turns<T> {
    pub case: Case,
    pub rounds: Vec<T>,
}

impl<T: Copy> Turns<T> {
    pub fn new(case: Case) -> Turns<T> {
        Turns { case, rounds: Vec::new() }
    }

    pub fn each(&self, of: impl Fn(T) -> f64) -> Vec<f64> {
        self.rounds.iter().copied().map(of).collect()
    }

    pub fn figure(&self, of: impl Fn(T) -> f64) -> Option<Figure> {
        Figure::of(self.each(of))
    }
}

/// Returns the turns of `case`.
pub fn find<T>(turns: &[Turns<T>], case: Case) -> Option<&Turns<T>> {
    turns.iter().find(|turns| turns.case == case)
}

/// Returns the ratio of two cases, round by round.
pub fn ratio<T: Copy>(turns: &[Turns<T>], of: Case, to: Case, value: impl Fn(T) -> f64 + Copy) -> Option<Figure> {
    Figure::ratio(&find(turns, of)?.each(value), &find(turns, to)?.each(value))
}

/// A server with a number of links.
#[derive(Clone, Debug)]
pub struct Size {
    pub kind: Kind,
    pub links: u64,
    /// Times from the start of the process to its first answer; Tern loads all links from PostgreSQL.
    pub starts: Vec<Duration>,
    /// Start times of Tern from its snapshot file.
    pub restarts: Vec<Duration>,
    /// Times of psql for reading the same rows, in turns with the full loads.
    pub psql: Vec<Duration>,
    /// Resident bytes, after a full load and after a start from the file.
    pub resident: u64,
    pub resident_restarted: Option<u64>,
    pub peaks: Vec<Peak>,
}

impl Size {
    pub fn new(kind: Kind, links: u64) -> Size {
        Size {
            kind,
            links,
            starts: Vec::new(),
            restarts: Vec::new(),
            psql: Vec::new(),
            resident: 0,
            resident_restarted: None,
            peaks: Vec::new(),
        }
    }

    pub fn serving(&self) -> Vec<f64> {
        self.peaks.iter().map(|peak| peak.serving).collect()
    }
}

/// Bytes of memory for each idle connection.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub connections: usize,
    pub resident: f64,
    /// Bytes of stack pages among them.
    pub stack: f64,
}

/// All measurements.
#[derive(Clone, Debug)]
pub struct Measurements {
    pub plan: Plan,
    pub machine: Machine,
    pub versions: Vec<(&'static str, String)>,
    pub began: String,
    pub ended: String,
    /// Number of cores that other programs used when turns began.
    pub others: Option<Figure>,
    pub one: Vec<Turns<Peak>>,
    pub two: Vec<Turns<Peak>>,
    /// Requests a second of the generator.
    pub rate: f64,
    pub steady: Vec<Turns<Latencies>>,
    pub sizes: Vec<Size>,
    pub idle: Idle,
    /// Nanoseconds of recording a click.
    pub append: Figure,
}

impl Measurements {
    pub fn size(&self, kind: Kind, links: u64) -> Option<&Size> {
        self.sizes.iter().find(|size| size.kind == kind && size.links == links)
    }

    /// Returns the bytes for each link beyond those of the server with the fewest links.
    pub fn bytes_per_link(&self, size: &Size, resident: u64) -> Option<f64> {
        let base = self.size(size.kind, *self.plan.sizes.first()?)?;
        let links = size.links.checked_sub(base.links).filter(|links| *links > 0)?;
        Some(resident.saturating_sub(base.resident) as f64 / links as f64)
    }
}
