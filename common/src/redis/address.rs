//! The address and the credentials of a Redis: parsing of `REDIS_URL`.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::config::Setting;

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The greatest number of hosts in a list. A longer list is a typing error.
const MAX_ENDPOINTS: usize = 64;

/// The address of a Redis with one server or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    pub topology: Topology,
    pub credentials: Credentials,
    /// The number of the server's database for keys. A cluster has only database 0.
    pub database: u16,
}

/// The servers of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// `redis://`, or `rediss://` with TLS.
    Server { endpoint: Endpoint, tls: bool },
    /// `redis+sentinel://`: the sentinels name the master server.
    Sentinel { sentinels: Vec<Endpoint>, master: String },
    /// `redis+cluster://`: each node names the other nodes.
    Cluster { nodes: Vec<Endpoint> },
}

/// A host name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name or address, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

/// The credentials for the servers. Sentinels are asked without credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user name; `None` for the default user.
    pub user: Option<String>,
    pub password: Option<Password>,
}

/// A password. Its debug form does not reveal it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl RedisAddress {
    /// Returns the address of one server without TLS or a password.
    pub fn server(endpoint: Endpoint) -> RedisAddress {
        RedisAddress {
            topology: Topology::Server { endpoint, tls: false },
            credentials: Credentials::default(),
            database: 0,
        }
    }
}

impl Setting for RedisAddress {
    const EXPECTED: &'static str = "redis://[:password@]host[:port][/db], rediss://..., \
                                    redis+sentinel://[:password@]host[:port][,...]/master-name[/db] \
                                    or redis+cluster://[:password@]host[:port][,...]";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<RedisAddress> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Credentials::parse(credentials)?, hosts),
            None => (Credentials::default(), authority),
        };
        let (topology, database) = match scheme {
            "redis" | "rediss" => {
                let endpoint = Endpoint::parse(hosts, SERVER_PORT)?;
                (Topology::Server { endpoint, tls: scheme == "rediss" }, parse_database(path)?)
            }
            "redis+sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
                if master.is_empty() || !master.bytes().all(is_name) {
                    return None;
                }
                let sentinels = parse_endpoints(hosts, SENTINEL_PORT)?;
                (Topology::Sentinel { sentinels, master: master.to_owned() }, parse_database(database)?)
            }
            "redis+cluster" if path.is_empty() => {
                (Topology::Cluster { nodes: parse_endpoints(hosts, SERVER_PORT)? }, 0)
            }
            _ => return None,
        };
        Some(RedisAddress { topology, credentials, database })
    }
}

impl Credentials {
    /// Parses `user:password` or `:password`, which may be percent-encoded.
    fn parse(text: &str) -> Option<Credentials> {
        let (user, password) = text.split_once(':')?;
        let decode = |text| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let (user, password) = (decode(user)?, decode(password)?);
        if password.is_empty() {
            return None;
        }
        Some(Credentials { user: Some(user).filter(|user| !user.is_empty()), password: Some(Password(password)) })
    }
}

impl Endpoint {
    fn parse(text: &str, default_port: u16) -> Option<Endpoint> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok().filter(|port| *port > 0)?,
            Some(_) => return None,
            None => default_port,
        };
        is_host(host).then(|| Endpoint { host: host.to_owned(), port })
    }
}

/// Returns whether `text` may be the name or the address of a host.
pub(super) fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
    (1..=253).contains(&text.len()) && text.bytes().all(allowed)
}

fn parse_endpoints(text: &str, default_port: u16) -> Option<Vec<Endpoint>> {
    let endpoints: Option<Vec<Endpoint>> = text.split(',').map(|text| Endpoint::parse(text, default_port)).collect();
    endpoints.filter(|endpoints| endpoints.len() <= MAX_ENDPOINTS)
}

fn parse_database(text: &str) -> Option<u16> {
    match text {
        "" => Some(0),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.to_owned(), port }
    }

    fn credentials(user: Option<&str>, password: &str) -> Credentials {
        Credentials { user: user.map(str::to_owned), password: Some(Password(password.to_owned())) }
    }

    #[test]
    fn url_of_one_server_is_parsed() {
        let check = |text: &str, tls: bool, endpoint: Endpoint, credentials: Credentials, database: u16| {
            let expected = RedisAddress { topology: Topology::Server { endpoint, tls }, credentials, database };
            assert_eq!(RedisAddress::parse(text), Some(expected), "{text}");
        };
        let none = Credentials::default;
        check("redis://localhost", false, endpoint("localhost", 6379), none(), 0);
        check("redis://localhost/", false, endpoint("localhost", 6379), none(), 0);
        check("redis://10.0.0.1:6380/15", false, endpoint("10.0.0.1", 6380), none(), 15);
        check("rediss://cache.example:6380/1", true, endpoint("cache.example", 6380), none(), 1);
        check("redis://[::1]:7000/2", false, endpoint("::1", 7000), none(), 2);
        check("redis://[fe80::1]", false, endpoint("fe80::1", 6379), none(), 0);
        check("redis://:secret@h:1/0", false, endpoint("h", 1), credentials(None, "secret"), 0);
        check("redis://tern:secret@h", false, endpoint("h", 6379), credentials(Some("tern"), "secret"), 0);
        check("redis://:p%40ss%2Fw%3Ard@h", false, endpoint("h", 6379), credentials(None, "p@ss/w:rd"), 0);
        check("redis://:with:colon@h", false, endpoint("h", 6379), credentials(None, "with:colon"), 0);
        check("redis://:at@sign@h", false, endpoint("h", 6379), credentials(None, "at@sign"), 0);
    }

    #[test]
    fn url_of_several_servers_is_parsed() {
        let check = |text: &str, topology: Topology, credentials: Credentials, database: u16| {
            let expected = RedisAddress { topology, credentials, database };
            assert_eq!(RedisAddress::parse(text), Some(expected), "{text}");
        };
        let two = vec![endpoint("a", 1), endpoint("b", 26379)];
        let sentinel =
            |sentinels: &[Endpoint]| Topology::Sentinel { sentinels: sentinels.to_vec(), master: "tern-1".to_owned() };
        check("redis+sentinel://a:1,b/tern-1", sentinel(&two), Credentials::default(), 0);
        check("redis+sentinel://:x@a:1,b/tern-1/3", sentinel(&two), credentials(None, "x"), 3);
        check("redis+sentinel://a:1/tern-1/", sentinel(&two[..1]), Credentials::default(), 0);
        let nodes = vec![endpoint("a", 1), endpoint("b", 6379), endpoint("::1", 3)];
        check("redis+cluster://a:1,b,[::1]:3", Topology::Cluster { nodes }, Credentials::default(), 0);
        let nodes = vec![endpoint("a", 6379)];
        check("redis+cluster://u:x@a/", Topology::Cluster { nodes }, credentials(Some("u"), "x"), 0);
    }

    #[test]
    fn malformed_url_is_refused() {
        let many = format!("redis+cluster://{}", vec!["a"; 65].join(","));
        for text in [
            "",
            "redis",
            "redis:",
            "redis://",
            "redis://:6379",
            "redis:///0",
            "http://localhost:6379",
            "localhost:6379",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:+1",
            "redis://h:",
            "redis://h:1:2",
            "redis://h/one",
            "redis://h/-1",
            "redis://h/1/2",
            "redis://h/65536",
            "redis://h?db=1",
            "redis://h#x",
            "redis://h h",
            "redis://a,b",
            "redis://[::1",
            "redis://[::1]x",
            "redis://[localhost]",
            "redis://secret@h",
            "redis://:@h",
            "redis://user:@h",
            "redis://:%ff@h",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/na me",
            "redis+sentinel:///master",
            "redis+sentinel://a,/master",
            "redis+sentinel://a/master/x",
            "redis+cluster://a/1",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "redis+unix:///run/redis.sock",
            &many,
        ] {
            assert_eq!(RedisAddress::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn debug_form_of_an_address_hides_the_password() {
        let address = RedisAddress::parse("redis://tern:hunter2@h").unwrap();
        assert!(!format!("{address:#?}").contains("hunter2"), "{address:?}");
    }
}
