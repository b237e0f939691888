//! One subscription: a connection of its own, and a task that watches over it.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, SendError};
use ::redis::{PushInfo, cmd};
use anyhow::{Context, anyhow};
use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout, timeout_at};

use super::inbox::Inbox;
use crate::bus::{BusError, Received, SILENT_AFTER, Subscription};
use crate::redis::Dialer;

/// How often the server is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(1);

/// Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct RedisSubscription {
    inbox: Arc<Inbox>,
    watch: JoinHandle<()>,
}

impl RedisSubscription {
    /// Returns once the server has confirmed the subscription.
    pub(super) async fn open(dialer: &Dialer, inbox: Inbox, channel: &str) -> anyhow::Result<RedisSubscription> {
        let inbox = Arc::new(inbox);
        let listener = {
            let inbox = Arc::clone(&inbox);
            move |push: PushInfo| -> Result<(), SendError> {
                inbox.take(&push);
                Ok(())
            }
        };
        let opening = async {
            let mut connection = dialer.pushes(listener).await?;
            connection.subscribe(channel).await?;
            anyhow::Ok(connection)
        };
        let connection = timeout(SILENT_AFTER, opening).await.context("no confirmation in time")??;
        let watch = tokio::spawn(watch_over(connection, Arc::clone(&inbox)));
        Ok(RedisSubscription { inbox, watch })
    }
}

#[async_trait]
impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Result<Received, BusError> {
        self.inbox.next().await.map_err(|reason| BusError(anyhow!(reason)))
    }
}

impl Drop for RedisSubscription {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Closes the inbox when the server is silent for too long: a frozen server and a cut cable send no farewell.
async fn watch_over(mut connection: MultiplexedConnection, inbox: Arc<Inbox>) {
    loop {
        sleep(PING_EVERY).await;
        let ping = cmd("PING");
        let mut pong = std::pin::pin!(ping.query_async::<String>(&mut connection));
        loop {
            let silent_at = inbox.heard_at() + SILENT_AFTER;
            match timeout_at(silent_at, &mut pong).await {
                Ok(Ok(_)) => break inbox.heard(),
                Ok(Err(error)) => return inbox.close(&error.to_string()),
                // Behind a flood of messages the answer may be late; those are signs of life as well.
                Err(_) if inbox.heard_at() + SILENT_AFTER > silent_at => {}
                Err(_) => return inbox.close("the server is silent"),
            }
        }
    }
}
