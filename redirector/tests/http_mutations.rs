//! Mutated requests against the loop, in this process. `make soak` tries ten million.

#![expect(clippy::print_stdout, reason = "the seed is told")]

#[path = "support/mutations.rs"]
mod mutations;

#[test]
fn whatever_is_sent_the_answers_are_answers() {
    let run = mutations::run(150_000, rand::random());
    println!("{run:?}");
    assert!(run.redirects > run.inputs / 10, "too few of them are requests still");
}
