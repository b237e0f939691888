//! Mutated requests to the exchange, in this process. `make soak` tries ten million.

#![expect(clippy::print_stdout, reason = "the test prints its seed")]

#[path = "support/mutations.rs"]
mod mutations;

#[test]
fn mutated_requests_get_well_formed_answers() {
    let run = mutations::run(150_000, rand::random());
    println!("{run:?}");
    assert!(run.redirects > run.inputs / 10, "too few of the mutations are valid requests");
}
