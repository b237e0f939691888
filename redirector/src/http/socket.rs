//! A socket on may's epoll, closed in the right order.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use may::io::{CoIo, WaitIo as _, WaitIoWaker};

/// What [`Socket::wait`] was woken for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready(usize);

impl Ready {
    const IN: usize = 0x1;
    const ERR: usize = 0x8;
    const HUP: usize = 0x10;
    const RDHUP: usize = 0x2000;

    /// A read will not block, unless somebody was faster.
    pub(super) fn readable(self) -> bool {
        self.0 & (Self::IN | Self::ERR | Self::HUP | Self::RDHUP) != 0
    }

    /// The end of the stream is among what can be read. It is announced once, so a short read does not mean that
    /// nothing is left.
    pub(super) fn ending(self) -> bool {
        self.0 & (Self::ERR | Self::HUP | Self::RDHUP) != 0
    }
}

/// The fields are dropped in this order, and that is what this type is for. `CoIo` alone closes its descriptor before
/// it takes it off the epoll; between the two, another worker can accept a connection that gets the same number, and
/// loses its registration to the late removal: it would never hear of its request.
pub(super) struct Socket<T: AsRawFd> {
    io: CoIo<Arc<T>>,
    inner: Arc<T>,
}

impl<T: AsRawFd> Socket<T> {
    /// Makes the socket non-blocking and registers it, edge-triggered, for everything.
    pub(super) fn new(socket: T) -> io::Result<Self> {
        let inner = Arc::new(socket);
        Ok(Self { io: CoIo::new(inner.clone())?, inner })
    }

    /// The socket itself, for calls that do not block.
    pub(super) fn get(&self) -> &T {
        &self.inner
    }

    /// Yields to the worker until something happened since the last wait.
    pub(super) fn wait(&self) -> Ready {
        Ready(self.io.wait_io())
    }

    /// Ends a wait from outside. To be used on the worker of the socket alone.
    pub(super) fn waker(&self) -> WaitIoWaker {
        self.io.waker()
    }
}

impl<T: AsRawFd> AsRawFd for Socket<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}
