//! A socket on the epoll of may, which is closed in the right order.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use may::io::{CoIo, WaitIo as _, WaitIoWaker};

/// Events that ended a [`Socket::wait`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready(usize);

impl Ready {
    const IN: usize = 0x1;
    const ERR: usize = 0x8;
    const HUP: usize = 0x10;
    const RDHUP: usize = 0x2000;

    /// Returns whether a read may return bytes.
    pub(super) fn readable(self) -> bool {
        self.0 & (Self::IN | Self::ERR | Self::HUP | Self::RDHUP) != 0
    }

    /// Returns whether the stream ends after the bytes that can be read.
    ///
    /// The epoll reports it once, so a short read does not mean that nothing is left.
    pub(super) fn ending(self) -> bool {
        self.0 & (Self::ERR | Self::HUP | Self::RDHUP) != 0
    }
}

/// A socket whose fields are dropped in the right order: off the epoll first, then closed.
///
/// `CoIo` alone closes its descriptor before it removes it from the epoll. In between, another worker can accept a
/// connection with the same number. The late removal would hit that connection, which would never be woken.
pub(super) struct Socket<T: AsRawFd> {
    io: CoIo<Arc<T>>,
    inner: Arc<T>,
}

impl<T: AsRawFd> Socket<T> {
    /// Makes the socket non-blocking and registers it for all events, edge-triggered.
    pub(super) fn new(socket: T) -> io::Result<Self> {
        let inner = Arc::new(socket);
        Ok(Self { io: CoIo::new(inner.clone())?, inner })
    }

    /// Returns the socket, for calls that do not block.
    pub(super) fn get(&self) -> &T {
        &self.inner
    }

    /// Yields to the worker until an event has occurred since the last wait.
    pub(super) fn wait(&self) -> Ready {
        Ready(self.io.wait_io())
    }

    /// Returns a waker that ends a wait. Use it only on the worker of the socket.
    pub(super) fn waker(&self) -> WaitIoWaker {
        self.io.waker()
    }
}

impl<T: AsRawFd> AsRawFd for Socket<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}
