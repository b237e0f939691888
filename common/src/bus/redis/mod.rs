//! The bus between processes: Redis pub/sub, and a key for each live replica.
//!
//! Redis guarantees the delivery of neither. A message is a hint, and a key is a hint with a lifetime.

mod inbox;
mod subscription;

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::{Cmd, Pipeline, RedisResult, cmd, pipe};
use anyhow::Context;
use async_trait::async_trait;
use prometheus::{IntCounterVec, Registry};

use self::inbox::{FORGED, Inbox, ignored_messages};
use self::subscription::RedisSubscription;
use super::{Bus, BusError, MAX_REPLICAS, Message, ReplicaId, SILENT_AFTER, Subscription, Topic, text};
use crate::redis::{Connection, Dialer, Link, RedisConfig};
use crate::seal::Seal;
use crate::store::Cursor;

/// The lifetime of the set of replicas after the last announcement, in milliseconds.
const LIST_TTL_MS: u64 = 60_000;

/// A bus for all processes that use the same Redis with the same prefix.
#[derive(Debug)]
pub struct RedisBus {
    link: Link,
    /// Opens a separate connection for each subscription.
    dialer: Dialer,
    names: Names,
    ignored: IntCounterVec,
    seal: Arc<Seal>,
}

/// The names of channels and keys. Each contains a version, so incompatible versions do not exchange messages.
#[derive(Clone, Debug)]
struct Names {
    invalidations: String,
    progress: String,
    /// The key of a set of replica ids, live or not. The key of a replica is this name, a colon and the id.
    /// The braces assign all these keys to one node of a cluster.
    live: String,
}

impl RedisBus {
    /// Returns a bus that connects at its first use, and again after a failure.
    /// `seal` signs the announcements of replicas, so that no other program can forge one.
    pub fn new(config: &RedisConfig, seal: Arc<Seal>) -> RedisBus {
        let dialer = Dialer::new(config);
        let link = Link::new(dialer.clone());
        RedisBus { link, dialer, names: Names::new(config.prefix.as_str()), ignored: ignored_messages(), seal }
    }

    /// Registers the number of ignored messages in `registry`.
    ///
    /// # Errors
    /// When it is registered already.
    pub fn export(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.ignored.clone()))
    }

    async fn announce(&self, replica: ReplicaId, cursor: &Cursor, message: &str) -> anyhow::Result<()> {
        let mut write = pipe();
        write.cmd("SADD").arg(&self.names.live).arg(replica.to_string()).ignore();
        write.cmd("PEXPIRE").arg(&self.names.live).arg(LIST_TTL_MS).ignore();
        let ttl_ms = SILENT_AFTER.as_millis() as u64;
        let key = self.names.of(replica);
        let sealed = self.sealed(&key, &cursor.to_string())?;
        write.cmd("SET").arg(key).arg(sealed).arg("PX").arg(ttl_ms).ignore();
        self.change_keys_and_publish(&write, message).await
    }

    async fn announce_end(&self, replica: ReplicaId, message: &str) -> anyhow::Result<()> {
        let mut delete = pipe();
        delete.cmd("SREM").arg(&self.names.live).arg(replica.to_string()).ignore();
        delete.cmd("DEL").arg(self.names.of(replica)).ignore();
        self.change_keys_and_publish(&delete, message).await
    }

    /// Changes keys and publishes a message at once, since they may go to different nodes of a cluster.
    /// One node gets the keys first, so that a receiver of the message finds them.
    async fn change_keys_and_publish(&self, keys: &Pipeline, message: &str) -> anyhow::Result<()> {
        let publish = &publish(&self.names.progress, &self.sealed(&self.names.progress, message)?);
        let commands = |connection: Connection| async move {
            let (mut for_keys, mut for_message) = (connection.clone(), connection);
            let (changed, published) =
                tokio::join!(keys.exec_async(&mut for_keys), publish.exec_async(&mut for_message));
            published.and(changed)
        };
        self.link.run(commands).await
    }

    fn sealed(&self, name: &str, message: &str) -> anyhow::Result<String> {
        text::seal(&self.seal, name, message).context("the seal key has not been read from the database yet")
    }

    fn inbox(&self, topic: Topic) -> Inbox {
        let channel = self.names.channel(topic).to_owned();
        Inbox::new(topic, channel, Arc::clone(&self.seal), self.ignored.clone())
    }

    async fn live_replicas(&self) -> anyhow::Result<Vec<(ReplicaId, Cursor)>> {
        let commands = |mut connection: Connection| async move {
            let mut ids: Vec<Vec<u8>> =
                cmd("SRANDMEMBER").arg(&self.names.live).arg(MAX_REPLICAS).query_async(&mut connection).await?;
            let replicas: HashMap<Vec<u8>, ReplicaId> = ids
                .iter()
                .filter_map(|id| Some((id.clone(), ReplicaId::parse(std::str::from_utf8(id).ok()?)?)))
                .collect();
            let mut live = Vec::new();
            if !replicas.is_empty() {
                let keys: Vec<String> = replicas.values().map(|replica| self.names.of(*replica)).collect();
                let cursors: Vec<Option<Vec<u8>>> = cmd("MGET").arg(&keys).query_async(&mut connection).await?;
                for (((id, replica), key), cursor) in replicas.iter().zip(keys).zip(cursors) {
                    let Some(sealed) = cursor else { continue };
                    ids.retain(|other| other != id);
                    match text::open(&self.seal, &key, &sealed) {
                        Some(text) => live
                            .extend(std::str::from_utf8(text).ok().and_then(|it| Some((*replica, it.parse().ok()?)))),
                        None => self.ignored.with_label_values(&[FORGED]).inc(),
                    }
                }
            }
            // The remaining ids have no key. A replica that was only late adds its id with its next announcement.
            if !ids.is_empty() {
                cmd("SREM").arg(&self.names.live).arg(ids).exec_async(&mut connection).await?;
            }
            RedisResult::Ok(live)
        };
        self.link.run(commands).await
    }
}

#[async_trait]
impl Bus for RedisBus {
    fn kind(&self) -> &'static str {
        "Redis"
    }

    async fn publish(&self, message: Message) -> Result<(), BusError> {
        let text = text::write(&message);
        let published = match &message {
            Message::Invalidation => {
                let publish = &publish(&self.names.invalidations, &text);
                self.link.run(|mut connection| async move { publish.exec_async(&mut connection).await }).await
            }
            Message::Progress { replica, cursor } => self.announce(*replica, cursor, &text).await,
            Message::Status { .. } => match self.sealed(&self.names.progress, &text) {
                Ok(sealed) => {
                    let publish = &publish(&self.names.progress, &sealed);
                    self.link.run(|mut connection| async move { publish.exec_async(&mut connection).await }).await
                }
                Err(error) => Err(error),
            },
            Message::Departure { replica } => self.announce_end(*replica, &text).await,
        };
        published.map_err(BusError)
    }

    async fn subscribe(&self, topic: Topic) -> Result<Box<dyn Subscription>, BusError> {
        let channel = self.names.channel(topic);
        let subscription = RedisSubscription::open(&self.dialer, self.inbox(topic), channel).await;
        subscription.map(|subscription| Box::new(subscription) as Box<dyn Subscription>).map_err(BusError)
    }

    async fn live(&self) -> Result<Vec<(ReplicaId, Cursor)>, BusError> {
        self.live_replicas().await.map_err(BusError)
    }
}

fn publish(channel: &str, message: &str) -> Cmd {
    let mut publish = cmd("PUBLISH");
    publish.arg(channel).arg(message);
    publish
}

impl Names {
    fn new(prefix: &str) -> Names {
        Names {
            invalidations: format!("{prefix}tern:v1:invalidations"),
            progress: format!("{prefix}tern:v2:progress"),
            live: format!("{{{prefix}tern:v2:live}}"),
        }
    }

    fn channel(&self, topic: Topic) -> &str {
        match topic {
            Topic::Invalidations => &self.invalidations,
            Topic::Progress => &self.progress,
        }
    }

    fn of(&self, replica: ReplicaId) -> String {
        format!("{}:{replica}", self.live)
    }
}
