//! Tells on the bus how far a replica has come, and that it lives.
//!
//! A task of its own: a bus that answers slowly, or not at all, must hold up no change.

use std::sync::Arc;
use std::time::Duration;

use tern_common::bus::{Bus, Message, ReplicaId};
use tern_common::store::Cursor;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How often a replica tells that it lives. Those who wait for it forget it after 3 s.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The replica's end. Only the latest cursor counts: those in between that were not told yet are passed over.
#[derive(Debug)]
pub(super) struct Announcer {
    cursor: watch::Sender<Option<Cursor>>,
    task: JoinHandle<()>,
}

impl Announcer {
    pub(super) fn start(bus: Arc<dyn Bus>) -> Announcer {
        let (cursor, cursors) = watch::channel(None);
        Announcer { cursor, task: tokio::spawn(announce(bus, cursors)) }
    }

    /// What is up to this cursor is served.
    pub(super) fn applied(&self, cursor: Option<&Cursor>) {
        self.cursor.send_if_modified(|told| {
            let is_new = told.as_ref() != cursor;
            if is_new {
                *told = cursor.cloned();
            }
            is_new
        });
    }

    /// Announces the end of the replica, so that no admin waits for it any more.
    pub(super) async fn withdraw(self) {
        drop(self.cursor);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the announcer ended badly");
        }
    }
}

async fn announce(bus: Arc<dyn Bus>, mut cursors: watch::Receiver<Option<Cursor>>) {
    let replica = ReplicaId::random();
    loop {
        // Time that is over without a change is the beat of the heart; a closed channel is the end.
        if let Ok(Err(_)) = timeout(HEARTBEAT, cursors.changed()).await {
            break;
        }
        let cursor = cursors.borrow_and_update().clone();
        if let Some(cursor) = cursor {
            tell(&*bus, Message::Progress { replica, cursor }).await;
        }
    }
    tell(&*bus, Message::Departure { replica }).await;
}

async fn tell(bus: &dyn Bus, message: Message) {
    // Nobody hears of our progress; they wait in vain for a moment, and go on.
    if let Err(error) = bus.publish(message).await {
        tracing::debug!(%error, "an announcement was lost");
    }
}
