//! The division of a process's file descriptors among its ports.
//!
//! Each connection takes one descriptor. Without limits, one port could exhaust the descriptors of the other ports, the
//! database and the journals.

use nix::sys::resource::{Resource, getrlimit};

/// Descriptors that are reserved for databases, Redis, journals, the log and epolls.
const RESERVED: usize = 256;

/// Returns the number of descriptors for all ports of this process.
pub fn for_ports() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    after_reserved(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn after_reserved(limit: usize) -> usize {
    limit - RESERVED.min(limit / 4)
}

/// Returns the number of descriptors for a port: `wanted`, but at most one part in `parts` of all.
pub fn part(all: usize, wanted: usize, parts: usize) -> usize {
    wanted.min(all / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_the_process_are_reserved() {
        assert_eq!(after_reserved(65_536), 65_536 - RESERVED);
        assert_eq!(after_reserved(1_024), 768);
        assert_eq!(after_reserved(100), 75);
        assert_eq!(after_reserved(0), 0);
    }

    #[test]
    fn port_has_the_wanted_number_or_its_part() {
        assert_eq!(part(10_000, 80, 8), 80);
        assert_eq!(part(160, 80, 8), 20);
    }
}
