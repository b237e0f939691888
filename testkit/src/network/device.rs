//! Network devices whose packets this process reads and writes.

#![expect(unsafe_code, reason = "a TUN device gets its name by an ioctl, for which no safe function is in the tree")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc::{IFF_NO_PI, IFF_TUN, O_NONBLOCK, TUNSETIFF, c_char, c_short, ifreq};

/// Name of the device in each namespace.
pub(super) const NAME: &str = "wire";

nix::ioctl_write_ptr_bad!(set_interface, TUNSETIFF, ifreq);

/// Creates a device in the network namespace of this thread. It exists until the file is closed.
///
/// Each read returns a packet that the namespace sends, and each write is a packet that it receives.
pub(super) fn create() -> File {
    let device = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open("/dev/net/tun");
    let device = device.unwrap_or_else(|error| panic!("/dev/net/tun: {error}; this kernel has no TUN devices"));
    // SAFETY: an `ifreq` is a name and a union of plain numbers, for which zero bytes are valid.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
        *to = c_char::try_from(from).unwrap();
    }
    request.ifr_ifru.ifru_flags = c_short::try_from(IFF_TUN | IFF_NO_PI).unwrap();
    // SAFETY: the file is open, and the kernel reads and writes one `ifreq`, which lives until the call returns.
    unsafe { set_interface(device.as_raw_fd(), &raw const request) }.unwrap();
    device
}
