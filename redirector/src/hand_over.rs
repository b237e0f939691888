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
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::sockets::Sockets;

/// Comes with the sockets, those of redirects and of the operators' port in this order. Another version, another byte.
const PASSED: u8 = 1;

/// Said by the one that follows, once it serves.
const SERVING: u8 = 2;

/// A redirector that lives passes its sockets on at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Out of descriptors, the next one who follows waits this long.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Of the process that serves.
#[derive(Debug)]
pub struct Offer {
    listener: UnixListener,
    sockets: Sockets,
}

impl Offer {
    /// Waits at `path` from now on, in place of whoever did before. Only this user's processes get there.
    pub fn at(path: &Path, sockets: Sockets) -> io::Result<Offer> {
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
        Ok(Offer { listener, sockets })
    }

    /// Waits until another process serves.
    pub async fn taken(&self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match self.pass(stream).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "who was to follow never served; this process goes on"),
                },
                Err(error) => {
                    tracing::warn!(%error, "who is to follow cannot reach this process");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn pass(&self, mut follower: UnixStream) -> io::Result<()> {
        follower.async_io(Interest::WRITABLE, || send(&follower, &self.sockets)).await?;
        match follower.read_u8().await? {
            SERVING => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The process whose sockets were taken. It goes on until it is told.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Waits until it has ended. It says nothing more, so whatever comes from it is its end.
    pub async fn ended(&self) {
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }

    /// Tells it that this process serves now.
    pub async fn follow(mut self) -> io::Result<()> {
        self.0.write_u8(SERVING).await
    }
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
    let mut passed = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = passed.by_ref().flatten().collect();
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok([redirects, ops]) if word == [PASSED] => {
            Ok(Sockets::taken_over(TcpListener::from(redirects), TcpListener::from(ops)))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is of another version, and passed on no sockets")),
    }
}
