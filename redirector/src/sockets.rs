//! The two listening sockets of a redirector: bound by the process, or received from systemd or from a predecessor.
//!
//! This module accepts no connection and does not know what is served.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::net::sockopt::socket_acceptconn;
use tern_common::config::Variables;

use crate::config::RedirectorConfig;
use crate::http::Server;
use crate::start_error::StartError;

/// The first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
const FIRST_PASSED: RawFd = 3;

/// Name of the socket of the operations port, which `FileDescriptorName=` of its socket unit sets.
const OPS: &str = "ops";

/// Listening sockets from which this process does not accept yet.
#[derive(Debug)]
pub struct Sockets {
    pub redirects: TcpListener,
    pub ops: TcpListener,
    origin: Origin,
}

/// Origin of the listening sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Bound,
    Activated,
    TakenOver,
}

impl Sockets {
    /// Binds the addresses of the configuration.
    pub fn bind(config: &RedirectorConfig) -> Result<Sockets, StartError> {
        let ops = bind_ops(config)?;
        let redirects = listen("REDIRECTOR_LISTEN", config.listen)?;
        Ok(Sockets { redirects, ops, origin: Origin::Bound })
    }

    /// Returns sockets that the predecessor serves until this process does.
    pub(crate) fn taken_over(redirects: TcpListener, ops: TcpListener) -> Sockets {
        Sockets { redirects, ops, origin: Origin::TakenOver }
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub fn try_clone(&self) -> io::Result<Sockets> {
        Ok(Sockets { redirects: self.redirects.try_clone()?, ops: self.ops.try_clone()?, origin: self.origin })
    }
}

fn bind_ops(config: &RedirectorConfig) -> Result<TcpListener, StartError> {
    listen("REDIRECTOR_OPS_LISTEN", config.ops_listen)
}

fn listen(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    Server::listen(address).map_err(|error| StartError::Listen { variable, address, error })
}

/// Sockets that systemd passed to this process (`sd_listen_fds(3)`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activation {
    /// The name of each descriptor, in order; empty for a descriptor without a name.
    names: Vec<String>,
}

impl Activation {
    /// Reads `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`, which systemd sets.
    pub fn read(variables: &Variables) -> Activation {
        let number = |name| variables.get(name).and_then(|text: &String| text.parse().ok());
        if number("LISTEN_PID") != Some(std::process::id()) {
            return Activation::default();
        }
        let names = variables.get("LISTEN_FDNAMES").map(String::as_str).unwrap_or_default();
        let count = number("LISTEN_FDS").unwrap_or(0) as usize;
        Activation {
            names: names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new())).take(count).collect(),
        }
    }

    /// Takes the sockets that systemd passed. Returns `None` if it passed none.
    ///
    /// A socket named `ops` becomes the operations port, which is bound if there is none. The sockets determine the
    /// addresses. Call it once in a process.
    pub fn sockets(self, config: &RedirectorConfig) -> Result<Option<Sockets>, StartError> {
        let (mut redirects, mut ops) = (None, None);
        for (name, descriptor) in self.names.into_iter().zip(FIRST_PASSED..) {
            let socket = passed(descriptor).map_err(|source| StartError::Passed { descriptor, source })?;
            let place = if name == OPS { &mut ops } else { &mut redirects };
            if place.replace(socket).is_some() {
                let source = io::Error::other("systemd passed another socket for the same port");
                return Err(StartError::Passed { descriptor, source });
            }
        }
        let Some(redirects) = redirects else { return Ok(None) };
        let ops = ops.map_or_else(|| bind_ops(config), Ok)?;
        Ok(Some(Sockets { redirects, ops, origin: Origin::Activated }))
    }
}

/// Takes ownership of the listening socket with this number.
#[expect(unsafe_code, reason = "systemd passes descriptors by number, which the standard library cannot check")]
fn passed(descriptor: RawFd) -> io::Result<TcpListener> {
    // SAFETY: LISTEN_PID shows that systemd started this process with the descriptor open. No code of this process
    // opened it, so none closes it, and `Activation::sockets` takes each number once.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    if !socket_acceptconn(&socket)? {
        return Err(io::Error::other("the socket does not listen"));
    }
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Vec<String> {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Activation::read(&variables).names
    }

    #[test]
    fn activation_of_another_process_is_ignored() {
        let own = std::process::id().to_string();
        let pid = ("LISTEN_PID", own.as_str());
        assert_eq!(read(&[]), [""; 0]);
        assert_eq!(read(&[("LISTEN_PID", "1"), ("LISTEN_FDS", "2")]), [""; 0]);
        assert_eq!(read(&[pid]), [""; 0]);
        assert_eq!(read(&[pid, ("LISTEN_FDS", "1")]), [""]);
        assert_eq!(read(&[pid, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "redirects:ops")]), ["redirects", "ops"]);
    }
}
