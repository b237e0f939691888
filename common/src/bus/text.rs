//! The text form of messages. Anybody may write to a channel, so reading takes nothing for granted.

use std::str;

use super::{Message, ReplicaId};

/// Longer ones are not looked at. A cursor is the longest part of a message.
pub(super) const MAX_LEN: usize = 4096;

pub(super) fn write(message: &Message) -> String {
    match message {
        Message::Invalidation => "invalidation".to_owned(),
        Message::Applied { replica, cursor } => format!("applied {replica} {cursor}"),
        Message::Left { replica } => format!("left {replica}"),
    }
}

/// `None` for what [`write`] does not write.
pub(super) fn read(text: &[u8]) -> Option<Message> {
    let mut words = str::from_utf8(text).ok()?.split(' ');
    let message = match words.next()? {
        "invalidation" => Message::Invalidation,
        "applied" => {
            Message::Applied { replica: ReplicaId::parse(words.next()?)?, cursor: words.next()?.parse().ok()? }
        }
        "left" => Message::Left { replica: ReplicaId::parse(words.next()?)? },
        _ => return None,
    };
    words.next().is_none().then_some(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let replica = ReplicaId::random();
        let cursor = "00000000000000ff:7".parse().unwrap();
        for message in [Message::Invalidation, Message::Applied { replica, cursor }, Message::Left { replica }] {
            assert_eq!(read(write(&message).as_bytes()), Some(message));
        }
    }

    #[test]
    fn anything_else_is_not() {
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
            b"\xff\xfe",
            b"invalidation\0",
        ] {
            assert_eq!(read(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
        }
    }
}
