//! Processes that crash at any byte of the file.

use std::fs;

use proptest::prelude::*;
use tern_common::store::Cursor;

use super::tests::{FIRST, Links, Origin, cursor, links, links_of, new_file};
use super::{SnapshotFile, TailEnd, Written};

/// One step of a process with a file.
#[derive(Clone, Debug)]
enum Step {
    Put { code: u8, version: i64 },
    Remove { code: u8 },
    Write,
    WriteBase,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12u8, 1..1_000i64).prop_map(|(code, version)| Step::Put { code, version }),
        3 => (0..12u8).prop_map(|code| Step::Remove { code }),
        4 => Just(Step::Write),
        1 => Just(Step::WriteBase),
        1 => Just(Step::Restart),
    ]
}

/// A state that was written: the end of the file, the cursor, the links, and the number of changes before.
type State = (usize, Cursor, Links, usize);

fn apply(origin: &mut Origin, change: &Step) {
    match change {
        Step::Put { code, version } => {
            origin.put(&format!("code{code}"), &format!("https://example.com/{version}"), *version, version % 3 > 0);
        }
        Step::Remove { code } => origin.remove(&format!("code{code}")),
        Step::Write | Step::WriteBase | Step::Restart => {}
    }
}

/// Runs the steps. Returns the states that the file can bring back, that of its base first, and its bytes.
fn run(steps: &[Step], file: &mut SnapshotFile) -> (Vec<State>, Vec<u8>) {
    let mut origin = Origin::new(&links(10));
    origin.write_base(file, FIRST);
    let len = |file: &SnapshotFile| usize::try_from(fs::metadata(file.path()).unwrap().len()).unwrap();
    let mut states = vec![(len(file), cursor(FIRST), origin.links(), 0)];
    for (n, step) in steps.iter().enumerate() {
        let number = FIRST + 1 + n as u64;
        apply(&mut origin, step);
        match step {
            Step::Put { .. } | Step::Remove { .. } => continue,
            Step::Write => {
                if matches!(origin.write(file, number), Written::Base(_)) {
                    states.clear();
                }
            }
            Step::WriteBase => {
                origin.write_base(file, number);
                states.clear();
            }
            Step::Restart => {
                *file = SnapshotFile::new(file.path().to_owned());
                let stored = file.read().unwrap().unwrap();
                let (_, expected, links, changes) = states.last().unwrap().clone();
                assert_eq!((&stored.cursor, stored.tail_end), (&expected, TailEnd::Whole));
                assert_eq!(links_of(stored), links);
                // Deltas bring the changes that were not written.
                origin = Origin::new(&links);
                steps[changes..n].iter().for_each(|change| apply(&mut origin, change));
                continue;
            }
        }
        states.push((len(file), cursor(number), origin.links(), n + 1));
    }
    let bytes = fs::read(file.path()).unwrap();
    (states, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A file that ends anywhere, or has a wrong bit anywhere, brings back a state that was written, or none. The later
    /// changes then lead to the last state.
    #[test]
    fn cut_or_damaged_file_brings_back_a_written_state(
        steps in prop::collection::vec(step(), 0..60),
        at in any::<prop::sample::Index>(),
        bit in prop::option::of(0..8u32),
        rest in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut file = new_file(directory.path());
        let (states, mut bytes) = run(&steps, &mut file);
        let at = at.index(bytes.len());
        match bit {
            Some(bit) => bytes[at] ^= 1 << bit,
            None => {
                bytes.truncate(at);
                bytes.extend(rest);
            }
        }
        let whole = states.iter().rfind(|(end, ..)| *end <= at);
        fs::write(file.path(), &bytes).unwrap();
        // A crash may leave a part of the next base, too.
        fs::write(file.path().with_extension("partial"), &bytes[..at]).unwrap();
        match (whole, file.read()) {
            (None, Err(_)) => {}
            (Some((end, cursor, links, changes)), Ok(Some(stored))) => {
                prop_assert_eq!(&stored.cursor, cursor);
                prop_assert_eq!(stored.tail_end == TailEnd::Whole, bytes.len() == *end);
                prop_assert_eq!(stored.can_grow, bytes.len() == *end);
                let restored = links_of(stored);
                prop_assert_eq!(&restored, links);
                let mut origin = Origin::new(&restored);
                let mut expected = Origin::new(&states.last().unwrap().2);
                steps[*changes..].iter().for_each(|change| apply(&mut origin, change));
                steps[states.last().unwrap().3..].iter().for_each(|change| apply(&mut expected, change));
                prop_assert_eq!(origin.links(), expected.links());
                // The next write brings a whole file.
                origin.write(&mut file, 1_000);
                let stored = file.read().unwrap().unwrap();
                prop_assert_eq!(stored.tail_end, TailEnd::Whole);
                prop_assert_eq!(links_of(stored), origin.links());
            }
            (whole, stored) => prop_assert!(false, "{:?} and {:?}", whole, stored),
        }
    }
}
