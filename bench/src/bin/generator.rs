//! An open-loop load generator. Requests are due at a constant rate, whether or not the server keeps up. A latency
//! counts from the time when the request was due. The histogram therefore includes every delay caused by a slow server.
//!
//! The generator sends requests to servers on loopback only, and ends by itself.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tern_bench::answer;
use tern_bench::turns::Latencies;

#[derive(Debug, Parser)]
struct Arguments {
    /// Address of the server, on loopback.
    #[arg(long)]
    address: SocketAddr,
    /// File of short codes to request, one a line.
    #[arg(long)]
    codes: PathBuf,
    /// Requests a second.
    #[arg(long)]
    rate: f64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measured seconds, after a warm-up of one second.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Expected status.
    #[arg(long, default_value_t = 302)]
    expect: u16,
}

/// Duration of the warm-up, for the server's caches and the connections.
const WARM_UP: Duration = Duration::from_secs(1);

/// Time after the last due request beyond which missing answers are errors.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// Shortest wait for which the timer is precise enough.
const NEAR: Duration = Duration::from_micros(5);

const TIMER: u64 = u64::MAX;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    check(&arguments)?;
    let codes = std::fs::read_to_string(&arguments.codes).context("cannot read the codes")?;
    let codes: Vec<&str> = codes.lines().collect();
    ensure!(!codes.is_empty(), "there are no codes");
    let latencies = Generator::connect(&arguments)?.run(&arguments, &codes)?;
    println!("{}", serde_json::to_string(&latencies)?);
    Ok(())
}

/// Checks that the load is bounded and directed at this machine.
fn check(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.address.ip().is_loopback(), "only servers on loopback are asked");
    ensure!((1.0..=1e6).contains(&arguments.rate), "the rate is out of bounds");
    ensure!((0.1..=600.0).contains(&arguments.seconds), "the time is out of bounds");
    ensure!((1..=10_000).contains(&arguments.connections), "the number of connections is out of bounds");
    Ok(())
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Number of the request that awaits its answer.
    asked: Option<u64>,
}

struct Generator {
    epoll: Epoll,
    timer: TimerFd,
    connections: Vec<Connection>,
    /// Idle connections, used in turns.
    idle: VecDeque<usize>,
    latencies: Histogram<u64>,
    delays: Histogram<u64>,
    answered: u64,
    wrong: u64,
}

impl Generator {
    fn connect(arguments: &Arguments) -> Result<Generator> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        epoll.add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let mut connections = Vec::new();
        for n in 0..arguments.connections {
            let stream = TcpStream::connect(arguments.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, n as u64))?;
            connections.push(Connection { stream, received: Vec::new(), asked: None });
        }
        let histogram = || Histogram::new_with_bounds(1, 60_000_000_000, 3);
        Ok(Generator {
            epoll,
            timer,
            idle: (0..connections.len()).collect(),
            connections,
            latencies: histogram()?,
            delays: histogram()?,
            answered: 0,
            wrong: 0,
        })
    }

    fn run(mut self, arguments: &Arguments, codes: &[&str]) -> Result<Latencies> {
        let mut random = fastrand::Rng::with_seed(arguments.seed);
        let first_counted = (WARM_UP.as_secs_f64() * arguments.rate) as u64;
        let total = first_counted + (arguments.seconds * arguments.rate) as u64;
        let start = Instant::now();
        let due = |n: u64| start + Duration::from_secs_f64(n as f64 / arguments.rate);
        let deadline = due(total) + WAIT_LIMIT;
        let (mut next, mut request) = (0, Vec::new());
        let mut events = vec![EpollEvent::empty(); arguments.connections + 1];
        while self.answered < total {
            let now = Instant::now();
            if now > deadline {
                break;
            }
            while next < total
                && due(next) <= now
                && let Some(connection) = self.idle.pop_front()
            {
                request.clear();
                let code = codes[random.usize(..codes.len())];
                write!(request, "GET /{code} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
                let connection = &mut self.connections[connection];
                connection.stream.write_all(&request)?;
                connection.asked = Some(next);
                if next >= first_counted {
                    self.delays.saturating_record(nanos(Instant::now() - due(next)));
                }
                next += 1;
            }
            let has_due = next < total && !self.idle.is_empty();
            let timeout = self.wait_until(has_due.then(|| due(next).saturating_duration_since(Instant::now())))?;
            let ready = self.epoll.wait(&mut events, timeout)?;
            for event in &events[..ready] {
                if event.data() != TIMER {
                    self.receive(event.data() as usize, arguments.expect, first_counted, &due)?;
                }
            }
        }
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let quantile = |quantile: f64| micros(self.latencies.value_at_quantile(quantile));
        Ok(Latencies {
            requests: self.latencies.len(),
            errors: self.wrong + (total - self.answered),
            rate: self.answered as f64 / start.elapsed().as_secs_f64(),
            mean: self.latencies.mean() / 1e3,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            most: micros(self.latencies.max()),
            sent_late_p99: micros(self.delays.value_at_quantile(0.99)),
        })
    }

    /// Sets the timer to the due time of the next request, if there is one to send.
    fn wait_until(&self, left: Option<Duration>) -> Result<EpollTimeout> {
        Ok(match left {
            Some(left) if left < NEAR => EpollTimeout::ZERO,
            Some(left) => {
                let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
                self.timer.set(expiration, TimerSetTimeFlags::empty())?;
                EpollTimeout::NONE
            }
            None => {
                self.timer.unset()?;
                EpollTimeout::from(100u8)
            }
        })
    }

    fn receive(&mut self, n: usize, expected: u16, first: u64, due: &impl Fn(u64) -> Instant) -> Result<()> {
        let connection = &mut self.connections[n];
        let mut buffer = [0; 4096];
        match connection.stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(read) => connection.received.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let Some(answer) = answer::parse(&connection.received)? else { return Ok(()) };
        let asked = connection.asked.take().context("an answer to no request")?;
        ensure!(answer.length == connection.received.len(), "more than the answer");
        connection.received.clear();
        self.idle.push_back(n);
        self.answered += 1;
        self.wrong += u64::from(answer.status != expected);
        if asked >= first {
            self.latencies.saturating_record(nanos(Instant::now() - due(asked)));
        }
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tern_bench::machine::pause;

    use super::*;

    fn arguments(more: &[&str]) -> Arguments {
        Arguments::parse_from([&["generator", "--codes=codes"], more].concat())
    }

    #[test]
    fn load_off_this_machine_or_unbounded_is_refused() {
        let is_accepted = |more: &[&str]| check(&arguments(more)).is_ok();
        assert!(is_accepted(&["--address=127.0.0.1:80", "--rate=1000"]));
        assert!(is_accepted(&["--address=[::1]:80", "--rate=1000"]));
        assert!(!is_accepted(&["--address=192.0.2.1:80", "--rate=1000"]));
        assert!(!is_accepted(&["--address=0.0.0.0:80", "--rate=1000"]));
        for excess in ["--rate=1e9", "--rate=NaN", "--seconds=1e6", "--connections=0"] {
            let mut all = vec!["--address=127.0.0.1:80"];
            all.extend((!excess.starts_with("--rate")).then_some("--rate=1000"));
            assert!(!is_accepted(&[all, vec![excess]].concat()), "{excess}");
        }
    }

    /// Requests that were due while the server paused have waited, although they could not be sent.
    #[test]
    fn pause_of_server_delays_all_requests_due_in_it() {
        const PAUSE: Duration = Duration::from_millis(300);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("--address={}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            for n in 0.. {
                if stream.read(&mut buffer).unwrap_or(0) == 0 {
                    break;
                }
                if n == 1_500 {
                    pause(PAUSE);
                }
                stream.write_all(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
        let arguments = arguments(&[&address, "--rate=1000", "--connections=1", "--seconds=1"]);
        let seen = Generator::connect(&arguments).unwrap().run(&arguments, &["code"]).unwrap();
        server.join().unwrap();
        assert_eq!((seen.requests, seen.errors), (1_000, 0));
        // One request met the pause; some 300 were due in it, a hundred of them in its first third.
        assert!(seen.most >= 300_000.0 && seen.p90 >= 150_000.0, "{seen:?}");
    }
}
