//! Positions in the feed of changes. Only the store interprets them.

use std::fmt;
use std::str::FromStr;

use super::postgres::position as postgres;

/// The position of a replica in one database's feed of changes.
///
/// Its text form is sent over the bus and written to snapshot files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub(super) Position);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Sqlite(Sequence),
    Postgres(Box<postgres::Position>),
}

/// The position of one committed change in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub(super) MarkPosition);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkPosition {
    #[cfg(feature = "sqlite")]
    Sqlite(Sequence),
    Postgres(postgres::Transaction),
}

/// A position in SQLite's change log, where the order of sequences is the order of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Identifies the history of the database. A database that was replaced or created anew has another.
    pub(super) epoch: u64,
    pub(super) number: u64,
}

/// Error for a text that is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct InvalidCursor;

impl Cursor {
    /// Returns whether both cursors are of one history. A failover begins another one.
    pub fn is_of_history_of(&self, other: &Cursor) -> bool {
        match (&self.0, &other.0) {
            (Position::Sqlite(own), Position::Sqlite(other)) => own.epoch == other.epoch,
            (Position::Postgres(own), Position::Postgres(other)) => own.is_of_history_of(other),
            _ => false,
        }
    }

    /// Returns whether a replica at this cursor has applied the change at `mark`.
    pub fn covers(&self, mark: &Mark) -> bool {
        match (&self.0, &mark.0) {
            #[cfg(feature = "sqlite")]
            (Position::Sqlite(seen), MarkPosition::Sqlite(marked)) => {
                seen.epoch == marked.epoch && seen.number >= marked.number
            }
            (Position::Postgres(seen), MarkPosition::Postgres(marked)) => seen.covers(marked),
            _ => false,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Position::Sqlite(Sequence { epoch, number }) => write!(f, "{epoch:016x}:{number}"),
            Position::Postgres(position) => position.fmt(f),
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Cursor, InvalidCursor> {
        if let Some(position) = postgres::Position::parse(text) {
            return Ok(Cursor(Position::Postgres(Box::new(position))));
        }
        let (epoch, number) = text.split_once(':').ok_or(InvalidCursor)?;
        Ok(Cursor(Position::Sqlite(Sequence {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| InvalidCursor)?,
            number: number.parse().map_err(|_| InvalidCursor)?,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_covers_earlier_marks_of_its_own_history_only() {
        let mark = |epoch, number| Mark(MarkPosition::Sqlite(Sequence { epoch, number }));
        let cursor: Cursor = "00000000000000ff:7".parse().unwrap();
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        assert!(cursor.covers(&mark(255, 7)));
        assert!(!cursor.covers(&mark(255, 8)));
        assert!(!cursor.covers(&mark(254, 1)));
        assert_eq!("7".parse::<Cursor>(), Err(InvalidCursor));
    }

    #[test]
    fn cursor_of_one_kind_of_store_covers_no_mark_of_the_other() {
        let sqlite: Cursor = "00000000000000ff:7".parse().unwrap();
        let postgres: Cursor = "ff-00000001-5-4000-0123456789abcdef0123456789abcdef/1f/9/7:9:8".parse().unwrap();
        let marked = Mark(MarkPosition::Postgres(
            postgres::Transaction::parse("ff-00000001-5/31", "4000-0123456789abcdef0123456789abcdef", "7").unwrap(),
        ));
        assert_eq!(postgres.to_string().parse(), Ok(postgres.clone()));
        assert!(postgres.covers(&marked));
        assert!(!sqlite.covers(&marked));
        assert!(!postgres.covers(&Mark(MarkPosition::Sqlite(Sequence { epoch: 255, number: 7 }))));
    }
}
