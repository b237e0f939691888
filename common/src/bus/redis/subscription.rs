//! A subscription: a separate connection, and a task that checks that the server is alive.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, SendError};
use ::redis::{PushInfo, cmd};
use anyhow::{Context, anyhow};
use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout, timeout_at};

use super::inbox::Inbox;
use crate::bus::{BusError, Delivery, SILENT_AFTER, Subscription};
use crate::redis::Dialer;

/// The interval of pings to the server.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// An active subscription. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct RedisSubscription {
    inbox: Arc<Inbox>,
    watch: JoinHandle<()>,
}

impl RedisSubscription {
    /// Opens a connection, and returns once the server has confirmed the subscription.
    pub(super) async fn open(dialer: &Dialer, inbox: Inbox, channel: &str) -> anyhow::Result<RedisSubscription> {
        let inbox = Arc::new(inbox);
        let listener = {
            let inbox = Arc::clone(&inbox);
            move |push: PushInfo| -> Result<(), SendError> {
                inbox.receive(&push);
                Ok(())
            }
        };
        let opening = async {
            let mut connection = dialer.pushes(listener).await?;
            connection.subscribe(channel).await?;
            anyhow::Ok(connection)
        };
        let connection =
            timeout(SILENT_AFTER, opening).await.context("the server did not confirm the subscription in time")??;
        let watch = tokio::spawn(check_server(connection, Arc::clone(&inbox)));
        Ok(RedisSubscription { inbox, watch })
    }
}

#[async_trait]
impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        self.inbox.next().await.map_err(|reason| BusError(anyhow!(reason)))
    }
}

impl Drop for RedisSubscription {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Closes the inbox when the server is silent for too long. A frozen server or a cut cable reports no error.
async fn check_server(mut connection: MultiplexedConnection, inbox: Arc<Inbox>) {
    loop {
        sleep(PING_INTERVAL).await;
        let ping = cmd("PING");
        let mut pong = std::pin::pin!(ping.query_async::<String>(&mut connection));
        loop {
            let silent_at = inbox.active_at() + SILENT_AFTER;
            match timeout_at(silent_at, &mut pong).await {
                Ok(Ok(_)) => break inbox.record_activity(),
                Ok(Err(error)) => return inbox.close(&error.to_string()),
                // The answer may be late behind many messages, which show as well that the server is alive.
                Err(_) if inbox.active_at() + SILENT_AFTER > silent_at => {}
                Err(_) => return inbox.close("the server does not answer"),
            }
        }
    }
}
