//! Passes the listening sockets to a successor process, so that one of the two processes answers each client.
//!
//! The serving process waits at a Unix socket in its data directory. A successor receives both listening sockets there,
//! loads its links, and reports that it serves. Only then does the predecessor drain. If the successor ends earlier,
//! the predecessor continues to serve.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::sockets::Sockets;

/// Byte that accompanies the sockets of the redirect port and of the operations port. Another protocol uses another
/// byte.
const PASSED: u8 = 1;

/// Message of a successor that serves.
const SERVING: u8 = 2;

/// Message to the other waiting successors once one of them serves.
const TAKEN: u8 = 3;

/// Time in which the other successors are informed.
const NOTIFY_TIMEOUT: Duration = Duration::from_millis(200);

/// Time for a predecessor to pass its sockets. A healthy one does it at once.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after a failed accept, such as without free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The serving process's side of a hand-over: passes the listening sockets to its successor.
#[derive(Debug)]
pub struct Offer {
    /// `None` if the socket could not be created: then no process can take over.
    listener: Option<UnixListener>,
    sockets: Arc<Sockets>,
}

/// Listens at `path` in place of any earlier process. Only processes of the same user can connect.
fn listen_at(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

impl Offer {
    /// Starts to wait for a successor at `path`. Logs a warning if that is impossible.
    pub fn at(path: &Path, sockets: Sockets) -> Offer {
        let listener = listen_at(path).inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "hand-over socket could not be created; no successor can take over from this process");
        });
        Offer { listener: listener.ok(), sockets: Arc::new(sockets) }
    }

    /// Waits until a successor serves. Several may prepare at the same time; one that hangs does not delay the others.
    pub async fn taken(&self) {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        let (taken, is_taken) = watch::channel(false);
        let mut successors = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        successors.spawn(pass(stream, Arc::clone(&self.sockets), is_taken.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "connection of a successor could not be accepted; trying again after a pause");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = successors.join_next() => match ended.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(%error, "hand-over failed: the successor did not become ready; continuing to serve");
                    }
                },
            }
        }
        taken.send_replace(true);
        // A successor that does not read is left behind after the time limit.
        let _ = timeout(NOTIFY_TIMEOUT, async { while successors.join_next().await.is_some() {} }).await;
    }
}

/// Passes the sockets to a successor and waits until it, or another successor, serves.
async fn pass(mut successor: UnixStream, sockets: Arc<Sockets>, mut is_taken: watch::Receiver<bool>) -> io::Result<()> {
    successor.async_io(Interest::WRITABLE, || send(&successor, &sockets)).await?;
    tokio::select! {
        word = successor.read_u8() => match word? {
            SERVING => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        },
        () = async { drop(is_taken.wait_for(|is_taken| *is_taken).await) } => successor.write_u8(TAKEN).await,
    }
}

/// The process that passed its sockets. It serves until [`Predecessor::release`].
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Waits until the predecessor ends, or until another successor has taken its place.
    pub async fn event(&self) -> PredecessorEvent {
        let mut word = [0];
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut word) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(1) if word == [TAKEN] => return PredecessorEvent::Replaced,
                _ => return PredecessorEvent::Ended,
            }
        }
        PredecessorEvent::Ended
    }

    /// Reports that this process serves, so that the predecessor drains.
    pub async fn release(mut self) -> io::Result<()> {
        self.0.write_u8(SERVING).await
    }
}

/// Event that ends the wait for a predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredecessorEvent {
    /// The predecessor ended early, so no process serves the sockets.
    Ended,
    /// Another successor serves in its place.
    Replaced,
}

/// Receives the sockets of the redirector that waits at `path`. Returns `None` if no redirector waits there.
pub async fn take_over(path: &Path) -> io::Result<Option<(Sockets, Predecessor)>> {
    let taking = async {
        let stream = UnixStream::connect(path).await?;
        let sockets = stream.async_io(Interest::READABLE, || receive(&stream)).await?;
        io::Result::Ok((sockets, Predecessor(stream)))
    };
    match timeout(RECEIVE_TIMEOUT, taking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(taken) => Ok(Some(taken)),
        // The process that created the socket has ended.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

fn send(successor: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let passed = [sockets.redirects.as_fd(), sockets.ops.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(successor, &[IoSlice::new(&[PASSED])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(predecessor: &UnixStream) -> io::Result<Sockets> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let received = recvmsg(predecessor, &mut [IoSliceMut::new(&mut word)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the serving redirector ended before it passed its sockets",
        ));
    }
    let passed = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = passed.flatten().collect();
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok([redirects, ops]) if word == [PASSED] => {
            Ok(Sockets::taken_over(TcpListener::from(redirects), TcpListener::from(ops)))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the serving redirector has another version and passed no sockets",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets() -> Sockets {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        Sockets::taken_over(listener(), listener())
    }

    #[tokio::test]
    async fn hanging_successor_delays_no_other_and_is_informed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hand-over.socket");
        let offer = Offer::at(&path, sockets());
        let take = async {
            let (_, hanging) = take_over(&path).await.unwrap().unwrap();
            let (_, second) = take_over(&path).await.unwrap().unwrap();
            second.release().await.unwrap();
            hanging.event().await
        };
        let ((), event) = timeout(RECEIVE_TIMEOUT, async { tokio::join!(offer.taken(), take) }).await.unwrap();
        assert_eq!(event, PredecessorEvent::Replaced);
    }

    #[tokio::test]
    async fn predecessor_that_ends_early_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hand-over.socket");
        let offer = Offer::at(&path, sockets());
        let taking = async { take_over(&path).await.unwrap().unwrap().1 };
        let predecessor = tokio::select! {
            () = offer.taken() => panic!("no successor serves"),
            predecessor = taking => predecessor,
        };
        drop(offer);
        assert_eq!(predecessor.event().await, PredecessorEvent::Ended);
    }
}
