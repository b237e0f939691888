//! First starts that are interrupted: by a kill at any moment, or by a disk that is full at any size.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{run, tern, text};

/// Writes the file that a first start loads.
fn write_users(directory: &Path) {
    std::fs::write(directory.join("users.csv"), "username,email\nada,ada@mail.example\n").unwrap();
}

/// Loads a file within a limit on file sizes. Beyond the limit a write fails, or the process is killed.
fn load_within(directory: &Path, kib: u32, is_killed: bool) -> Output {
    let ours = tern(directory, &[]);
    let trap = if is_killed { "" } else { "trap '' XFSZ;" };
    let mut shell = Command::new("sh");
    // The unit of `ulimit -f` is 512 bytes.
    let limited = format!("{trap} ulimit -c 0; ulimit -f {}; exec \"$0\" load users.csv", 2 * kib);
    shell.arg("-c").arg(limited).arg(ours.get_program()).current_dir(directory).env_clear();
    run(&mut shell)
}

/// Checks that a start with room has every table, and the row if it was reported as loaded.
fn check_heals(directory: &Path, first: &Output, what: &str) {
    let again = run(&mut tern(directory, &["load", "users.csv"]));
    assert!(again.status.success(), "{what}: first {}, then {}", text(&first.stderr), text(&again.stderr));
    if !first.stdout.is_empty() {
        assert!(text(&again.stdout).contains("all 1 are there already"), "{what}: the loaded row is missing");
    }
}

#[test]
fn first_start_failed_at_any_file_size_is_completed_by_the_next() {
    for is_killed in [false, true] {
        let mut failures = 0;
        for kib in (0..).step_by(3) {
            let directory = tempfile::tempdir().unwrap();
            write_users(directory.path());
            let first = load_within(directory.path(), kib, is_killed);
            check_heals(directory.path(), &first, &format!("{kib} KiB, killed: {is_killed}"));
            if first.status.success() {
                break;
            }
            failures += 1;
        }
        assert!(failures > 10, "{failures}");
    }
}

#[test]
fn first_start_killed_at_any_moment_is_completed_by_the_next() {
    let start = |directory: &Path| {
        write_users(directory);
        let mut command = tern(directory, &["load", "users.csv"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let began = Instant::now();
    assert!(start(tempfile::tempdir().unwrap().path()).wait().unwrap().success());
    let whole = began.elapsed();
    for n in 0..60 {
        let directory = tempfile::tempdir().unwrap();
        let mut process = start(directory.path());
        let kill_at = Instant::now() + whole * n / 60;
        while Instant::now() < kill_at {
            std::thread::park_timeout(Duration::from_micros(100));
        }
        process.kill().unwrap();
        let first = process.wait_with_output().unwrap();
        check_heals(directory.path(), &first, &format!("killed after {n} sixtieths of {whole:?}"));
    }
}
