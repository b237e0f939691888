//! The settings of Redis.

use std::fmt;

use super::address::{Endpoint, RedisAddress, is_host};
use crate::config::{Reader, Setting};

/// The configuration of Redis: address, trusted authorities and prefix of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// `REDIS_URL`, or the file in `REDIS_URL_FILE`, or `REDIS_HOST` and `REDIS_PORT`.
    pub address: RedisAddress,
    /// `REDIS_CA_FILE`: the trusted authorities for `rediss://`, in place of those of the system.
    pub authorities: Option<Authorities>,
    /// `REDIS_PREFIX`: the prefix of each channel and key, so that several installations can share a Redis.
    pub prefix: Prefix,
}

/// The certificates of authorities: the content of a PEM file when the configuration was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(pub Vec<u8>);

/// The prefix of each name. The default is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl RedisConfig {
    /// Returns a configuration with defaults for all settings but the address.
    pub fn new(address: RedisAddress) -> RedisConfig {
        RedisConfig { address, authorities: None, prefix: Prefix::default() }
    }

    /// Reads the settings; returns `None` unless they name a Redis. `REDIS_URL` takes precedence over `REDIS_HOST`.
    ///
    /// `REDIS_PORT` alone names no Redis, since Compose files use it for the published port.
    pub fn read(reader: &mut Reader<'_>) -> Option<RedisConfig> {
        let url: Option<RedisAddress> = reader.find_secret("REDIS_URL", "REDIS_URL_FILE");
        let host: Option<Host> = reader.find("REDIS_HOST");
        let port = reader.get_within("REDIS_PORT", 6379u16, 1..=u16::MAX);
        let authorities = reader.find("REDIS_CA_FILE");
        let prefix = reader.get("REDIS_PREFIX", Prefix::default());
        let address = url.or_else(|| host.map(|Host(host)| RedisAddress::server(Endpoint { host, port })))?;
        Some(RedisConfig { address, authorities, prefix })
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl Setting for Authorities {
    const EXPECTED: &'static str = "the path of a readable file of PEM certificates";

    fn parse(text: &str) -> Option<Authorities> {
        let pem = std::fs::read(text).ok()?;
        let begin = b"-----BEGIN CERTIFICATE-----";
        pem.windows(begin.len()).any(|window| window == begin).then_some(Authorities(pem))
    }
}

impl Prefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for Prefix {
    const EXPECTED: &'static str = "at most 64 letters, digits and any of .:_-";

    /// Parses a prefix without braces, since they select the node of a key in a cluster.
    fn parse(text: &str) -> Option<Prefix> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".:_-".contains(&b);
        (text.len() <= 64 && text.bytes().all(allowed)).then(|| Prefix(text.to_owned()))
    }
}

struct Host(String);

impl Setting for Host {
    const EXPECTED: &'static str = "the name or the address of a host";

    fn parse(text: &str) -> Option<Host> {
        is_host(text).then(|| Host(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;
    use crate::redis::Topology;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<RedisConfig>, String> {
        let variables: Variables = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut reader = Reader::new(&variables);
        let config = RedisConfig::read(&mut reader);
        reader.finish(config).map_err(|error| error.to_string())
    }

    fn endpoint(pairs: &[(&str, &str)]) -> Option<String> {
        match read(pairs).unwrap()?.address.topology {
            Topology::Server { endpoint, .. } => Some(format!("{} {}", endpoint.host, endpoint.port)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn redis_is_named_by_url_or_host() {
        let check = |pairs: &[(&str, &str)], expected: Option<&str>| {
            assert_eq!(endpoint(pairs).as_deref(), expected, "{pairs:?}");
        };
        check(&[], None);
        check(&[("REDIS_PORT", "7000")], None);
        check(&[("REDIS_URL", ""), ("REDIS_HOST", "")], None);
        check(&[("REDIS_HOST", "redis")], Some("redis 6379"));
        check(&[("REDIS_HOST", "::1"), ("REDIS_PORT", "7000")], Some("::1 7000"));
        check(&[("REDIS_URL", "redis://a:1"), ("REDIS_HOST", "b"), ("REDIS_PORT", "2")], Some("a 1"));
    }

    #[test]
    fn authorities_and_prefix_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "text before\n-----BEGIN CERTIFICATE-----\n").unwrap();
        let variables =
            [("REDIS_URL", "rediss://h"), ("REDIS_CA_FILE", file.to_str().unwrap()), ("REDIS_PREFIX", "staging:")];
        let config = read(&variables).unwrap().unwrap();
        assert_eq!(config.prefix.as_str(), "staging:");
        assert_eq!(format!("{:?}", config.authorities), "Some((40 bytes))");
    }

    #[test]
    fn problems_are_reported_without_the_password() {
        let variables = [
            ("REDIS_URL", "redis://:hunter2@h:port"),
            ("REDIS_HOST", "a b"),
            ("REDIS_PORT", "0"),
            ("REDIS_CA_FILE", "/nowhere"),
            ("REDIS_PREFIX", "{x}"),
        ];
        let problems = read(&variables).unwrap_err();
        assert_eq!(problems.lines().count(), 5, "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}
