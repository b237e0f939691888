//! Mutated requests against the loop, in this process. `make soak` tries ten million.

#[path = "support/mutations.rs"]
mod mutations;

#[test]
fn whatever_is_sent_the_answers_are_answers() {
    let seed = rand::random();
    let before = resident_kib();
    let run = mutations::run(150_000, seed);
    let grown = resident_kib().saturating_sub(before);
    println!("seed {seed}: {run:?}; {grown} KiB more memory");
    assert!(run.redirects > run.inputs / 10, "too few of them are requests still");
    assert!(grown < 16 * 1024, "{grown} KiB");
}

/// What this process holds of memory.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    resident.expect("a line VmRSS")
}
