//! Positions in the feed of changes: opaque to everything outside the store.

use std::fmt;
use std::str::FromStr;

/// How far a replica has come in the feed of changes of one database.
///
/// Its text form travels on the bus and stands in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which history the position belongs to; a database that was replaced or restored begins another.
    pub(super) epoch: u64,
    pub(super) sequence: u64,
}

/// Where in the feed one committed change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct InvalidCursor;

impl Cursor {
    /// Whether a replica at this cursor has seen the change at `mark`.
    pub fn covers(&self, mark: &Mark) -> bool {
        self.epoch == mark.epoch && self.sequence >= mark.sequence
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.epoch, self.sequence)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Cursor, InvalidCursor> {
        let (epoch, sequence) = text.split_once(':').ok_or(InvalidCursor)?;
        Ok(Cursor {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| InvalidCursor)?,
            sequence: sequence.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_covers_what_came_before_it_in_its_own_history() {
        let cursor: Cursor = "00000000000000ff:7".parse().unwrap();
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        assert!(cursor.covers(&Mark { epoch: 255, sequence: 7 }));
        assert!(!cursor.covers(&Mark { epoch: 255, sequence: 8 }));
        assert!(!cursor.covers(&Mark { epoch: 254, sequence: 1 }));
        assert_eq!("7".parse::<Cursor>(), Err(InvalidCursor));
    }
}
