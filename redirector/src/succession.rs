//! A redirector among its predecessor and its successor: which sockets it serves, and when.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::RedirectorConfig;
use crate::hand_over::{Fate, Offer, Predecessor, take_over};
use crate::sockets::{Activation, Sockets};
use crate::start_error::StartError;

/// Time without an answer after which clients that connected to a socket of systemd are better told to try again.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// The place of a starting process between the one that serves now and the one that takes over later.
#[derive(Debug)]
pub struct Succession {
    /// Path of the Unix socket at which a serving process waits for its successor.
    path: PathBuf,
    predecessor: Option<Predecessor>,
    /// Copies of the listening sockets, for the successor.
    sockets: Sockets,
    /// Notified when another process took over from the predecessor first.
    overtaken: Notify,
}

impl Succession {
    /// Returns the listening sockets: those of the process that waits at `path` if this one `takes_over`, those that
    /// systemd passed on, or newly bound ones.
    ///
    /// # Errors
    /// With a sentence for the operator.
    pub async fn begin(
        path: PathBuf,
        takes_over: bool,
        activation: Activation,
        config: &RedirectorConfig,
    ) -> anyhow::Result<(Sockets, Succession)> {
        let taken = if takes_over { take_over(&path).await.with_context(|| unreachable(&path))? } else { None };
        let (sockets, predecessor) = match taken {
            Some((sockets, predecessor)) => (sockets, Some(predecessor)),
            None => {
                let activated = activation.sockets(config);
                let sockets = activated.and_then(|sockets| sockets.map_or_else(|| Sockets::bind(config), Ok));
                (sockets.map_err(|error| explain(error, &path))?, None)
            }
        };
        let copies = sockets.try_clone().context("cannot keep the sockets for the process that follows")?;
        Ok((sockets, Succession { path, predecessor, sockets: copies, overtaken: Notify::new() }))
    }

    /// Waits until the sockets have to be served whatever is loaded: the predecessor has ended, or clients have waited
    /// for long enough.
    pub async fn patience(&self) {
        match &self.predecessor {
            Some(predecessor) => {
                if predecessor.fate().await == Fate::Followed {
                    self.overtaken.notify_one();
                    std::future::pending().await
                }
            }
            None => sleep(QUEUE_PATIENCE).await,
        }
    }

    /// Waits until another process took over first, which [`Succession::patience`] notices.
    pub async fn overtaken(&self) -> anyhow::Error {
        self.overtaken.notified().await;
        anyhow!("another process took over from the redirector that waits at {} first", self.path.display())
    }

    /// Waits for a successor from now on, and only then releases the predecessor: there is always one.
    pub async fn complete(self) -> Offer {
        let offer = Offer::at(&self.path, self.sockets);
        if let Some(predecessor) = self.predecessor
            && let Err(error) = predecessor.follow().await
        {
            tracing::warn!(%error, "the redirector before this one ended too early");
        }
        offer
    }
}

/// Adds what helps where a redirector with the same data directory may have the port.
fn explain(error: StartError, hand_over: &Path) -> anyhow::Error {
    match &error {
        StartError::Listen { error: cause, .. } if cause.kind() == io::ErrorKind::AddrInUse && hand_over.exists() => {
            anyhow!(
                "{error}; if a redirector with this TERN_DATA_DIR has it, replace that one: tern-redirector serve \
                 --take-over"
            )
        }
        _ => error.into(),
    }
}

fn unreachable(path: &Path) -> String {
    format!("cannot take over from the redirector that waits at {} (TERN_DATA_DIR)", path.display())
}
