//! Where a replica stands among PostgreSQL's transactions, which commit out of order: not a number, but a snapshot.

use std::fmt;

/// What has been seen of one history, and over which connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Position {
    pub(super) epoch: Epoch,
    /// The server's last checkpoint, by its place in the log.
    pub(super) checkpoint: u64,
    /// The connection of the feed under which the position was taken, a random number.
    ///
    /// Under another one the server may have crashed in between, and may have given transaction ids again
    /// that this snapshot takes for done: the position has to be rewound.
    pub(super) life: u64,
    pub(super) seen: Snapshot,
}

/// A transaction of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Transaction {
    pub(super) epoch: Epoch,
    /// The last checkpoint before it committed. A crash is followed by a new one before anybody may connect,
    /// so a position from before the crash does not pass for one that has seen a transaction after it,
    /// whose id may have been given before.
    pub(super) checkpoint: u64,
    pub(super) xid: u64,
}

/// The history that transaction ids belong to; written by the function `replica_epoch` of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    /// The identifier of the cluster, which a copy of its files shares.
    system: u64,
    /// A failover begins another.
    timeline: u32,
    /// The database, which a clone of it within the cluster does not share.
    database: u32,
    /// The change log, which a restore makes anew.
    log: u32,
    salt: u128,
}

/// A `pg_snapshot`: which transactions had ended at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// All below had ended.
    pub(super) xmin: u64,
    /// None from here on had.
    pub(super) xmax: u64,
    /// Those between that had not, in order.
    pub(super) in_progress: Vec<u64>,
}

impl Position {
    pub(in crate::store) fn parse(text: &str) -> Option<Position> {
        let mut parts = text.split('/');
        let position = Position {
            epoch: Epoch::parse(parts.next()?)?,
            checkpoint: u64::from_str_radix(parts.next()?, 16).ok()?,
            life: u64::from_str_radix(parts.next()?, 16).ok()?,
            seen: Snapshot::parse(parts.next()?)?,
        };
        parts.next().is_none().then_some(position)
    }

    pub(in crate::store) fn covers(&self, marked: &Transaction) -> bool {
        self.epoch == marked.epoch && self.checkpoint >= marked.checkpoint && self.seen.sees(marked.xid)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}/{:x}/{}", self.epoch, self.checkpoint, self.life, self.seen)
    }
}

impl Transaction {
    pub(in crate::store) fn parse(epoch: &str, checkpoint: &str, xid: &str) -> Option<Transaction> {
        let (epoch, checkpoint, xid) = (Epoch::parse(epoch)?, checkpoint.parse().ok()?, xid.parse().ok()?);
        Some(Transaction { epoch, checkpoint, xid })
    }
}

impl Epoch {
    pub(super) fn parse(text: &str) -> Option<Epoch> {
        let mut parts = text.split('-');
        let epoch = Epoch {
            system: u64::from_str_radix(parts.next()?, 16).ok()?,
            timeline: u32::from_str_radix(parts.next()?, 16).ok()?,
            database: u32::from_str_radix(parts.next()?, 16).ok()?,
            log: u32::from_str_radix(parts.next()?, 16).ok()?,
            salt: u128::from_str_radix(parts.next()?, 16).ok()?,
        };
        parts.next().is_none().then_some(epoch)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:08x}-{:x}-{:x}-{:032x}", self.system, self.timeline, self.database, self.log, self.salt)
    }
}

impl Snapshot {
    /// Everything below `xid`, and nothing else.
    pub(super) fn below(xid: u64) -> Snapshot {
        Snapshot { xmin: xid, xmax: xid, in_progress: Vec::new() }
    }

    pub(super) fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.split(':');
        let (xmin, xmax) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let in_progress: Vec<u64> = match parts.next()? {
            "" => Vec::new(),
            list => list.split(',').map(str::parse).collect::<Result<_, _>>().ok()?,
        };
        let in_order = in_progress.is_sorted_by(|a, b| a < b)
            && in_progress.first().is_none_or(|&first| first >= xmin)
            && in_progress.last().is_none_or(|&last| last < xmax);
        let valid = parts.next().is_none() && 0 < xmin && xmin <= xmax && in_order;
        valid.then_some(Snapshot { xmin, xmax, in_progress })
    }

    /// Whether the transaction had ended.
    pub(super) fn sees(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.in_progress.binary_search(&xid).is_err())
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (n, xid) in self.in_progress.iter().enumerate() {
            write!(f, "{}{xid}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read_as_postgresql_reads_them() {
        let check = |text: &str, valid: bool| {
            let parsed = Snapshot::parse(text);
            assert_eq!(parsed.is_some(), valid, "{text:?}");
            if let Some(snapshot) = parsed {
                assert_eq!(snapshot.to_string(), text);
            }
        };
        check("10:10:", true);
        check("10:20:", true);
        check("10:20:10,14,19", true);
        check("10:18446744073709551615:", true);
        check("0:10:", false);
        check("20:10:", false);
        check("10:20:14,10", false);
        check("10:20:9", false);
        check("10:20:20", false);
        check("10:20:x", false);
        check("10:20:10,", false);
        check("10:20", false);
        check("10:20::", false);
        check("", false);
    }

    #[test]
    fn what_had_ended_is_seen() {
        let snapshot = Snapshot::parse("10:20:10,14").unwrap();
        let seen: Vec<u64> = (8..23).filter(|&xid| snapshot.sees(xid)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 15, 16, 17, 18, 19]);
        assert!(Snapshot::below(10).sees(9) && !Snapshot::below(10).sees(10));
    }

    #[test]
    fn what_was_seen_before_a_checkpoint_is_not_what_came_after_it() {
        let epoch = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff";
        let covers = |position_at: u64, marked_at: u64| {
            let position = Position::parse(&format!("{epoch}/{position_at:x}/1f/10:20:")).unwrap();
            position.covers(&Transaction::parse(epoch, &marked_at.to_string(), "15").unwrap())
        };
        assert!(covers(30, 30) && covers(31, 30) && !covers(29, 30));
    }

    #[test]
    fn positions_are_written_and_read() {
        let text = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff/16b3d80/1f/10:20:14";
        assert_eq!(Position::parse(text).unwrap().to_string(), text);
        for broken in ["", "/", "6a1c-2-4005-4010/1/1f/10:20:", "6a1c-2-4005-4010-1-2/1/1f/10:20:", &format!("{text}/")]
        {
            assert_eq!(Position::parse(broken), None, "{broken:?}");
        }
    }
}
