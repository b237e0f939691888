//! Passes the listening sockets on to the process that follows, so that whoever connects meanwhile is answered by one of
//! the two.
//!
//! The one that serves waits at a Unix socket in its data directory. The one that follows gets both listening sockets
//! there, loads its links, and says when it serves; only then the first one drains. If it ends before that, nothing has
//! happened. Neither may stop serving for the other's sake.

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

/// Comes with the sockets, those of redirects and of the operators' port in this order. Another version, another byte.
const PASSED: u8 = 1;

/// Said by the one that follows, once it serves.
const SERVING: u8 = 2;

/// Message to the other processes that would follow, once one of them serves.
const TAKEN: u8 = 3;

/// How long the others have to be told.
const LAST_WORD: Duration = Duration::from_millis(200);

/// A redirector that lives passes its sockets on at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Out of descriptors, the next one who follows waits this long.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The serving process's side of a hand-over: passes the listening sockets to its successor.
#[derive(Debug)]
pub struct Offer {
    /// `None` if the socket could not be made: then no process can take over.
    listener: Option<UnixListener>,
    sockets: Arc<Sockets>,
}

/// Listens at `path` in place of any earlier process. Only processes of this user can connect.
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
    /// Waits for a successor at `path` from now on. Reports it if that cannot be done.
    pub fn at(path: &Path, sockets: Sockets) -> Offer {
        let listener = listen_at(path).inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "no other process will be able to take over from this one");
        });
        Offer { listener: listener.ok(), sockets: Arc::new(sockets) }
    }

    /// Waits until another process serves. Several may get ready at a time; one that hangs holds up none of the others.
    pub async fn taken(&self) {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        let (taken, is_taken) = watch::channel(false);
        let mut followers = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        followers.spawn(pass(stream, Arc::clone(&self.sockets), is_taken.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a successor cannot reach this process; it is accepted a moment later");
                        sleep(BACK_OFF).await;
                    }
                },
                Some(ended) = followers.join_next() => match ended.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(%error, "hand-over failed: the successor did not become ready; continuing to serve");
                    }
                },
            }
        }
        taken.send_replace(true);
        // One that does not listen is not waited for.
        let _ = timeout(LAST_WORD, async { while followers.join_next().await.is_some() {} }).await;
    }
}

/// Passes the sockets on and waits until their receiver serves, or another one does.
async fn pass(mut follower: UnixStream, sockets: Arc<Sockets>, mut is_taken: watch::Receiver<bool>) -> io::Result<()> {
    follower.async_io(Interest::WRITABLE, || send(&follower, &sockets)).await?;
    tokio::select! {
        word = follower.read_u8() => match word? {
            SERVING => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        },
        _ = is_taken.wait_for(|is_taken| *is_taken) => follower.write_u8(TAKEN).await,
    }
}

/// The process whose sockets were taken. It goes on until it is told.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Waits for what becomes of it.
    pub async fn fate(&self) -> Fate {
        let mut word = [0];
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut word) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(1) if word == [TAKEN] => return Fate::Followed,
                _ => return Fate::Ended,
            }
        }
        Fate::Ended
    }

    /// Tells it that this process serves now.
    pub async fn follow(mut self) -> io::Result<()> {
        self.0.write_u8(SERVING).await
    }
}

/// Outcome for a process whose sockets were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ended before it was told to: nobody serves the sockets.
    Ended,
    /// Another process took its place first.
    Followed,
}

/// The sockets of the redirector that waits at `path`; `None` if there is none.
pub async fn take_over(path: &Path) -> io::Result<Option<(Sockets, Predecessor)>> {
    let taking = async {
        let stream = UnixStream::connect(path).await?;
        let sockets = stream.async_io(Interest::READABLE, || receive(&stream)).await?;
        io::Result::Ok((sockets, Predecessor(stream)))
    };
    match timeout(PATIENCE, taking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(taken) => Ok(Some(taken)),
        // Left by a process that has ended.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

fn send(follower: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let passed = [sockets.redirects.as_fd(), sockets.ops.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&passed));
    sendmsg(follower, &[IoSlice::new(&[PASSED])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(predecessor: &UnixStream) -> io::Result<Sockets> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let received = recvmsg(predecessor, &mut [IoSliceMut::new(&mut word)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it passed its sockets on"));
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
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is of another version, and passed on no sockets")),
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
    async fn follower_that_hangs_holds_up_no_other_and_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hand-over.socket");
        let offer = Offer::at(&path, sockets());
        let take = async {
            let (_, hanging) = take_over(&path).await.unwrap().unwrap();
            let (_, second) = take_over(&path).await.unwrap().unwrap();
            second.follow().await.unwrap();
            hanging.fate().await
        };
        let ((), fate) = timeout(PATIENCE, async { tokio::join!(offer.taken(), take) }).await.unwrap();
        assert_eq!(fate, Fate::Followed);
    }

    #[tokio::test]
    async fn process_that_ends_without_a_word_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hand-over.socket");
        let offer = Offer::at(&path, sockets());
        let taking = async { take_over(&path).await.unwrap().unwrap().1 };
        let predecessor = tokio::select! {
            () = offer.taken() => panic!("nobody serves"),
            predecessor = taking => predecessor,
        };
        drop(offer);
        assert_eq!(predecessor.fate().await, Fate::Ended);
    }
}
