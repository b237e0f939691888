//! The room that uploads under way take together in the temporary directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytesize::ByteSize;

/// How many uploads of the largest size fit at once.
const LARGEST_UPLOADS: u64 = 4;

/// The bytes that all uploads under way have written so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct UploadRoom(Arc<AtomicU64>);

/// The bytes of one upload, which are given up with it.
#[derive(Debug)]
pub(crate) struct UploadBytes {
    room: UploadRoom,
    taken: u64,
    most: u64,
}

/// There is no room for more bytes of uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    pub(crate) most: ByteSize,
}

impl UploadRoom {
    /// Begins an upload of at most `limit` bytes.
    pub(crate) fn begin(&self, limit: ByteSize) -> UploadBytes {
        UploadBytes { room: self.clone(), taken: 0, most: limit.as_u64().saturating_mul(LARGEST_UPLOADS) }
    }
}

impl UploadBytes {
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), NoRoom> {
        let fits = |all: u64| all.checked_add(bytes).filter(|all| *all <= self.most);
        match self.room.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => {
                self.taken += bytes;
                Ok(())
            }
            Err(_) => Err(NoRoom { most: ByteSize(self.most) }),
        }
    }
}

impl Drop for UploadBytes {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_together_take_no_more_than_their_room() {
        let room = UploadRoom::default();
        let mut uploads: Vec<UploadBytes> = (0..5).map(|_| room.begin(ByteSize(10))).collect();
        for upload in &mut uploads[..4] {
            upload.take(6).unwrap();
            upload.take(3).unwrap();
        }
        assert_eq!(uploads[4].take(5), Err(NoRoom { most: ByteSize(40) }));
        uploads[4].take(4).unwrap();
        assert_eq!(uploads[0].take(1), Err(NoRoom { most: ByteSize(40) }));
        uploads.remove(1);
        uploads[0].take(9).unwrap();
        drop(uploads);
        room.begin(ByteSize(10)).take(40).unwrap();
    }
}
