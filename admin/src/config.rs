//! The settings of the admin.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use tern_common::client::Proxies;
use tern_common::config::{Reader, Setting, Variables};
use tern_common::{OwnAddresses, ShortCode};
use tern_serving::Hosts;

use crate::visible_wait::VisibleWait;

/// Default of `APP_PORT`.
const APP_PORT: u16 = 8000;

/// Default of `BODY_LIMIT`, many times the size of any useful request.
const BODY_LIMIT: ByteSize = ByteSize::mib(1);

/// Default of `BULK_BODY_LIMIT`: about a million users. The upload is written to a file, not to memory.
const BULK_BODY_LIMIT: ByteSize = ByteSize::mib(64);

/// Default of `VISIBLE_WAIT`. Healthy redirectors confirm within 50 ms, and one that hangs must not delay answers for long.
pub const VISIBLE_WAIT: VisibleWait = VisibleWait { least: Duration::from_millis(100), most: Duration::from_secs(1) };

/// Default of `SLOW_QUERY`. A query normally takes about a millisecond.
const SLOW_QUERY: Duration = Duration::from_millis(200);

/// The shortest `SHORT_CODE_LENGTH`. Shorter codes can be guessed and soon run out.
const SHORTEST_CODES: usize = 4;

/// The default of `AUDIT_RETENTION`: a year.
const AUDIT_RETENTION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The shortest `EVENT_RETENTION`. A shorter one is more likely a mistake, and events are deleted once an hour anyway.
const SHORTEST_RETENTION: Duration = Duration::from_secs(60 * 60);

/// Default of `TOKEN_CONCURRENCY`: half of the port's connections, so that one token cannot occupy all of them.
const TOKEN_CONCURRENCY: usize = 512;

/// Default of `TOKEN_REQUESTS_PER_SECOND`: the most that one core answers.
const TOKEN_REQUESTS_PER_SECOND: u32 = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `ADMIN_LISTEN`: the address of the API port; `APP_PORT` on loopback unless set.
    pub listen: SocketAddr,
    /// `ADMIN_OPS_LISTEN`: the address of the operations port; `None` opens none.
    pub ops_listen: Option<SocketAddr>,
    /// `OPS_HOSTS`: host names that the operations port accepts beside addresses and `localhost`.
    pub ops_hosts: Hosts,
    pub access: AccessConfig,
    /// `PUBLIC_URL`, and the addresses of the ports that serve short codes, as the caller adds them.
    pub own_addresses: OwnAddresses,
    /// `SHORT_CODE_LENGTH`: the length of generated codes in characters.
    pub short_code_length: usize,
    /// `BODY_LIMIT`: the largest body except that of a bulk upload.
    pub body_limit: ByteSize,
    /// `BULK_BODY_LIMIT`: the largest body of a bulk upload, with its multipart framing.
    pub bulk_body_limit: ByteSize,
    /// `VISIBLE_WAIT`: the longest wait of an answer to a change for redirectors to serve it; 0 disables the wait.
    pub visible_wait: VisibleWait,
    /// `SLOW_QUERY`: the time after which the log reports a query of the store; 0 disables the report.
    pub slow_query: Duration,
    /// `EVENT_RETENTION`: the age at which events are deleted; `None` deletes none.
    pub event_retention: Option<Duration>,
    /// `AUDIT_RETENTION`: the age at which audit entries are deleted; `None` keeps them for ever.
    pub audit_retention: Option<Duration>,
    /// `COMPAT`: the APIs of other services that the API port also answers.
    pub compat: Compat,
    /// `FORWARD_QUERY`: whether redirectors forward queries for links without a choice of their own.
    pub forward_query: bool,
}

/// `ADMIN_AUTH`: when a request needs a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// A request needs a token once there is one. Until then the API is open on loopback, and does not start elsewhere.
    Auto,
    /// Each request needs a token. The first start creates one if there is none.
    Tokens,
    /// No request needs a token.
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

/// `COMPAT`: the APIs of other services that the API port also answers; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compat {
    /// `/yourls-api.php`.
    pub yourls: bool,
    /// `/rest`.
    pub shlink: bool,
}

impl Setting for Compat {
    const EXPECTED: &'static str = "yourls, shlink or both, separated by a comma";

    fn parse(text: &str) -> Option<Compat> {
        let mut compat = Compat::default();
        for word in text.split(',') {
            match word.trim() {
                "yourls" => compat.yourls = true,
                "shlink" => compat.shlink = true,
                _ => return None,
            }
        }
        Some(compat)
    }
}

/// The settings of access to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// `ADMIN_AUTH`.
    pub mode: AuthMode,
    /// `ADMIN_TOKEN_FILE`: the file of the first token, if this process creates it; in `TERN_DATA_DIR` unless set.
    pub token_file: PathBuf,
    /// The file that records that the API required a token; with `None` only the running process remembers it.
    pub requirement_file: Option<PathBuf>,
    /// `TOKEN_CONCURRENCY`: the most requests under way with one token.
    pub token_concurrency: usize,
    /// `TOKEN_REQUESTS_PER_SECOND`: the rate for one token, or for one client if no token is needed; 0 is no limit.
    pub requests_per_second: u32,
    /// `TRUSTED_PROXIES`: the networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Proxies,
}

impl AccessConfig {
    fn read(reader: &mut Reader<'_>) -> AccessConfig {
        let data_dir = reader.get("TERN_DATA_DIR", PathBuf::from("data"));
        AccessConfig {
            mode: reader.get("ADMIN_AUTH", AuthMode::Auto),
            token_file: reader.get("ADMIN_TOKEN_FILE", data_dir.join("admin.token")),
            requirement_file: Some(data_dir.join("tokens-required")),
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
    /// Reads the address of the API port alone.
    pub fn read_listen(reader: &mut Reader<'_>) -> SocketAddr {
        let app_port = reader.get("APP_PORT", APP_PORT);
        reader.get("ADMIN_LISTEN", SocketAddr::from((Ipv4Addr::LOCALHOST, app_port)))
    }

    /// Reads the settings. `visible_wait` is the default of `VISIBLE_WAIT`, which depends on where the redirectors run.
    pub fn read(reader: &mut Reader<'_>, visible_wait: VisibleWait) -> AdminConfig {
        AdminConfig {
            listen: AdminConfig::read_listen(reader),
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
            audit_retention: read_audit_retention(reader),
            compat: reader.get("COMPAT", Compat::default()),
            forward_query: reader.get("FORWARD_QUERY", false),
        }
    }
}

impl Default for AdminConfig {
    /// Returns the default of each setting, without a file that says that the API required a token.
    fn default() -> AdminConfig {
        let mut config = AdminConfig::read(&mut Reader::new(&Variables::default()), VISIBLE_WAIT);
        config.access.requirement_file = None;
        config
    }
}

fn read_retention(reader: &mut Reader<'_>) -> Option<Duration> {
    let retention = reader.find("EVENT_RETENTION");
    if retention.is_some_and(|retention| retention < SHORTEST_RETENTION) {
        reader.reject("EVENT_RETENTION", "expected at least 1h, or an empty value to delete no events".to_owned());
    }
    retention
}

fn read_audit_retention(reader: &mut Reader<'_>) -> Option<Duration> {
    let retention = Some(reader.get("AUDIT_RETENTION", AUDIT_RETENTION)).filter(|retention| !retention.is_zero());
    if retention.is_some_and(|retention| retention < SHORTEST_RETENTION) {
        reader.reject("AUDIT_RETENTION", "expected at least 1h, or 0 to delete no audit entries".to_owned());
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
    fn unset_variables_result_in_the_defaults() {
        let mut expected = AdminConfig::default();
        expected.access.requirement_file = Some(PathBuf::from("data/tokens-required"));
        assert_eq!(read(&[]), Ok(expected));
    }

    #[test]
    fn settings_outside_their_bounds_are_refused() {
        let config = read(&[("SHORT_CODE_LENGTH", "64"), ("BODY_LIMIT", "64KiB"), ("VISIBLE_WAIT", "0")]).unwrap();
        assert_eq!(read(&[("EVENT_RETENTION", "30d")]).unwrap().event_retention, Some(30 * 24 * SHORTEST_RETENTION));
        assert_eq!(read(&[]).unwrap().audit_retention, Some(AUDIT_RETENTION));
        assert_eq!(read(&[("AUDIT_RETENTION", "0")]).unwrap().audit_retention, None);
        assert_eq!(read(&[("COMPAT", "")]).unwrap().compat, Compat::default());
        assert_eq!(read(&[("COMPAT", "yourls, shlink")]).unwrap().compat, Compat { yourls: true, shlink: true });
        assert_eq!(read(&[("COMPAT", "shlink")]).unwrap().compat, Compat { yourls: false, shlink: true });
        assert_eq!(config.short_code_length, 64);
        assert_eq!(config.body_limit, ByteSize::kib(64));
        assert_eq!(config.visible_wait, VisibleWait::exactly(Duration::ZERO));
        let problems = read(&[
            ("SHORT_CODE_LENGTH", "3"),
            ("BODY_LIMIT", "0"),
            ("VISIBLE_WAIT", "soon"),
            ("EVENT_RETENTION", "0"),
            ("AUDIT_RETENTION", "1m"),
            ("ADMIN_LISTEN", "localhost"),
            ("ADMIN_AUTH", "never"),
            ("PUBLIC_URL", "go.example"),
            ("TOKEN_CONCURRENCY", "0"),
            ("TOKEN_REQUESTS_PER_SECOND", "-1"),
            ("COMPAT", "yourls,bitly"),
        ])
        .unwrap_err();
        assert_eq!(problems.lines().count(), 11, "{problems}");
    }
}
