//! The limit on the bytes of all uploads under way in the temporary directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytesize::ByteSize;

/// The number of uploads of the largest size that fit at once.
const LARGEST_UPLOADS: u64 = 4;

/// The bytes that all uploads under way have written. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct UploadQuota(Arc<AtomicU64>);

/// The bytes of one upload, which are released when the value is dropped.
#[derive(Debug)]
pub(crate) struct UploadShare {
    quota: UploadQuota,
    taken: u64,
    most: u64,
}

/// The error that all uploads together would exceed the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaExceeded {
    pub(crate) most: ByteSize,
}

impl UploadQuota {
    /// Begins an upload of at most `limit` bytes.
    pub(crate) fn begin(&self, limit: ByteSize) -> UploadShare {
        UploadShare { quota: self.clone(), taken: 0, most: limit.as_u64().saturating_mul(LARGEST_UPLOADS) }
    }
}

impl UploadShare {
    /// Reserves bytes for the next part of the upload.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), QuotaExceeded> {
        let fits = |all: u64| all.checked_add(bytes).filter(|all| *all <= self.most);
        match self.quota.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => {
                self.taken += bytes;
                Ok(())
            }
            Err(_) => Err(QuotaExceeded { most: ByteSize(self.most) }),
        }
    }
}

impl Drop for UploadShare {
    fn drop(&mut self) {
        self.quota.0.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_beyond_the_quota_are_refused_until_one_is_dropped() {
        let quota = UploadQuota::default();
        let mut uploads: Vec<UploadShare> = (0..5).map(|_| quota.begin(ByteSize(10))).collect();
        for upload in &mut uploads[..4] {
            upload.take(6).unwrap();
            upload.take(3).unwrap();
        }
        assert_eq!(uploads[4].take(5), Err(QuotaExceeded { most: ByteSize(40) }));
        uploads[4].take(4).unwrap();
        assert_eq!(uploads[0].take(1), Err(QuotaExceeded { most: ByteSize(40) }));
        uploads.remove(1);
        uploads[0].take(9).unwrap();
        drop(uploads);
        quota.begin(ByteSize(10)).take(40).unwrap();
    }
}
