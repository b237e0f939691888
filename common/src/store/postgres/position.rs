//! The position of a replica among PostgreSQL's transactions: a snapshot, since they do not commit in the order of ids.

use std::fmt;

/// The place in the write-ahead log of a position that was parsed from its text.
const UNKNOWN: u64 = u64::MAX;

/// The transactions of one history that a replica has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Position {
    pub(super) epoch: Epoch,
    pub(super) checkpoint: Checkpoint,
    /// The random number of the feed's connection over which the position was read.
    ///
    /// While this connection is open, the server has not crashed.
    pub(super) life: u64,
    /// The end of the write-ahead log after `seen` was taken. Each transaction that `seen` sees committed before it.
    ///
    /// The text of a position does not have it. A parsed position has [`UNKNOWN`].
    pub(super) wal: u64,
    pub(super) seen: Snapshot,
    /// Transactions that are read in parts. `seen` lists them as in progress until they are read to their end.
    pub(super) parts: Vec<Part>,
}

/// A checkpoint of the server, from which it recovers after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The position in the write-ahead log. After a crash, the server makes a new checkpoint before clients connect.
    pub(super) place: u64,
    /// The lower bound of ids that the server may give again. 0 if the text of a position does not have it.
    pub(super) next_xid: u64,
}

/// The progress within a transaction that is read in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) xid: u64,
    /// The last code that was read, in the order of bytes.
    pub(super) after: String,
}

/// A transaction of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Transaction {
    pub(super) epoch: Epoch,
    /// A checkpoint since the server last recovered.
    /// After a crash, the server may give ids again, but makes a new checkpoint before clients connect.
    /// A position from before the crash thus does not cover a transaction after it with the same id.
    pub(super) checkpoint: u64,
    pub(super) xid: u64,
}

/// The history to which transaction ids belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    /// The system identifier of the cluster. A copy of its files has the same one.
    system: u64,
    /// The timeline. A failover begins another one.
    timeline: u32,
    /// The oid of the database. A clone within the cluster has another one.
    database: u32,
    /// The oid of the change log. A restore creates another one.
    log: u32,
    salt: u128,
}

/// A `pg_snapshot`: the transactions that had ended at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The id below which all transactions had ended.
    pub(super) xmin: u64,
    /// The id from which on none had ended.
    pub(super) xmax: u64,
    /// The ids between them that had not ended, in order.
    pub(super) in_progress: Vec<u64>,
}

impl Position {
    pub(in crate::store) fn parse(text: &str) -> Option<Position> {
        let mut words = text.split('/');
        let position = Position {
            epoch: Epoch::parse(words.next()?)?,
            checkpoint: Checkpoint::parse(words.next()?)?,
            life: u64::from_str_radix(words.next()?, 16).ok()?,
            wal: UNKNOWN,
            seen: Snapshot::parse(words.next()?)?,
            parts: words.next().map_or(Some(Vec::new()), |parts| parts.split(',').map(Part::parse).collect())?,
        };
        let parts_are_unseen = position.parts.iter().all(|part| !position.seen.sees(part.xid));
        (words.next().is_none() && parts_are_unseen).then_some(position)
    }

    pub(in crate::store) fn covers(&self, marked: &Transaction) -> bool {
        self.epoch == marked.epoch && self.checkpoint.place >= marked.checkpoint && self.seen.sees(marked.xid)
    }

    /// Returns whether both positions are of one timeline of one database.
    pub(in crate::store) fn is_of_history_of(&self, other: &Position) -> bool {
        self.epoch == other.epoch
    }

    /// Removes transactions from the position whose ids the server may have given again after a crash.
    pub(super) fn rewind(&mut self) {
        self.rewind_to(self.checkpoint.next_xid);
    }

    /// Removes the transactions from `xid` on.
    pub(super) fn rewind_to(&mut self, xid: u64) {
        self.seen = self.seen.below(xid);
        self.parts.retain(|part| part.xid < xid);
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checkpoint { place, next_xid } = self.checkpoint;
        write!(f, "{}/{place:x}-{next_xid:x}/{:x}/{}", self.epoch, self.life, self.seen)?;
        for (n, Part { xid, after }) in self.parts.iter().enumerate() {
            write!(f, "{}{xid}:", if n == 0 { "/" } else { "," })?;
            after.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl Checkpoint {
    fn parse(text: &str) -> Option<Checkpoint> {
        let (place, next_xid) = text.split_once('-').unwrap_or((text, "0"));
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Checkpoint { place: number(place)?, next_xid: number(next_xid)? })
    }
}

impl Part {
    fn parse(text: &str) -> Option<Part> {
        let (xid, after) = text.split_once(':')?;
        let digits: Vec<u8> =
            after.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks();
        let after = pairs.iter().map(|[high, low]| (high << 4) | low).collect();
        let part = Part { xid: xid.parse().ok()?, after: String::from_utf8(after).ok()? };
        rest.is_empty().then_some(part)
    }
}

impl Transaction {
    /// Parses the texts of a server and a log, as [`Epoch::read`] does, and the id of a transaction.
    pub(in crate::store) fn parse(server: &str, log: &str, xid: &str) -> Option<Transaction> {
        let (epoch, checkpoint) = Epoch::read(server, log)?;
        Some(Transaction { epoch, checkpoint, xid: xid.parse().ok()? })
    }
}

impl Epoch {
    /// Parses an epoch and a checkpoint.
    ///
    /// `server` is the result of the SQL function `look_at_server`; `log` is the oid of the change log and the salt.
    pub(super) fn read(server: &str, log: &str) -> Option<(Epoch, u64)> {
        let (server, checkpoint) = server.split_once('/')?;
        let (log, salt) = log.split_once('-')?;
        let epoch = Epoch::parse(&format!("{server}-{log}-{}", salt.replace('-', "")))?;
        Some((epoch, checkpoint.parse().ok()?))
    }

    /// Returns whether `later` is a later timeline of the same database.
    pub(super) fn precedes(&self, later: &Epoch) -> bool {
        self.timeline < later.timeline && Epoch { timeline: self.timeline, ..*later } == *self
    }

    /// Returns the timeline as the names of files of the write-ahead log have it.
    pub(super) fn timeline(&self) -> String {
        format!("{:08X}", self.timeline)
    }

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
    /// Returns the snapshot that sees the same transactions below `xid`, and none from there on.
    pub(super) fn below(&self, xid: u64) -> Snapshot {
        let in_progress = self.in_progress.iter().copied().filter(|open| *open < xid).collect();
        Snapshot::new(self.xmax.min(xid.max(1)), in_progress)
    }

    /// Returns the snapshot that also sees the transactions below `end` that `later` sees, without those of `parts`.
    pub(super) fn extended(&self, later: &Snapshot, end: u64, parts: &[Part]) -> Snapshot {
        let xmax = self.xmax.max(later.xmax.min(end));
        let is_unread = |xid: u64| xid >= end || !later.sees(xid) || parts.iter().any(|part| part.xid == xid);
        let added = self.xmax..xmax;
        let mut in_progress: Vec<u64> = self.in_progress.iter().copied().filter(|xid| is_unread(*xid)).collect();
        in_progress.extend(later.in_progress.iter().filter(|xid| added.contains(xid)));
        in_progress.extend(parts.iter().map(|part| part.xid).filter(|xid| added.contains(xid)));
        in_progress.sort_unstable();
        Snapshot::new(xmax, in_progress)
    }

    fn new(xmax: u64, in_progress: Vec<u64>) -> Snapshot {
        Snapshot { xmin: in_progress.first().copied().unwrap_or(xmax), xmax, in_progress }
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

    /// Returns whether the transaction had ended.
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
    fn snapshot_text_is_valid_if_postgresql_accepts_it() {
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
    fn snapshot_sees_ended_transactions_only() {
        let snapshot = Snapshot::parse("10:20:10,14").unwrap();
        let seen: Vec<u64> = (8..23).filter(|&xid| snapshot.sees(xid)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 15, 16, 17, 18, 19]);
        let below = snapshot.below(13);
        assert_eq!(below.to_string(), "10:13:10");
        assert_eq!(snapshot.below(5).to_string(), "5:5:");
        assert_eq!(snapshot.below(30), snapshot);
    }

    #[test]
    fn extended_snapshot_sees_transactions_of_both_except_unread_ones() {
        let check = |earlier: &str, later: &str, end: u64, parts: &[u64], expected: &str| {
            let parse = |text| Snapshot::parse(text).unwrap();
            let parts: Vec<Part> = parts.iter().map(|&xid| Part { xid, after: String::new() }).collect();
            let extended = parse(earlier).extended(&parse(later), end, &parts);
            assert_eq!(extended.to_string(), expected);
            for xid in 1..40 {
                let is_read = xid < end && !parts.iter().any(|part| part.xid == xid);
                let expected = parse(earlier).sees(xid) || (is_read && parse(later).sees(xid));
                assert_eq!(extended.sees(xid), expected, "{xid} in {extended}");
            }
        };
        check("10:20:10,14", "14:30:14,25", u64::MAX, &[], "14:30:14,25");
        // The log was read up to transaction 22, exclusive.
        check("10:20:10,14", "14:30:14,25", 22, &[], "14:22:14");
        // Some changes of transaction 22 were read.
        check("10:20:10,14", "14:30:14,25", 23, &[22], "14:23:14,22");
        // An older ended transaction was not read to its end, and no later one was.
        check("10:20:10,14", "25:30:25", 14, &[], "14:20:14");
        check("10:20:10,14", "25:30:25", 15, &[14], "14:20:14");
        check("14:23:14,22", "25:30:25", u64::MAX, &[22], "22:30:22,25");
    }

    #[test]
    fn rewound_position_sees_no_transaction_that_a_crash_may_have_undone() {
        let epoch = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff";
        let mut position = Position::parse(&format!("{epoch}/1e-10/1f/10:30:10,12,25/12:61,25:62")).unwrap();
        position.rewind();
        assert_eq!(position.to_string(), format!("{epoch}/1e-10/1f/10:16:10,12/12:61"));
    }

    #[test]
    fn epoch_precedes_later_timelines_of_the_same_database_only() {
        let parse = |text: &str| Epoch::parse(text).unwrap();
        let epoch = parse("6a1c-0000000f-4005-4010-1");
        assert_eq!(epoch.timeline(), "0000000F");
        assert!(epoch.precedes(&parse("6a1c-00000010-4005-4010-1")));
        for other in [
            "6a1c-0000000f-4005-4010-1",
            "6a1c-0000000e-4005-4010-1",
            "6a1d-00000010-4005-4010-1",
            "6a1c-00000010-4006-4010-1",
            "6a1c-00000010-4005-4011-1",
            "6a1c-00000010-4005-4010-2",
        ] {
            assert!(!epoch.precedes(&parse(other)), "{other}");
        }
    }

    #[test]
    fn position_before_a_checkpoint_covers_no_transaction_after_it() {
        let epoch = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff";
        let covers = |position_at: u64, marked_at: u64| {
            let position = Position::parse(&format!("{epoch}/{position_at:x}/1f/10:20:")).unwrap();
            let server = format!("6a1c-00000002-4005/{marked_at}");
            position.covers(&Transaction::parse(&server, "4010-00112233-4455-6677-8899-aabbccddeeff", "15").unwrap())
        };
        assert!(covers(30, 30) && covers(31, 30) && !covers(29, 30));
    }

    #[test]
    fn position_is_parsed_from_its_own_text() {
        let old = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff/16b3d80/1f/10:20:14";
        let parsed = Position::parse(old).unwrap();
        assert_eq!((parsed.checkpoint.next_xid, parsed.wal), (0, UNKNOWN), "as an older build wrote it");
        let text = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff/16b3d80-3e8/1f/10:20:14";
        let in_parts = format!("{text}/14:41fe,14:");
        for text in [text, &format!("{text},15/14:4142c3a9,15:")] {
            assert_eq!(Position::parse(text).unwrap().to_string(), text);
        }
        for broken in [
            "",
            "/",
            "6a1c-2-4005-4010/1/1f/10:20:",
            "6a1c-2-4005-4010-1-2/1/1f/10:20:",
            &format!("{text}/"),
            &format!("{text}/14"),
            &format!("{text}/14:4"),
            &format!("{text}/15:41"),
            &in_parts,
            &format!("{text}/14:41/"),
        ] {
            assert_eq!(Position::parse(broken), None, "{broken:?}");
        }
    }
}
