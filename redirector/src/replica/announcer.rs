//! Announces the cursor of a replica on the bus, once a second at least, and with it the state of the redirector.
//!
//! The announcer is a task of its own, so that a slow or unavailable bus delays no change.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tern_common::bus::{Bus, Message, ReplicaId, ReplicaStatus};
use tern_common::store::Cursor;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Interval of announcements without a change. Admins forget a silent replica after 3 s.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The redirector around a replica, whose state is announced.
pub trait StatusSource: fmt::Debug + Send + Sync {
    fn status(&self) -> ReplicaStatus;
}

/// A handle to the announcing task. Only the latest cursor is announced.
#[derive(Debug)]
pub(super) struct Announcer {
    cursor: watch::Sender<Option<Cursor>>,
    task: JoinHandle<()>,
}

impl Announcer {
    pub(super) fn start(bus: Arc<dyn Bus>, status: Arc<dyn StatusSource>) -> Announcer {
        let (cursor, cursors) = watch::channel(None);
        Announcer { cursor, task: tokio::spawn(run(bus, status, cursors)) }
    }

    /// Announces that every change up to `cursor` is served.
    pub(super) fn announce(&self, cursor: Option<&Cursor>) {
        self.cursor.send_if_modified(|announced| {
            let is_new = announced.as_ref() != cursor;
            if is_new {
                *announced = cursor.cloned();
            }
            is_new
        });
    }

    /// Announces the end of the replica, so that no admin waits for it any more.
    pub(super) async fn withdraw(self) {
        drop(self.cursor);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "announcer panicked; admins may wait for this replica for 3 s");
        }
    }
}

async fn run(bus: Arc<dyn Bus>, status: Arc<dyn StatusSource>, mut cursors: watch::Receiver<Option<Cursor>>) {
    let replica = ReplicaId::random();
    let mut heartbeats = interval(HEARTBEAT);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_heartbeat = tokio::select! {
            changed = cursors.changed() => match changed {
                Ok(()) => false,
                Err(_) => break,
            },
            _ = heartbeats.tick() => true,
        };
        let cursor = cursors.borrow_and_update().clone();
        if let Some(cursor) = cursor {
            publish(&*bus, Message::Progress { replica, cursor }).await;
        }
        if is_heartbeat {
            publish(&*bus, Message::Status { replica, status: status.status() }).await;
        }
    }
    publish(&*bus, Message::Departure { replica }).await;
}

async fn publish(bus: &dyn Bus, message: Message) {
    // Admins wait until their limit and answer without a confirmation.
    if let Err(error) = bus.publish(message).await {
        tracing::debug!(%error, "announcement was not published; the next one follows within a second");
    }
}
