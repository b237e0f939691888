//! What a run has measured, before anybody judges it. Pure.

use std::time::Duration;

use crate::figures::Figure;
use crate::machine::Machine;
use crate::servers::Kind;
use crate::turns::{Latencies, Peak};
use crate::workload::Asks;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As it was asked for.
    pub command: String,
    /// Turns of each server under wrk, and of how many seconds.
    pub rounds: usize,
    pub seconds: u32,
    /// Turns of each with two workers, and with more links.
    pub fewer_rounds: usize,
    /// Turns of each under the generator, and of how many seconds.
    pub steady_rounds: usize,
    pub steady_seconds: u32,
    /// Numbers of links, the smallest first: all servers are compared at that.
    pub sizes: Vec<u64>,
    /// Full loads and starts of each number.
    pub loads: usize,
}

/// A server and what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub kind: Kind,
    pub asks: Asks,
}

impl Case {
    pub const fn hits(kind: Kind) -> Case {
        Case { kind, asks: Asks::Hits }
    }

    pub fn name(self) -> String {
        match self.asks {
            Asks::Hits => self.kind.name().to_owned(),
            Asks::Misses => "Tern, a miss (404)".to_owned(),
            Asks::Gone => "Tern, inactive (410)".to_owned(),
        }
    }
}

/// The turns of a case, a value for each round.
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

/// The turns of `case`.
pub fn find<T>(turns: &[Turns<T>], case: Case) -> Option<&Turns<T>> {
    turns.iter().find(|turns| turns.case == case)
}

/// The ratio of two cases, round by round.
pub fn ratio<T: Copy>(turns: &[Turns<T>], of: Case, to: Case, value: impl Fn(T) -> f64 + Copy) -> Option<Figure> {
    Figure::ratio(&find(turns, of)?.each(value), &find(turns, to)?.each(value))
}

/// A server with a number of links.
#[derive(Clone, Debug)]
pub struct Size {
    pub kind: Kind,
    pub links: u64,
    /// From the start of the process until it could answer; of Tern, by a full load from PostgreSQL.
    pub starts: Vec<Duration>,
    /// Of Tern, the same from its snapshot file.
    pub restarts: Vec<Duration>,
    /// How long psql took to read as much, in turns with the full loads.
    pub psql: Vec<Duration>,
    /// Bytes in memory, after the start and after a start from the file.
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

/// Kept-alive connections on which nothing happens: bytes of memory for each.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub connections: usize,
    pub resident: f64,
    /// What of that are pages of stacks.
    pub stack: f64,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Measured {
    pub plan: Plan,
    pub machine: Machine,
    pub versions: Vec<(&'static str, String)>,
    pub began: String,
    pub ended: String,
    /// Cores that were busy with something else when turns began.
    pub others: Option<Figure>,
    pub one: Vec<Turns<Peak>>,
    pub two: Vec<Turns<Peak>>,
    /// Requests a second of the generator.
    pub rate: f64,
    pub steady: Vec<Turns<Latencies>>,
    pub sizes: Vec<Size>,
    pub idle: Idle,
    /// Nanoseconds for a click where it is recorded.
    pub append: Figure,
}

impl Measured {
    pub fn size(&self, kind: Kind, links: u64) -> Option<&Size> {
        self.sizes.iter().find(|size| size.kind == kind && size.links == links)
    }

    /// Bytes for each link beyond those of a server with the fewest links.
    pub fn bytes_per_link(&self, size: &Size, resident: u64) -> Option<f64> {
        let base = self.size(size.kind, *self.plan.sizes.first()?)?;
        let links = size.links.checked_sub(base.links).filter(|links| *links > 0)?;
        Some(resident.saturating_sub(base.resident) as f64 / links as f64)
    }
}
