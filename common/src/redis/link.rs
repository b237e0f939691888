//! A shared connection that opens at its first use, and reconnects after a failure.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use anyhow::anyhow;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::dial::{Connection, Dialer};
use crate::backoff::Backoff;

/// The time limit of a command. It is below the 250 ms that callers allow, so that this module detects a Redis that hangs.
const ANSWER_LIMIT: Duration = Duration::from_millis(200);

/// The shortest interval between attempts to connect, and the time limit of an attempt.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// A connection that reconnects. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    /// Commands that find the connection broken change the state, and so does the task that connects.
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
enum State {
    /// No connection is open: none was needed yet, or the last one broke. The next command connects.
    Disconnected {
        tried_at: Option<Instant>,
    },
    Connecting,
    Connected {
        connection: Connection,
        /// The start of the attempt that opened the connection. It identifies the connection.
        tried_at: Instant,
    },
    /// Commands fail at once until the task that connects succeeds.
    Failing {
        reason: Arc<str>,
    },
}

impl Link {
    pub(crate) fn new(dialer: Dialer) -> Link {
        Link(Arc::new(Inner { dialer, state: watch::Sender::new(State::Disconnected { tried_at: None }) }))
    }

    /// Runs commands. They must be idempotent, since they run again if the first connection turns out to be broken.
    ///
    /// # Errors
    /// When there is no connection, or no answer in time. While the connection fails, the error is immediate.
    pub(crate) async fn run<T, F>(&self, commands: impl Fn(Connection) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut is_repeated = false;
        loop {
            let acquired = timeout_at(deadline, self.acquire()).await;
            let (connection, tried_at) = acquired.map_err(|_| anyhow!("no connection in time"))??;
            match timeout_at(deadline, commands(connection)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if breaks_connection(&error) => {
                    self.abandon(tried_at, State::Disconnected { tried_at: Some(tried_at) });
                    // A server that restarted or closed an idle connection must not lose the message.
                    if is_repeated {
                        return Err(error.into());
                    }
                    is_repeated = true;
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    let reason = "no answer in time";
                    if self.abandon(tried_at, State::Failing { reason: reason.into() }) {
                        tracing::warn!(
                            "Redis does not answer; commands fail until a new connection is open; reconnecting"
                        );
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
                let State::Disconnected { tried_at } = *state else { return false };
                to_connect = Some(tried_at);
                let may_try = tried_at.is_none_or(|tried_at| tried_at.elapsed() >= ATTEMPT_INTERVAL);
                *state =
                    if may_try { State::Connecting } else { State::Failing { reason: "the connection broke".into() } };
                true
            });
            if let Some(tried_at) = to_connect {
                tokio::spawn(connect(Arc::downgrade(&self.0), tried_at));
            }
            match &*state.borrow_and_update() {
                State::Connected { connection, tried_at } => return Ok((connection.clone(), *tried_at)),
                State::Failing { reason } => return Err(anyhow!("{reason}")),
                State::Disconnected { .. } | State::Connecting => {}
            }
            state.changed().await?;
        }
    }

    /// Replaces the state if it is the connection of the attempt at `tried_at`. Returns whether it was.
    fn abandon(&self, tried_at: Instant, next: State) -> bool {
        self.0.state.send_if_modified(|state| {
            let is_current = matches!(state, State::Connected { tried_at: at, .. } if *at == tried_at);
            if is_current {
                *state = next;
            }
            is_current
        })
    }
}

/// Tries to connect until it succeeds or the link is dropped.
async fn connect(link: Weak<Inner>, mut tried_at: Option<Instant>) {
    let mut is_first_failure = true;
    let mut backoff = Backoff::new(ATTEMPT_INTERVAL, ATTEMPT_INTERVAL);
    loop {
        if let Some(tried_at) = tried_at {
            sleep_until(tried_at + backoff.pause()).await;
        }
        let Some(link) = link.upgrade() else { return };
        let began = Instant::now();
        let error = match timeout(ATTEMPT_INTERVAL, link.dialer.commands()).await {
            Ok(Ok(connection)) => {
                if !is_first_failure {
                    tracing::info!("Redis is available again");
                }
                link.state.send_replace(State::Connected { connection, tried_at: began });
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer in time"),
        };
        // Only the first failure is logged, not each attempt.
        if is_first_failure {
            tracing::warn!(error = format_args!("{error:#}"), "Redis is unavailable; commands fail; reconnecting");
            is_first_failure = false;
        }
        link.state.send_replace(State::Failing { reason: format!("{error:#}").into() });
        tried_at = Some(began);
    }
}

/// Returns whether the connection is useless after this error.
fn breaks_connection(error: &RedisError) -> bool {
    // After a failover the former master refuses to write. A new connection leads to the new master.
    let is_failover =
        matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown));
    error.is_io_error() || error.is_unrecoverable_error() || is_failover
}
