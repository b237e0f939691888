//! File descriptors: how many a process may have open, and how its ports divide them.
//!
//! Each connection takes one. A port without a part of its own could take those of every other port, of the database and
//! of the journals.

use nix::sys::resource::{Resource, getrlimit};

/// Descriptors that stay with the process itself: databases, Redis, journals, the log, epolls.
const OWN: usize = 256;

/// Descriptors that the ports of this process may take together.
pub fn for_ports() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    after_own(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn after_own(limit: usize) -> usize {
    limit - OWN.min(limit / 4)
}

/// Gives a port the descriptors that it wants, but no more than one part in `parts` of all.
pub fn part(all: usize, wanted: usize, parts: usize) -> usize {
    wanted.min(all / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_keeps_a_part_for_itself() {
        assert_eq!(after_own(65_536), 65_536 - OWN);
        assert_eq!(after_own(1_024), 768);
        assert_eq!(after_own(100), 75);
        assert_eq!(after_own(0), 0);
    }

    #[test]
    fn a_port_gets_what_it_wants_or_its_part() {
        assert_eq!(part(10_000, 80, 8), 80);
        assert_eq!(part(160, 80, 8), 20);
    }
}
