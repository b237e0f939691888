//! Processes whose workers are blocked or meet page faults. Each case runs this program once more as a child process,
//! since the child ends or changes state shared by all threads.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

#[path = "support/links.rs"]
mod links;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use may::coroutine::Builder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prometheus::Registry;
use tern_common::bus::LocalBus;
use tern_common::config::{Reader, Variables};
use tern_redirector::Redirector;
use tern_redirector::config::RedirectorConfig;

use crate::links::{eventually, insert_link, new_store};

/// Variable that names the part of a child process.
const PART: &str = "TERN_TEST_PART";

/// Returns whether this process is the child with this part.
fn is_child(part: &str) -> bool {
    std::env::var_os(PART).is_some_and(|value| value == part)
}

/// Starts the test of this name as a child process.
fn start(test: &str, part: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(PART, part).stdout(Stdio::null()).stderr(Stdio::null());
    // Without a core file.
    command.env("RUST_BACKTRACE", "0").spawn().unwrap()
}

/// Waits for the end of a child, and kills it after `wait_limit`.
fn wait_for_end(mut child: Child, wait_limit: Duration) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > wait_limit {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the process did not end within {wait_limit:?}");
        }
        park_for(Duration::from_millis(20));
    }
}

fn park_for(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::thread::park_timeout(time);
    }
}

/// Starts a redirector with two workers and a link, over a store in `directory`.
async fn redirector(directory: &std::path::Path) -> Redirector {
    let (store, owner) = new_store(&directory.join("tern.db")).await;
    insert_link(&store, owner, "CODE12").await;
    let settings =
        [("REDIRECTOR_LISTEN", "127.0.0.1:0"), ("REDIRECTOR_OPS_LISTEN", "127.0.0.1:0"), ("REDIRECTOR_WORKERS", "2")];
    let variables: Variables = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut reader = Reader::new(&variables);
    let config = RedirectorConfig::read(&mut reader);
    let mut config = reader.finish(config).unwrap();
    config.journal.root = directory.join("clicks");
    config.journal.floor = Some(0);
    let (store, bus) = (Arc::new(store), Arc::new(LocalBus::new()));
    let redirector = Redirector::start(config, store.clone(), store, bus, &Registry::new()).await.unwrap();
    redirector.loaded().await;
    redirector
}

/// Returns the status and the body of `/live`.
async fn live(redirector: &Redirector) -> (u16, serde_json::Value) {
    let answer = reqwest::get(format!("http://{}/live", redirector.ops_addr())).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Blocks the second worker for a minute.
fn block_second_worker() -> Arc<AtomicBool> {
    let blocked = Arc::<AtomicBool>::default();
    let set = Arc::clone(&blocked);
    may::go!(Builder::new().id(1), move || {
        set.store(true, Ordering::Release);
        park_for(Duration::from_secs(60));
    })
    .unwrap();
    blocked
}

#[test]
fn blocked_worker_turns_live_to_503_and_ends_the_process() {
    const STUCK: &str = "stuck";
    if is_child(STUCK) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let redirector = redirector(directory.path()).await;
            assert_eq!(live(&redirector).await, (200, serde_json::json!({"status": "ok"})));
            let blocked = block_second_worker();
            eventually("the worker is blocked", async || blocked.load(Ordering::Acquire)).await;
            let since = Instant::now();
            let answer = loop {
                let answer = live(&redirector).await;
                if answer.0 != 200 {
                    break answer;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            // The promise is five seconds; the rest is for a busy machine.
            let is_right = since.elapsed() < Duration::from_secs(7)
                && answer.0 == 503
                && answer.1["workers"][0]["worker"] == 1
                && answer.1["workers"][0]["silent_seconds"].as_f64().unwrap() >= 4.0;
            if !is_right {
                // The watchdog ends the process in another way.
                std::process::exit(3);
            }
            let ready = reqwest::get(format!("http://{}/ready", redirector.ops_addr())).await.unwrap();
            if ready.status() != 503 {
                std::process::exit(4);
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
        return;
    }
    let child = start("blocked_worker_turns_live_to_503_and_ends_the_process", STUCK);
    let status = wait_for_end(child, Duration::from_secs(40));
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{status}");
}

#[test]
fn frozen_process_resumes_without_watchdog_abort() {
    const FROZEN: &str = "frozen";
    if is_child(FROZEN) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let redirector = redirector(directory.path()).await;
            // The child notices by its clock that it was frozen.
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if last.elapsed() > Duration::from_secs(10) {
                    break;
                }
                last = Instant::now();
            }
            for _ in 0..20 {
                if live(&redirector).await.0 != 200 {
                    std::process::exit(3);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        return;
    }
    let child = start("frozen_process_resumes_without_watchdog_abort", FROZEN);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // Longer than a worker may be blocked.
    park_for(Duration::from_secs(3));
    kill(pid, Signal::SIGSTOP).unwrap();
    park_for(Duration::from_secs(13));
    kill(pid, Signal::SIGCONT).unwrap();
    let status = wait_for_end(child, Duration::from_secs(30));
    assert!(status.success(), "{status}");
}

/// Recurses until the stack overflows.
fn overflow(depth: u64) -> u64 {
    let piece = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { overflow(depth + 1) + std::hint::black_box(piece)[7] }
}

#[test]
fn stack_overflow_ends_its_coroutine_and_other_faults_the_process() {
    const FAULT: &str = "fault";
    if is_child(FAULT) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let redirector = redirector(directory.path()).await;
            may::go!(Builder::new().id(0), || assert!(std::hint::black_box(overflow(0)) > 0)).unwrap();
            let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
            for _ in 0..20 {
                let url = format!("http://{}/CODE12", redirector.local_addr());
                let answer = client.get(url).header("connection", "close").send().await.unwrap();
                if answer.status() != 302 {
                    std::process::exit(3);
                }
            }
        });
        fault_on_many_threads();
        return;
    }
    let child = start("stack_overflow_ends_its_coroutine_and_other_faults_the_process", FAULT);
    let status = wait_for_end(child, Duration::from_secs(20));
    assert_eq!(status.signal(), Some(Signal::SIGSEGV as i32), "{status}");
}

/// Writes to an unmapped page on eight threads at once.
#[expect(unsafe_code, reason = "a fault is what the test is about")]
fn fault_on_many_threads() {
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                // SAFETY: none; the process is to end here.
                unsafe { std::ptr::without_provenance_mut::<u8>(4096).write_volatile(1) };
            });
        }
    });
}
