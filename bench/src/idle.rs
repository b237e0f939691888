//! Measures the memory of an idle connection.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, ensure};

use crate::cost::resident;
use crate::measurements::Idle;
use crate::servers::Server;
use crate::workload;

/// Number of connections, below the descriptor limit of most machines.
const CONNECTIONS: usize = 800;

/// Largest stack of a coroutine. Stacks are the small anonymous mappings; no allocator maps so little.
const LARGEST_STACK: u64 = 64 << 10;

/// Opens connections, follows a link on each, and measures the server's memory.
pub fn measure(server: &Server) -> Result<Idle> {
    let pid = server.pid();
    let (resident_before, stack_before) = (resident(pid)?, stacks(pid)?);
    let mut connections = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
        let code = workload::code((n as u64 * 8) % 2_000);
        write!(stream, "GET /{code} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
        ensure!(stream.read(&mut [0; 1024])? > 0, "a connection was closed");
        connections.push(stream);
    }
    server.wait_until_clicks_are_stored()?;
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / CONNECTIONS as f64;
    let (resident, stack) = (each(resident(pid)?, resident_before), each(stacks(pid)?, stack_before));
    Ok(Idle { connections: connections.len(), resident, stack })
}

fn stacks(pid: u32) -> Result<u64> {
    Ok(stacks_in(&fs::read_to_string(format!("/proc/{pid}/smaps"))?))
}

/// Returns the resident bytes of the small anonymous mappings in a file `smaps`.
fn stacks_in(smaps: &str) -> u64 {
    let (mut total, mut is_stack) = (0, false);
    for line in smaps.lines() {
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| name.starts_with(|c: char| c.is_uppercase()))
        else {
            // The first line of a mapping has five fields, and a sixth if it maps a file or has a name.
            is_stack = line.split_whitespace().count() == 5;
            continue;
        };
        let bytes = value.trim().strip_suffix(" kB").and_then(|value| value.parse::<u64>().ok()).map(|kib| kib << 10);
        match (name, bytes) {
            ("Size", Some(size)) => is_stack &= size <= LARGEST_STACK,
            ("Rss", Some(bytes)) if is_stack => total += bytes,
            _ => {}
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_anonymous_mappings_count_as_stacks() {
        let smaps = "7f00-7f08 rw-p 00000000 00:00 0 \nSize:                 32 kB\nRss:                   8 kB\nPss: 8 kB\n\
                     7f10-8f10 rw-p 00000000 00:00 0 \nSize:             262144 kB\nRss:                 100 kB\n\
                     7fa0-7fa8 rw-p 00000000 fe:00 12 /usr/lib/x.so\nSize:                 32 kB\nRss: 4 kB\n\
                     7fb0-7fb1 rw-p 00000000 00:00 0 \nSize: 4 kB\nRss: 4 kB\nVmFlags: rd wr\n";
        assert_eq!(stacks_in(smaps), 12 << 10);
    }
}
