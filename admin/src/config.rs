//! The settings of the admin plane, as plain data.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use tern_common::client::Proxies;
use tern_common::config::{Reader, Setting, Variables};
use tern_common::{OwnAddresses, ShortCode};
use tern_serving::Hosts;

use crate::visible_wait::VisibleWait;

/// The original's port.
const APP_PORT: u16 = 8000;

/// The answer to any honest request fits many times over.
const BODY_LIMIT: ByteSize = ByteSize::mib(1);

/// About a million users; the upload goes to a file, not to memory.
const BULK_BODY_LIMIT: ByteSize = ByteSize::mib(64);

/// Redirectors in good health confirm within 50 ms, near and idle ones; one that hangs must not hold up the admin for long.
pub const VISIBLE_WAIT: VisibleWait = VisibleWait { least: Duration::from_millis(100), most: Duration::from_secs(1) };

/// A request takes about a millisecond: what takes this long was in somebody's way.
const SLOW_QUERY: Duration = Duration::from_millis(200);

/// Below four characters codes can be guessed and soon run out.
const SHORTEST_CODES: usize = 4;

/// Old events are looked for once an hour. Less, zero above all, is more likely a slip than a wish to lose them all.
const SHORTEST_RETENTION: Duration = Duration::from_secs(60 * 60);

/// Half of the connections that the port takes: one holder cannot keep out all others.
const TOKEN_CONCURRENCY: usize = 512;

/// What one core answers at most.
const TOKEN_REQUESTS_PER_SECOND: u32 = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `ADMIN_LISTEN`; or `APP_PORT`, on loopback.
    pub listen: SocketAddr,
    /// `ADMIN_OPS_LISTEN`: a port of its own for `/live`, `/ready` and `/metrics`; never public. `None` opens none.
    pub ops_listen: Option<SocketAddr>,
    /// `OPS_HOSTS`: names that the operators' port answers to, beside addresses and `localhost`.
    pub ops_hosts: Hosts,
    pub access: AccessConfig,
    /// `PUBLIC_URL`, and the sockets that serve short codes, as far as the caller adds them.
    pub own_addresses: OwnAddresses,
    /// `SHORT_CODE_LENGTH`: of generated codes, in characters.
    pub short_code_length: usize,
    /// `BODY_LIMIT`: of any body but a bulk upload's.
    pub body_limit: ByteSize,
    /// `BULK_BODY_LIMIT`: of a bulk upload, its multipart framing included.
    pub bulk_body_limit: ByteSize,
    /// `VISIBLE_WAIT`: how long the answer to a change waits for the redirectors to serve it; 0 is not at all.
    pub visible_wait: VisibleWait,
    /// `SLOW_QUERY`: what the store may take for a request before the log tells of it; 0 is for ever.
    pub slow_query: Duration,
    /// `EVENT_RETENTION`: after which events are forgotten; `None` keeps them for ever.
    pub event_retention: Option<Duration>,
}

/// `ADMIN_AUTH`: when a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Always, once there is a token; never, on loopback, until then. Another address does not start without one.
    Auto,
    /// Always. The first start makes a token, if there is none.
    Tokens,
    /// Never: whoever reaches the API may do everything.
    Off,
}

impl Setting for AuthMode {
    const EXPECTED: &'static str = "auto, tokens or none";

    fn parse(text: &str) -> Option<AuthMode> {
        match text {
            "auto" => Some(AuthMode::Auto),
            "tokens" => Some(AuthMode::Tokens),
            "none" => Some(AuthMode::Off),
            _ => None,
        }
    }
}

/// Who may use the API, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// `ADMIN_AUTH`.
    pub mode: AuthMode,
    /// `ADMIN_TOKEN_FILE`: where the first token goes, if this process makes it; in `TERN_DATA_DIR` unless told otherwise.
    pub token_file: PathBuf,
    /// The file that says that the API required a token once; `None` remembers that only while the process runs.
    pub closed_note: Option<PathBuf>,
    /// `TOKEN_CONCURRENCY`: requests at a time with one token.
    pub token_concurrency: usize,
    /// `TOKEN_REQUESTS_PER_SECOND`: with one token, or of one client where no token is needed; 0 is no limit.
    pub requests_per_second: u32,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Proxies,
}

impl AccessConfig {
    fn read(reader: &mut Reader<'_>) -> AccessConfig {
        let data_dir = reader.get("TERN_DATA_DIR", PathBuf::from("data"));
        AccessConfig {
            mode: reader.get("ADMIN_AUTH", AuthMode::Auto),
            token_file: reader.get("ADMIN_TOKEN_FILE", data_dir.join("admin.token")),
            closed_note: Some(data_dir.join("tokens-required")),
            token_concurrency: reader.get_within("TOKEN_CONCURRENCY", TOKEN_CONCURRENCY, 1..=100_000),
            requests_per_second: reader.get_within(
                "TOKEN_REQUESTS_PER_SECOND",
                TOKEN_REQUESTS_PER_SECOND,
                0..=1_000_000,
            ),
            trusted_proxies: reader.get("TRUSTED_PROXIES", Proxies::default()),
        }
    }
}

impl AdminConfig {
    /// `visible_wait` is the default of `VISIBLE_WAIT`: it depends on how far away the redirectors are.
    pub fn read(reader: &mut Reader<'_>, visible_wait: VisibleWait) -> AdminConfig {
        let app_port = reader.get("APP_PORT", APP_PORT);
        AdminConfig {
            listen: reader.get("ADMIN_LISTEN", SocketAddr::from((Ipv4Addr::LOCALHOST, app_port))),
            ops_listen: reader.find("ADMIN_OPS_LISTEN"),
            ops_hosts: reader.get("OPS_HOSTS", Hosts::default()),
            access: AccessConfig::read(reader),
            own_addresses: reader.get("PUBLIC_URL", OwnAddresses::default()),
            short_code_length: reader.get_within(
                "SHORT_CODE_LENGTH",
                ShortCode::DEFAULT_LEN,
                SHORTEST_CODES..=ShortCode::MAX_LEN,
            ),
            body_limit: reader.get_within("BODY_LIMIT", BODY_LIMIT, ByteSize::kib(1)..=ByteSize::mib(64)),
            bulk_body_limit: reader.get_within("BULK_BODY_LIMIT", BULK_BODY_LIMIT, ByteSize::kib(1)..=ByteSize::gib(1)),
            visible_wait: reader.find("VISIBLE_WAIT").map_or(visible_wait, VisibleWait::exactly),
            slow_query: reader.get("SLOW_QUERY", SLOW_QUERY),
            event_retention: read_retention(reader),
        }
    }
}

impl Default for AdminConfig {
    /// Returns the default of each setting, without a file that says that the API required a token.
    fn default() -> AdminConfig {
        let mut config = AdminConfig::read(&mut Reader::new(&Variables::default()), VISIBLE_WAIT);
        config.access.closed_note = None;
        config
    }
}

fn read_retention(reader: &mut Reader<'_>) -> Option<Duration> {
    let retention = reader.find("EVENT_RETENTION");
    if retention.is_some_and(|retention| retention < SHORTEST_RETENTION) {
        reader.reject("EVENT_RETENTION", "expected at least 1h, or nothing to keep events for ever".to_owned());
    }
    retention
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<AdminConfig, String> {
        let variables: Variables = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut reader = Reader::new(&variables);
        let config = AdminConfig::read(&mut reader, VISIBLE_WAIT);
        reader.finish(config).map_err(|error| error.to_string())
    }

    #[test]
    fn unset_variables_give_the_defaults() {
        let mut expected = AdminConfig::default();
        expected.access.closed_note = Some(PathBuf::from("data/tokens-required"));
        assert_eq!(read(&[]), Ok(expected));
    }

    #[test]
    fn settings_are_read_and_bounded() {
        let config = read(&[("SHORT_CODE_LENGTH", "64"), ("BODY_LIMIT", "64KiB"), ("VISIBLE_WAIT", "0")]).unwrap();
        assert_eq!(read(&[("EVENT_RETENTION", "30d")]).unwrap().event_retention, Some(30 * 24 * SHORTEST_RETENTION));
        assert_eq!(config.short_code_length, 64);
        assert_eq!(config.body_limit, ByteSize::kib(64));
        assert_eq!(config.visible_wait, VisibleWait::exactly(Duration::ZERO));
        let problems = read(&[
            ("SHORT_CODE_LENGTH", "3"),
            ("BODY_LIMIT", "0"),
            ("VISIBLE_WAIT", "soon"),
            ("EVENT_RETENTION", "0"),
            ("ADMIN_LISTEN", "localhost"),
            ("ADMIN_AUTH", "never"),
            ("PUBLIC_URL", "go.example"),
            ("TOKEN_CONCURRENCY", "0"),
            ("TOKEN_REQUESTS_PER_SECOND", "-1"),
        ])
        .unwrap_err();
        assert_eq!(problems.lines().count(), 9, "{problems}");
    }
}
