//! Settings of a redirector.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::anyhow;
use bytesize::ByteSize;
use tern_common::client::Proxies;
use tern_common::config::Reader;
use tern_common::private_files::ensure_writable;
use tern_common::systemd::Notifier;
use tern_serving::Hosts;

use crate::answers::Answers;
use crate::clicks::JournalConfig;
use crate::http::Limits;
use crate::link_defaults::LinkDefaults;
use crate::replica::ReplicaConfig;
use crate::tracking::Tracking;

/// Settings of a redirector, as `.env.example` describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectorConfig {
    /// `REDIRECTOR_LISTEN`: address of the redirect port.
    pub listen: SocketAddr,
    /// `REDIRECTOR_OPS_LISTEN`: address of the operations port, which must not be public.
    pub ops_listen: SocketAddr,
    /// `OPS_HOSTS`: host names that the operations port answers to, besides addresses and `localhost`.
    pub ops_hosts: Hosts,
    /// `REDIRECTOR_WORKERS`: number of threads that serve redirects.
    pub workers: usize,
    /// `MAX_CONNECTIONS`, `HEAD_LIMIT`, `HEADER_TIMEOUT`, `IDLE_TIMEOUT`, `WRITE_TIMEOUT`: limits of connections.
    pub limits: Limits,
    /// `MISS_BURST`: misses that a client may have at once.
    pub miss_burst: u32,
    /// `MISSES_PER_SECOND`: misses that a client may have in the long run; 0 disables the limit.
    pub misses_per_second: u32,
    /// `TRUSTED_PROXIES`: proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Proxies,
    /// `NOT_FOUND_URL`, `ROOT_URL`, `INDEXABLE`, `REFERRER_POLICY`: what short codes are answered beside their targets.
    pub answers: Answers,
    /// `REDIRECT_STATUS`, `FORWARD_QUERY`, `REDIRECT_CACHE`: how links without options of their own redirect.
    pub defaults: LinkDefaults,
    /// `TRACKING`, `HONOUR_GPC`, `IGNORE_CLICKS_FROM`, `COUNTRY_HEADER`: the part of a request that its click stores.
    pub tracking: Tracking,
    /// `CLICK_JOURNAL_LIMIT`, `CLICK_DISK_FLOOR`, `CLICK_SYNC`, `CLICK_EVENTS_PER_NETWORK`, `GEOIP_FILE`. The
    /// caller sets the directory.
    pub journal: JournalConfig,
    /// Descriptors that another port of the process uses.
    pub other_descriptors: usize,
    /// Threads besides the workers that record clicks: those of another port that answers short codes.
    pub other_recorders: usize,
    /// `AUDIT_INTERVAL`, `REPLICA_ALLOW_SHRINK`. The caller sets the path of the snapshot file.
    pub replica: ReplicaConfig,
    /// `DRAIN_NOTICE`: time for which `/ready` answers 503 before the port closes.
    pub notice: Duration,
    /// `DRAIN_TIMEOUT`: time after the notice in which requests are finished and clicks are shipped.
    pub drain: Duration,
    /// The service manager. The caller sets it.
    pub notifier: Notifier,
}

impl RedirectorConfig {
    pub fn read(reader: &mut Reader<'_>) -> RedirectorConfig {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let cores = available_parallelism().map_or(1, usize::from);
        let limits = Limits::default();
        let connections: usize = reader.get_within("MAX_CONNECTIONS", limits.connections, 1..=30_000);
        let limits = Limits {
            connections,
            // Half, so that no single client can fill the port.
            share: connections.div_ceil(2),
            head_bytes: head_limit(reader, limits.head_bytes),
            header_timeout: reader.get("HEADER_TIMEOUT", limits.header_timeout),
            idle_timeout: reader.get("IDLE_TIMEOUT", limits.idle_timeout),
            write_timeout: reader.get("WRITE_TIMEOUT", limits.write_timeout),
            ..limits
        };
        RedirectorConfig {
            listen: reader.get("REDIRECTOR_LISTEN", loopback(8080)),
            ops_listen: reader.get("REDIRECTOR_OPS_LISTEN", loopback(9080)),
            ops_hosts: reader.get("OPS_HOSTS", Hosts::default()),
            workers: reader.get_within("REDIRECTOR_WORKERS", cores, 1..=1024),
            limits,
            // Codes of five characters or more: at this rate a client needs a hundred days to miss all 916 million.
            // A broken page of a customer is not cut off at once.
            miss_burst: reader.get_within("MISS_BURST", 1_000, 1..=1_000_000),
            misses_per_second: reader.get_within("MISSES_PER_SECOND", 100, 0..=1_000_000),
            trusted_proxies: reader.get("TRUSTED_PROXIES", Proxies::default()),
            answers: Answers::read(reader),
            defaults: LinkDefaults::read(reader),
            tracking: Tracking::read(reader),
            journal: journal(reader),
            other_descriptors: 0,
            other_recorders: 0,
            replica: ReplicaConfig {
                file: None,
                // An audit reads every link of the store, which takes seconds for ten million.
                audit_every: reader.get("AUDIT_INTERVAL", Duration::from_secs(600)),
                allow_shrink: reader.get("REPLICA_ALLOW_SHRINK", false),
            },
            // A notice delays each end, and helps only where a load balancer asks `/ready`.
            notice: reader.get("DRAIN_NOTICE", Duration::ZERO),
            // Less than the 10 s after which container runtimes kill the process.
            drain: reader.get("DRAIN_TIMEOUT", Duration::from_secs(8)),
            notifier: Notifier::default(),
        }
    }

    /// Checks that the directories of the snapshot file and of the journals can be written.
    ///
    /// Without them, each click would be lost, and the next start could not serve before the store answers.
    ///
    /// # Errors
    /// Returns a sentence for the operator.
    pub fn ensure_writable(&self) -> anyhow::Result<()> {
        let data = self.replica.file.as_deref().and_then(Path::parent);
        for directory in data.into_iter().chain([self.journal.root.as_path()]) {
            ensure_writable(directory).map_err(|error| {
                let shown = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
                anyhow!(
                    "cannot write to {}, the directory of the click journals and the snapshot file: {error}; give it to \
                     this user, or set TERN_DATA_DIR to a directory that this user may write to",
                    shown.display()
                )
            })?;
        }
        Ok(())
    }

    /// Lists files that earlier builds may have left readable for other users.
    pub fn private_files(&self) -> impl Iterator<Item = PathBuf> {
        let links = self.replica.file.clone();
        let lock = links.as_ref().map(|path| path.with_extension("lock"));
        [Some(self.journal.root.clone()), links, lock].into_iter().flatten()
    }
}

fn journal(reader: &mut Reader<'_>) -> JournalConfig {
    // Some sixteen million clicks of ordinary length: 27 minutes without a store at 10,000 a second.
    let limit = reader.get_within("CLICK_JOURNAL_LIMIT", ByteSize::gib(4), ByteSize::mib(1)..=ByteSize::tib(1));
    let floor = reader.find_within("CLICK_DISK_FLOOR", ByteSize::b(0)..=ByteSize::pib(1));
    JournalConfig {
        root: PathBuf::from("clicks"),
        // A lane fills a segment in some 300 ms at full speed.
        segment: 4 << 20,
        limit: limit.as_u64(),
        floor: floor.map(|floor| floor.as_u64()),
        // A power cut costs the clicks of this time. A sync takes the disk some milliseconds.
        sync_every: reader.get("CLICK_SYNC", Duration::from_millis(100)),
        // Longer than a promoted standby was ever behind.
        keep_shipped: Duration::from_secs(15 * 60),
        // 28 a second from one /24 for an hour: more than an office follows. As events of the longest kind they are 110
        // MB.
        events_per_network: reader.get_within("CLICK_EVENTS_PER_NETWORK", 100_000, 0..=1_000_000_000),
        geoip_file: reader.find("GEOIP_FILE"),
    }
}

/// Reads `HEAD_LIMIT`. Requests of browsers need more than 1 KiB; every connection may occupy the limit in memory.
fn head_limit(reader: &mut Reader<'_>, default: usize) -> usize {
    let default = ByteSize::b(default as u64);
    let limit = reader.get_within("HEAD_LIMIT", default, ByteSize::kib(1)..=ByteSize::kib(256));
    usize::try_from(limit.as_u64()).unwrap_or(usize::MAX)
}
