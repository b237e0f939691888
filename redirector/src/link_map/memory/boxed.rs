//! Values that readers reach by a pointer. This module must not know the types of the values.

use std::ptr::NonNull;

use super::sync::{on_allocation, on_free, on_write};

/// Moves `value` to the heap and returns a pointer for readers. A [`RawBox`] frees it.
pub(super) fn boxed<T>(value: T) -> *mut T {
    let pointer = Box::into_raw(Box::new(value));
    on_allocation(pointer.cast(), 1);
    on_write(pointer.cast(), 1);
    pointer
}

/// Owner of a heap value made by [`boxed`]; frees it when dropped.
///
/// It is not a `Box`, since a `Box` asserts that no other thread reads the value.
#[derive(Debug)]
pub(super) struct RawBox<T>(pub(super) NonNull<T>);

// SAFETY: the value is a `T`, which several threads read and one drops.
unsafe impl<T: Send + Sync> Send for RawBox<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for RawBox<T> {}

impl<T> Drop for RawBox<T> {
    fn drop(&mut self) {
        on_free(self.0.as_ptr().cast());
        // SAFETY: the pointer came from a box, and the code that made this owner makes it once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
