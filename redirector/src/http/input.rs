//! The read buffer: starts small, grows up to one head, and is freed when the connection is idle.

/// Initial size. A request of a browser behind a proxy fits.
const START: usize = 2 * 1024;

/// Largest size for an idle connection.
const IDLE: usize = 4 * 1024;

/// Bytes that were read and not yet consumed: `buffer[start..end]`.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Memory that is initialised to its length, so that reading into it needs no unsafe code.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether bytes were consumed since [`Input::mark_seen`], so that the rest starts a new head.
    consumed: bool,
}

impl Input {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns space to read into, which is not empty while the input has fewer than `limit` bytes.
    ///
    /// It moves the input to the front of the buffer, and grows the buffer only if that gives no space.
    pub(super) fn space(&mut self, limit: usize) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize((self.buffer.len() * 2).clamp(START.min(limit), limit), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Appends the first bytes of the [space](Self::space) to the input.
    pub(super) fn extend(&mut self, bytes: usize) {
        self.end += bytes;
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.consumed = true;
    }

    pub(super) fn clear(&mut self) {
        self.start = self.end;
    }

    pub(super) fn is_new(&self) -> bool {
        self.consumed
    }

    pub(super) fn mark_seen(&mut self) {
        self.consumed = false;
    }

    pub(super) fn is_big(&self) -> bool {
        self.buffer.len() > IDLE
    }

    /// Frees the buffer. The next read starts small.
    pub(super) fn free(&mut self) {
        debug_assert!(self.is_empty());
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_grows_to_the_limit_and_no_further() {
        let mut input = Input::default();
        for expected in [2048, 4096, 8192, 10_000] {
            let space = input.space(10_000).len();
            input.extend(space);
            assert_eq!(input.bytes().len(), expected);
        }
        assert!(input.is_big());
        assert!(input.space(10_000).is_empty());
    }

    #[test]
    fn consumed_bytes_make_space() {
        let mut input = Input::default();
        input.space(4096)[..4].copy_from_slice(b"abcd");
        input.extend(4);
        input.consume(3);
        assert_eq!(input.bytes(), b"d");
        assert_eq!(input.space(4096).len(), START - 1);
        assert_eq!(input.bytes(), b"d");
        input.consume(1);
        input.free();
        assert!(input.is_empty() && !input.is_big());
    }
}
