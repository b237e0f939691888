//! CPU time, sleeps and memory of a running server, from `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Name of Tern's threads that store clicks and follow the store. Every other thread serves requests.
const CONTROL: &str = "tern-control";

/// CPU time, user and system, of a process and its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    pub serving: Duration,
    pub control: Duration,
    /// The number of times that a serving thread slept until something happened.
    pub sleeps: u64,
}

impl Cpu {
    /// Returns the CPU time of the process `pid` and its children so far.
    pub fn of(pid: u32) -> Result<Cpu> {
        let hertz = sysconf(SysconfVar::CLK_TCK)?.context("the clock does not tick")?;
        let (mut ticks, mut sleeps) = ([0; 2], 0);
        for pid in family(pid)? {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end meanwhile.
                let read = |path: &Path| {
                    Some((fs::read_to_string(path.join("stat")).ok()?, fs::read_to_string(path.join("status")).ok()?))
                };
                let Some((line, status)) = read(&thread?.path()) else { continue };
                let (name, used) = thread_ticks(&line).context("/proc has another form")?;
                ticks[usize::from(name == CONTROL)] += used;
                if name != CONTROL {
                    sleeps += number_of(&status, "voluntary_ctxt_switches:").context("/proc has another form")?;
                }
            }
        }
        let [serving, control] = ticks.map(|ticks| Duration::from_secs_f64(ticks as f64 / hertz as f64));
        Ok(Cpu { serving, control, sleeps })
    }

    pub fn since(self, before: Cpu) -> Cpu {
        Cpu {
            serving: self.serving.saturating_sub(before.serving),
            control: self.control.saturating_sub(before.control),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
        }
    }
}

/// Returns the resident bytes of a process and its children, including file pages.
pub fn resident(pid: u32) -> Result<u64> {
    let mut total = 0;
    for pid in family(pid)? {
        total += resident_of(&fs::read_to_string(format!("/proc/{pid}/status"))?).context("/proc has another form")?;
    }
    Ok(total)
}

/// Returns the process and its children.
pub fn family(pid: u32) -> Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let children = children.split_whitespace().map(str::parse::<u32>);
    Ok([Ok(pid)].into_iter().chain(children).collect::<Result<_, _>>()?)
}

/// Returns name and clock ticks, user and system, of a line of `stat`. The name may contain anything, so the last `)`
/// ends it.
fn thread_ticks(line: &str) -> Option<(&str, u64)> {
    let (head, tail) = line.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name, user + system))
}

fn resident_of(status: &str) -> Option<u64> {
    number_of(status, "VmRSS:").map(|kibibytes| kibibytes << 10)
}

/// Returns the number behind a name at the start of a line.
fn number_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_stat_yields_name_and_ticks() {
        let line = "12 (a) (b c) S 1 12 12 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 4 0 900 1 2";
        assert_eq!(thread_ticks(line), Some(("a) (b c", 400)));
        assert_eq!(thread_ticks("12 (x) S 1"), None);
    }

    #[test]
    fn resident_bytes_are_read_from_status() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    12 kB\nVmHWM: 13 kB\n"), Some(12 << 10));
        assert_eq!(resident_of("Name:\tx\n"), None);
    }

    #[test]
    fn cost_of_this_process_is_positive() {
        let pid = std::process::id();
        assert!(resident(pid).unwrap() > 0);
        assert_eq!(Cpu::of(pid).unwrap().control, Duration::ZERO);
    }
}
