//! A connection that comes back: opened when first needed, shared by all commands, opened again when it broke.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use anyhow::anyhow;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::dial::{Connection, Dialer};
use crate::backoff::Backoff;

/// Within this each command is answered or fails. Below the quarter of a second that callers allow,
/// so that it is we who notice a Redis that hangs, and not they who give up on us.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// At most one attempt to connect begins in this time, and none takes longer.
const ATTEMPT_EVERY: Duration = Duration::from_secs(1);

/// Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    /// Written by commands that find the connection broken, and by the one task that connects.
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
enum State {
    /// Not needed yet, or found broken. The next command connects, and waits for it.
    Absent {
        tried_at: Option<Instant>,
    },
    Connecting,
    Standing {
        connection: Connection,
        /// When the attempt that led to it began; tells connections apart.
        tried_at: Instant,
    },
    /// Commands fail at once, until the task that connects succeeds.
    Failing {
        reason: Arc<str>,
    },
}

impl Link {
    pub(crate) fn new(dialer: Dialer) -> Link {
        Link(Arc::new(Inner { dialer, state: watch::Sender::new(State::Absent { tried_at: None }) }))
    }

    /// Runs commands, which must bear being run twice: over a connection that turns out to be broken, and again.
    ///
    /// # Errors
    /// When there is no connection, or no answer in time; at once, if that has just been so.
    pub(crate) async fn run<T, F>(&self, commands: impl Fn(Connection) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut is_repeated = false;
        loop {
            let acquired = timeout_at(deadline, self.acquire()).await;
            let (connection, tried_at) = acquired.map_err(|_| anyhow!("no connection in time"))??;
            match timeout_at(deadline, commands(connection)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if breaks_connection(&error) => {
                    self.abandon(tried_at, State::Absent { tried_at: Some(tried_at) });
                    // A server that restarted, or closed an idle connection, is no reason to lose a message.
                    if is_repeated {
                        return Err(error.into());
                    }
                    is_repeated = true;
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    let reason = "no answer in time";
                    if self.abandon(tried_at, State::Failing { reason: reason.into() }) {
                        tracing::warn!("Redis hangs");
                        tokio::spawn(connect(Arc::downgrade(&self.0), Some(tried_at)));
                    }
                    return Err(anyhow!(reason));
                }
            }
        }
    }

    async fn acquire(&self) -> anyhow::Result<(Connection, Instant)> {
        let mut state = self.0.state.subscribe();
        loop {
            let mut to_connect = None;
            self.0.state.send_if_modified(|state| {
                let State::Absent { tried_at } = *state else { return false };
                to_connect = Some(tried_at);
                let may_try = tried_at.is_none_or(|tried_at| tried_at.elapsed() >= ATTEMPT_EVERY);
                *state =
                    if may_try { State::Connecting } else { State::Failing { reason: "the connection broke".into() } };
                true
            });
            if let Some(tried_at) = to_connect {
                tokio::spawn(connect(Arc::downgrade(&self.0), tried_at));
            }
            match &*state.borrow_and_update() {
                State::Standing { connection, tried_at } => return Ok((connection.clone(), *tried_at)),
                State::Failing { reason } => return Err(anyhow!("{reason}")),
                State::Absent { .. } | State::Connecting => {}
            }
            state.changed().await?;
        }
    }

    /// Gives up the connection that was begun at `tried_at`, unless somebody did so before.
    fn abandon(&self, tried_at: Instant, next: State) -> bool {
        self.0.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Standing { tried_at: at, .. } if *at == tried_at);
            if is_it {
                *state = next;
            }
            is_it
        })
    }
}

/// Tries until it succeeds or nobody wants the connection any more.
async fn connect(link: Weak<Inner>, mut tried_at: Option<Instant>) {
    let mut is_first_failure = true;
    let mut backoff = Backoff::new(ATTEMPT_EVERY, ATTEMPT_EVERY);
    loop {
        if let Some(tried_at) = tried_at {
            sleep_until(tried_at + backoff.pause()).await;
        }
        let Some(link) = link.upgrade() else { return };
        let began = Instant::now();
        let error = match timeout(ATTEMPT_EVERY, link.dialer.commands()).await {
            Ok(Ok(connection)) => {
                if !is_first_failure {
                    tracing::info!("Redis is back");
                }
                link.state.send_replace(State::Standing { connection, tried_at: began });
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer in time"),
        };
        // One entry for each time that Redis goes away, not one for each attempt.
        if is_first_failure {
            tracing::warn!(error = format_args!("{error:#}"), "Redis cannot be reached");
            is_first_failure = false;
        }
        link.state.send_replace(State::Failing { reason: format!("{error:#}").into() });
        tried_at = Some(began);
    }
}

/// Whether nothing good can come over this connection any more.
fn breaks_connection(error: &RedisError) -> bool {
    // After a failover the old master refuses to write: another connection leads to the new one.
    let is_elsewhere =
        matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    error.is_io_error() || error.is_unrecoverable_error() || is_elsewhere
}
