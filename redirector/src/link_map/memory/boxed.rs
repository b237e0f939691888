//! Values that readers reach by a pointer. Must not know what they are.

use std::ptr::NonNull;

use super::sync::{on_allocation, on_free, on_write};

/// Puts `value` where readers can be shown it; it goes with a [`RawBox`].
pub(super) fn boxed<T>(value: T) -> *mut T {
    let pointer = Box::into_raw(Box::new(value));
    on_allocation(pointer.cast(), 1);
    on_write(pointer.cast(), 1);
    pointer
}

/// A value that came from [`boxed`] and goes with this. Until then it is no box again: a box is nobody else's to read.
#[derive(Debug)]
pub(super) struct RawBox<T>(pub(super) NonNull<T>);

// SAFETY: it is a `T`, seen by several threads at a time and dropped by one.
unsafe impl<T: Send + Sync> Send for RawBox<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for RawBox<T> {}

impl<T> Drop for RawBox<T> {
    fn drop(&mut self) {
        on_free(self.0.as_ptr().cast());
        // SAFETY: it came from a box, and whoever made this of it knows that it goes back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
