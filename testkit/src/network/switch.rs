//! The thread that carries packets between the devices of hosts.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::gettid;

/// Packets that are read from one device before the others have their turn.
const TURN: usize = 64;

/// Longest packet of a device.
const PACKET: usize = 64 * 1024;

/// Running switch; it ends on drop.
#[derive(Debug)]
pub(super) struct Switch {
    ways: Arc<Mutex<Ways>>,
    /// Pipe whose end stops the thread.
    running: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// State of the ways between hosts.
#[derive(Debug)]
struct Ways {
    /// Pairs of a sender and a receiver between which packets are dropped.
    cut: HashSet<(usize, usize)>,
    /// Time that a packet takes between each host and the switch.
    distances: Vec<Duration>,
}

/// Packet on its way, ordered by the time of its arrival. The number preserves the order of packets sent at once.
type Packet = Reverse<(Instant, u64, usize, Vec<u8>)>;

impl Switch {
    pub(super) fn start(devices: Vec<File>) -> Switch {
        let ways = Ways { cut: HashSet::new(), distances: vec![Duration::ZERO; devices.len()] };
        let ways = Arc::new(Mutex::new(ways));
        let (stopped, running) = pipe().unwrap();
        let shared = Arc::clone(&ways);
        let thread = std::thread::spawn(move || carry(&devices, &stopped, &shared));
        Switch { ways, running: Some(running), thread: Some(thread) }
    }

    pub(super) fn cut(&self, ways: Vec<(usize, usize)>) {
        lock(&self.ways).cut.extend(ways);
    }

    pub(super) fn heal(&self) {
        lock(&self.ways).cut.clear();
    }

    pub(super) fn place(&self, host: usize, distance: Duration) {
        lock(&self.ways).distances[host] = distance;
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked printed its reason.
            let _ = thread.join();
        }
    }
}

/// Lets this thread run before every program of the machine. A wire is no slower while the machine is busy.
fn take_precedence() {
    let thread = gettid().to_string();
    let chrt = Command::new("chrt").args(["--rr", "--pid", "1", &thread]).output().unwrap();
    assert!(chrt.status.success(), "chrt: {}", String::from_utf8_lossy(&chrt.stderr));
}

/// Carries packets until the other end of `stopped` is closed.
fn carry(devices: &[File], stopped: &PipeReader, ways: &Mutex<Ways>) {
    take_precedence();
    let mut buffer = vec![0; PACKET];
    let mut under_way: BinaryHeap<Packet> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let now = Instant::now();
        while under_way.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Reverse((_, _, receiver, packet)) = under_way.pop().unwrap();
            deliver(&devices[receiver], &packet);
        }
        let next = under_way.peek().map(|Reverse((due, ..))| TimeSpec::from_duration(*due - now));
        let mut ends: Vec<PollFd<'_>> =
            devices.iter().map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN)).collect();
        ends.push(PollFd::new(stopped.as_fd(), PollFlags::POLLIN));
        ppoll(&mut ends, next, None).unwrap();
        let is_ready: Vec<bool> = ends.iter().map(|end| end.any().unwrap_or(true)).collect();
        if is_ready[devices.len()] {
            return;
        }
        for sender in (0..devices.len()).filter(|sender| is_ready[*sender]) {
            for _ in 0..TURN {
                let Ok(length) = (&devices[sender]).read(&mut buffer) else { break };
                let packet = &buffer[..length];
                let Some(receiver) = receiver(packet).filter(|receiver| *receiver < devices.len()) else { continue };
                let (is_cut, time) = {
                    let ways = lock(ways);
                    (ways.cut.contains(&(sender, receiver)), ways.distances[sender] + ways.distances[receiver])
                };
                if is_cut {
                    continue;
                }
                if time.is_zero() {
                    deliver(&devices[receiver], packet);
                } else {
                    number += 1;
                    under_way.push(Reverse((Instant::now() + time, number, receiver, packet.to_vec())));
                }
            }
        }
    }
}

/// Returns the number of the host to which a packet of IPv4 is addressed.
fn receiver(packet: &[u8]) -> Option<usize> {
    let is_ipv4 = packet.first().is_some_and(|first| first >> 4 == 4);
    match packet.get(16..20)? {
        [10, 77, 0, last] if is_ipv4 => usize::from(*last).checked_sub(1),
        _ => None,
    }
}

fn deliver(mut device: &File, packet: &[u8]) {
    // A network loses packets that a full device does not take, and their senders repeat them.
    let _ = device.write(packet);
}

fn lock(ways: &Mutex<Ways>) -> MutexGuard<'_, Ways> {
    ways.lock().unwrap_or_else(PoisonError::into_inner)
}
