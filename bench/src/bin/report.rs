//! Measures Tern and the yardsticks and writes the report: `make bench`, `make bench-quick`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use tern_bench::measurements::Plan;
use tern_bench::{document, run};

#[derive(Debug, Parser)]
struct Arguments {
    /// Two thousand links and few rounds: less than two minutes.
    #[arg(long)]
    quick: bool,
    /// Number of turns of each server.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each turn.
    #[arg(long)]
    seconds: Option<u32>,
    /// Largest number of links.
    #[arg(long, default_value_t = 10_000_000)]
    most_links: u64,
    /// Directory of the workspace's release build.
    #[arg(long, default_value = "../target/release")]
    binaries: PathBuf,
    /// Directory of the report.
    #[arg(long, default_value = "../docs")]
    output: PathBuf,
}

/// Returns the command that makes such a report.
fn command(arguments: &Arguments) -> String {
    let mut changed = Vec::new();
    changed.extend(arguments.rounds.map(|rounds| format!(" --rounds {rounds}")));
    changed.extend(arguments.seconds.map(|seconds| format!(" --seconds {seconds}")));
    changed.extend((arguments.most_links < SIZES[3]).then(|| format!(" --most-links {}", arguments.most_links)));
    match (changed.is_empty(), arguments.quick) {
        (true, false) => "make bench".to_owned(),
        (true, true) => "make bench-quick".to_owned(),
        (false, _) => format!("report{}{}", if arguments.quick { " --quick" } else { "" }, changed.concat()),
    }
}

const SIZES: [u64; 4] = [2_000, 100_000, 1_000_000, 10_000_000];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let quick = arguments.quick;
    let either = |short: usize, long: usize| if quick { short } else { long };
    let sizes = SIZES.into_iter().take(either(1, SIZES.len())).filter(|size| *size <= arguments.most_links).collect();
    let rounds = arguments.rounds.unwrap_or(either(2, 5));
    let seconds = arguments.seconds.unwrap_or(if quick { 2 } else { 4 });
    ensure!((1..=100).contains(&rounds) && (1..=60).contains(&seconds), "the load is out of bounds");
    let plan = Plan {
        command: command(&arguments),
        rounds,
        seconds,
        fewer_rounds: either(1, 3).min(rounds),
        steady_rounds: either(1, 3).min(rounds),
        steady_seconds: seconds + 1,
        sizes,
        loads: either(2, 3),
    };
    let measured = run::run(plan, &arguments.binaries)?;
    document::write(&measured, &arguments.output)?;
    println!("{}", arguments.output.join("PERFORMANCE_REPORT.md").display());
    Ok(())
}
