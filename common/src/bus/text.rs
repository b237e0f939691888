//! The text form of messages. Any program may write to a channel, so every text is checked.

use std::fmt::Write;
use std::str;

use super::{Message, ReplicaId, ReplicaStatus};
use crate::seal::{SEAL_LEN, Seal};

/// The longest text that is read, in bytes.
///
/// The cursor is the longest part, since it lists each open transaction of the database. Over a thousand fit.
/// Requests do not wait for a replica whose announcements are longer.
pub(super) const MAX_LEN: usize = 16 * 1024;

pub(super) fn write(message: &Message) -> String {
    match message {
        Message::Invalidation => "invalidation".to_owned(),
        Message::Progress { replica, cursor } => format!("applied {replica} {cursor}"),
        Message::Status { replica, status } => format!("status {replica} {}", status.text()),
        Message::Departure { replica } => format!("left {replica}"),
    }
}

/// Parses a message; returns `None` for a text that [`write`](fn@write) does not produce.
pub(super) fn read(text: &[u8]) -> Option<Message> {
    let mut words = str::from_utf8(text).ok()?.split(' ');
    let message = match words.next()? {
        "invalidation" => Message::Invalidation,
        "applied" => {
            Message::Progress { replica: ReplicaId::parse(words.next()?)?, cursor: words.next()?.parse().ok()? }
        }
        "status" => {
            Message::Status { replica: ReplicaId::parse(words.next()?)?, status: ReplicaStatus::read(words.next()?)? }
        }
        "left" => Message::Departure { replica: ReplicaId::parse(words.next()?)? },
        _ => return None,
    };
    words.next().is_none().then_some(message)
}

/// Appends the seal of a text under `name`, in hexadecimal digits; returns `None` until the key is known.
pub(super) fn seal(seal: &Seal, name: &str, text: &str) -> Option<String> {
    let mut sealed = format!("{text} ");
    for byte in seal.sign(name, text.as_bytes())? {
        write!(sealed, "{byte:02x}").expect("writing to a string succeeds");
    }
    Some(sealed)
}

/// Returns the text before its seal; `None` if the seal is invalid.
pub(super) fn open<'a>(seal: &Seal, name: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (text, digits) = sealed.split_at_checked(sealed.len().checked_sub(2 * SEAL_LEN)?)?;
    let text = text.strip_suffix(b" ")?;
    let mut bytes = [0; SEAL_LEN];
    for (byte, digits) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(16 * digit(digits[0])? + digit(digits[1])?).ok()?;
    }
    seal.verify(name, text, &bytes).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_message_is_read_back() {
        let replica = ReplicaId::random();
        let cursor = "00000000000000ff:7".parse().unwrap();
        let status = ReplicaStatus {
            version: "0.2.0".to_owned(),
            host: ReplicaStatus::host_name(),
            address: "[::1]:8080".parse().unwrap(),
            links: 2_000,
            stale_ms: Some(120),
            clicks_waiting: 7,
            oldest_click_ms: 40,
            clicks_dropped: 0,
            room_percent: 100,
            has_no_room: false,
        };
        let report = |status: ReplicaStatus| Message::Status { replica, status };
        for message in [
            Message::Invalidation,
            Message::Progress { replica, cursor },
            report(status.clone()),
            report(ReplicaStatus { stale_ms: None, ..status }),
            Message::Departure { replica },
        ] {
            assert_eq!(read(write(&message).as_bytes()), Some(message));
        }
    }

    #[test]
    fn announcement_with_a_thousand_open_transactions_fits() {
        let open: Vec<String> = (0..1000u64).map(|n| (9_000_000_000 + n).to_string()).collect();
        let epoch = "6a1c0000000000ff-00000002-4005-4010-00112233445566778899aabbccddeeff";
        let snapshot = format!("9000000000:9999999999:{}", open.join(","));
        let cursor = format!("{epoch}/16b3d80/ffffffffffffffff/{snapshot}").parse().unwrap();
        let message = Message::Progress { replica: ReplicaId::random(), cursor };
        let text = write(&message);
        assert!(text.len() <= MAX_LEN, "{}", text.len());
        assert_eq!(read(text.as_bytes()), Some(message));
    }

    #[test]
    fn malformed_text_is_no_message() {
        for text in [
            &b""[..],
            b" ",
            b"Invalidation",
            b"invalidation ",
            b"invalidation now",
            b"v2 invalidation",
            b"applied",
            b"applied 0123456789abcdef",
            b"applied 0123456789abcdef x",
            b"applied x 00000000000000ff:7",
            b"applied 0123456789abcdef 00000000000000ff:7 x",
            b"left",
            b"left 0123456789abcde",
            b"left 0123456789abcdef0",
            b"left 0123456789abcdeg",
            b"left +123456789abcdef",
            b"left 0123456789abcdef\n",
            b"status 0123456789abcdef",
            b"status 0123456789abcdef {}",
            b"status 0123456789abcdef []",
            b"\xff\xfe",
            b"invalidation\0",
        ] {
            assert_eq!(read(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
        }
    }
}
