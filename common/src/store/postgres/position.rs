//! Where a replica stands among PostgreSQL's transactions, which commit out of order: not a number, but a snapshot.

use std::fmt;

/// What has been seen of one history, and over which connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Position {
    pub(super) epoch: Epoch,
    pub(super) checkpoint: Checkpoint,
    /// The connection of the feed under which the position was taken, a random number.
    ///
    /// While it stands the server cannot have crashed.
    pub(super) life: u64,
    pub(super) seen: Snapshot,
    /// Transactions of which some changes were read. `seen` counts them as in progress, so none is seen before its end.
    pub(super) parts: Vec<Part>,
}

/// A checkpoint of the server, from which it recovers after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The place in the write-ahead log. A crash is followed by a new checkpoint before any client may connect.
    pub(super) place: u64,
    /// No transaction id below this one is ever given again. 0 where the text of a position does not say.
    pub(super) next_xid: u64,
}

/// How far a transaction with many changes was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) xid: u64,
    /// Changes to codes up to this one, in the order of bytes, were read.
    pub(super) after: String,
}

/// A transaction of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Transaction {
    pub(super) epoch: Epoch,
    /// A checkpoint since the server last recovered. A crash is followed by a new one before any client may connect,
    /// so a position from before the crash does not pass for one that has seen a transaction after it,
    /// whose id may have been given before.
    pub(super) checkpoint: u64,
    pub(super) xid: u64,
}

/// The history that transaction ids belong to.
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
        let mut words = text.split('/');
        let position = Position {
            epoch: Epoch::parse(words.next()?)?,
            checkpoint: Checkpoint::parse(words.next()?)?,
            life: u64::from_str_radix(words.next()?, 16).ok()?,
            seen: Snapshot::parse(words.next()?)?,
            parts: words.next().map_or(Some(Vec::new()), |parts| parts.split(',').map(Part::parse).collect())?,
        };
        let parts_are_unseen = position.parts.iter().all(|part| !position.seen.sees(part.xid));
        (words.next().is_none() && parts_are_unseen).then_some(position)
    }

    pub(in crate::store) fn covers(&self, marked: &Transaction) -> bool {
        self.epoch == marked.epoch && self.checkpoint.place >= marked.checkpoint && self.seen.sees(marked.xid)
    }

    /// Forgets what was seen of transactions whose ids a crash since then may have made the server give again.
    pub(super) fn rewind(&mut self) {
        let next_xid = self.checkpoint.next_xid;
        self.seen = self.seen.below(next_xid);
        self.parts.retain(|part| part.xid < next_xid);
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
    /// Reads what [`Epoch::read`] does, and the id of a transaction.
    pub(in crate::store) fn parse(server: &str, log: &str, xid: &str) -> Option<Transaction> {
        let (epoch, checkpoint) = Epoch::read(server, log)?;
        Some(Transaction { epoch, checkpoint, xid: xid.parse().ok()? })
    }
}

impl Epoch {
    /// Reads the epoch and the checkpoint of a server, as its function `look_at_server` writes them, and of its change
    /// log: the oid and the salt.
    pub(super) fn read(server: &str, log: &str) -> Option<(Epoch, u64)> {
        let (server, checkpoint) = server.split_once('/')?;
        let (log, salt) = log.split_once('-')?;
        let epoch = Epoch::parse(&format!("{server}-{log}-{}", salt.replace('-', "")))?;
        Some((epoch, checkpoint.parse().ok()?))
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
    /// Returns the snapshot that sees the same below `xid`, and nothing from there on.
    pub(super) fn below(&self, xid: u64) -> Snapshot {
        let in_progress = self.in_progress.iter().copied().filter(|open| *open < xid).collect();
        Snapshot::new(self.xmax.min(xid.max(1)), in_progress)
    }

    /// Returns the snapshot that also sees what `later` sees below `end`, without the transactions of `parts`.
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
        let below = snapshot.below(13);
        assert_eq!(below.to_string(), "10:13:10");
        assert_eq!(snapshot.below(5).to_string(), "5:5:");
        assert_eq!(snapshot.below(30), snapshot);
    }

    #[test]
    fn extended_snapshot_sees_what_either_saw_but_unread_transactions() {
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
        // The log was read up to the transaction 22, and no change of that one.
        check("10:20:10,14", "14:30:14,25", 22, &[], "14:22:14");
        // Of the transaction 22 some changes were read.
        check("10:20:10,14", "14:30:14,25", 23, &[22], "14:23:14,22");
        // An older one that has ended was not read to its end, nor was what came later.
        check("10:20:10,14", "25:30:25", 14, &[], "14:20:14");
        check("10:20:10,14", "25:30:25", 15, &[14], "14:20:14");
        check("14:23:14,22", "25:30:25", u64::MAX, &[22], "22:30:22,25");
    }

    #[test]
    fn rewound_position_sees_nothing_that_a_crash_may_have_undone() {
        let epoch = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff";
        let mut position = Position::parse(&format!("{epoch}/1e-10/1f/10:30:10,12,25/12:61,25:62")).unwrap();
        position.rewind();
        assert_eq!(position.to_string(), format!("{epoch}/1e-10/1f/10:16:10,12/12:61"));
    }

    #[test]
    fn what_was_seen_before_a_checkpoint_is_not_what_came_after_it() {
        let epoch = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff";
        let covers = |position_at: u64, marked_at: u64| {
            let position = Position::parse(&format!("{epoch}/{position_at:x}/1f/10:20:")).unwrap();
            let server = format!("6a1c-00000002-4005/{marked_at}");
            position.covers(&Transaction::parse(&server, "4010-00112233-4455-6677-8899-aabbccddeeff", "15").unwrap())
        };
        assert!(covers(30, 30) && covers(31, 30) && !covers(29, 30));
    }

    #[test]
    fn positions_are_written_and_read() {
        let old = "6a1c-00000002-4005-4010-00112233445566778899aabbccddeeff/16b3d80/1f/10:20:14";
        assert_eq!(Position::parse(old).unwrap().checkpoint.next_xid, 0, "as an older build wrote it");
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
