//! Addresses at which this installation answers short codes. A link to one of them would redirect to a short link.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use ::url::{Host, Url};
use nix::unistd::gethostname;

use crate::config::Setting;
use crate::target_url::{InvalidTarget, TargetUrl};

/// The default ports of HTTP and HTTPS. A public address at one of them counts as own at the other as well.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// Origins whose paths are short codes: those that `PUBLIC_URL` names, and the listening sockets of this machine.
///
/// Hosts are compared in their canonical form, as [`TargetUrl`] is parsed. The scheme does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// The first origin of `PUBLIC_URL`, such as `https://go.example`.
    public_origin: Option<String>,
    origins: Vec<Origin>,
    /// Ports of sockets that listen on every address of the machine.
    wildcard_ports: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    host: OwnHost,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnHost {
    /// A host name in lower case and punycode, without a final dot.
    Name(String),
    /// An address. [`Ipv4Addr::LOCALHOST`] represents every name and address of loopback.
    Address(IpAddr),
}

/// The reason to refuse the target of a new or changed link. Each message continues the name of its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedTarget {
    #[error(transparent)]
    Invalid(#[from] InvalidTarget),
    #[error("points at this Tern itself ({0}); a short link cannot lead to another")]
    Own(String),
}

impl Setting for OwnAddresses {
    const EXPECTED: &'static str =
        "addresses such as https://go.example or http://10.0.0.7:8080, separated by commas, without a path";

    fn parse(text: &str) -> Option<OwnAddresses> {
        let mut own = OwnAddresses::default();
        for part in text.split(',') {
            let url = Url::parse(part.trim()).ok()?;
            own.add_public(&url)?;
            own.public_origin.get_or_insert_with(|| url.origin().ascii_serialization());
        }
        Some(own)
    }
}

impl OwnAddresses {
    /// Returns whether no address is known, so that no target is refused.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Returns the origin under which clients follow short links: scheme, host and port, without a final slash.
    ///
    /// `PUBLIC_URL` names it first. `None` if the setting is empty.
    pub fn public_origin(&self) -> Option<&str> {
        self.public_origin.as_deref()
    }

    /// Parses a target, and refuses one at an own address.
    pub fn parse_target(&self, text: &str) -> Result<TargetUrl, RefusedTarget> {
        self.check_target(TargetUrl::parse(text)?)
    }

    /// Parses the address to which an expired link leads: a target without placeholders.
    pub fn parse_expired_url(&self, text: &str) -> Result<TargetUrl, RefusedTarget> {
        self.check_expired_url(TargetUrl::parse(text)?)
    }

    /// Refuses the address to which an expired link leads if it is an own one, or has placeholders.
    pub fn check_expired_url(&self, target: TargetUrl) -> Result<TargetUrl, RefusedTarget> {
        self.check_target(target.without_placeholders()?)
    }

    /// Refuses a target at an own address.
    pub fn check_target(&self, target: TargetUrl) -> Result<TargetUrl, RefusedTarget> {
        match self.find(&target) {
            None => Ok(target),
            Some(address) => Err(RefusedTarget::Own(address)),
        }
    }

    /// Adds a socket that serves short codes. Port 0 adds nothing, since the socket is not open yet.
    pub fn with_listener(mut self, listener: SocketAddr) -> OwnAddresses {
        let (address, port) = (listener.ip().to_canonical(), listener.port());
        if port == 0 {
            return self;
        }
        if address.is_unspecified() {
            self.wildcard_ports.push(port);
        }
        let host = OwnHost::of_address(address);
        if !address.is_loopback()
            && let Some(name) = machine_name()
        {
            self.origins.push(Origin { host: OwnHost::Name(name), port });
        }
        self.origins.push(Origin { host, port });
        self
    }

    fn add_public(&mut self, url: &Url) -> Option<()> {
        let host = url.host().filter(|_| matches!(url.scheme(), "http" | "https"))?;
        let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
        let port = url.port_or_known_default().filter(|_| !has_more && url.username().is_empty())?;
        let host = OwnHost::of(host);
        let ports = if DEFAULT_PORTS.contains(&port) { &DEFAULT_PORTS[..] } else { &[port] };
        self.origins.extend(ports.iter().map(|&port| Origin { host: host.clone(), port }));
        Some(())
    }

    /// Returns the host and the port of a target at an own address.
    fn find(&self, target: &TargetUrl) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let url = Url::parse(target.location()).ok()?;
        let (host, port) = (url.host()?, url.port_or_known_default()?);
        let origin = Origin { host: OwnHost::of(host.clone()), port };
        let is_own =
            self.origins.contains(&origin) || self.wildcard_ports.contains(&port) && origin.host.is_of_machine();
        is_own.then(|| format!("{host}:{port}"))
    }
}

impl OwnHost {
    const LOOPBACK: OwnHost = OwnHost::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn of(host: Host<&str>) -> OwnHost {
        match host {
            Host::Ipv4(address) => OwnHost::of_address(address.into()),
            Host::Ipv6(address) => OwnHost::of_address(address.into()),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                let is_localhost = name == "localhost" || name.ends_with(".localhost");
                if is_localhost { OwnHost::LOOPBACK } else { OwnHost::Name(name.to_owned()) }
            }
        }
    }

    /// Returns the canonical form of an address. The unspecified address counts as loopback, since connections reach it.
    fn of_address(address: IpAddr) -> OwnHost {
        let address = address.to_canonical();
        let is_loopback = address.is_loopback() || address.is_unspecified();
        if is_loopback { OwnHost::LOOPBACK } else { OwnHost::Address(address) }
    }

    /// Returns whether an interface of this machine has the address. Only then can a socket be bound to it.
    fn is_of_machine(&self) -> bool {
        match self {
            OwnHost::Address(address) => UdpSocket::bind((*address, 0)).is_ok(),
            OwnHost::Name(_) => false,
        }
    }
}

/// Returns the host name of this machine in the form of a URL's host.
fn machine_name() -> Option<String> {
    let name = gethostname().ok()?.into_string().ok()?;
    let url = Url::parse(&format!("http://{name}/")).ok()?;
    match OwnHost::of(url.host()?) {
        OwnHost::Name(name) => Some(name),
        OwnHost::Address(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: &OwnAddresses, target: &str, expected: Option<&str>) {
        let refused = match own.parse_target(target) {
            Ok(_) => None,
            Err(RefusedTarget::Own(address)) => Some(address),
            Err(RefusedTarget::Invalid(error)) => panic!("{target}: {error}"),
        };
        assert_eq!(refused.as_deref(), expected, "{target}");
    }

    #[test]
    fn target_at_a_public_url_is_refused_in_every_form() {
        let own =
            OwnAddresses::parse("https://go.example, http://m\u{fc}nchen.example:8080/,https://[2001:db8::7]").unwrap();
        for target in [
            "https://go.example",
            "HTTPS://GO.EXAMPLE/abc123",
            "http://go.example/abc123?x#y",
            "https://go.example:443/",
            "https://go.example:80/",
            "https://go.example./abc123",
            "https://g%6f.example/",
            "https://\u{ff47}o.example/",
            "https://user:secret@go.example/abc123",
        ] {
            let port = if target.starts_with("http:") || target.contains(":80/") { 80 } else { 443 };
            let dot = if target.contains("example.") { "." } else { "" };
            check(&own, target, Some(&format!("go.example{dot}:{port}")));
        }
        check(&own, "http://xn--mnchen-3ya.example:8080/x", Some("xn--mnchen-3ya.example:8080"));
        check(&own, "http://M\u{dc}NCHEN.example:8080/x", Some("xn--mnchen-3ya.example:8080"));
        check(&own, "https://[2001:0db8:0:0::7]/x", Some("[2001:db8::7]:443"));
        for target in [
            "https://go.example:8443/",
            "https://www.go.example/",
            "https://go.example.org/",
            "https://elsewhere.example/?u=https://go.example/",
            "http://m\u{fc}nchen.example/",
            "https://[2001:db8::8]/",
        ] {
            check(&own, target, None);
        }
    }

    #[test]
    fn target_at_a_loopback_listener_is_refused_in_every_form() {
        let own = OwnAddresses::default().with_listener("127.0.0.1:8080".parse().unwrap());
        for target in [
            "http://127.0.0.1:8080/abc123",
            "https://127.0.0.1:8080/abc123",
            "http://localhost:8080/",
            "http://LOCALHOST.:8080/",
            "http://tern.localhost:8080/",
            "http://[::1]:8080/",
            "http://[::ffff:127.0.0.1]:8080/",
            "http://127.9.9.9:8080/",
            "http://127.1:8080/",
            "http://2130706433:8080/",
            "http://0x7f.0.0.1:8080/",
            "http://0177.0.0.1:8080/",
            "http://127.0.0.1.:8080/",
            "http://0.0.0.0:8080/",
            "http://0:8080/",
            "http://[::]:8080/",
        ] {
            assert!(matches!(own.parse_target(target), Err(RefusedTarget::Own(_))), "{target}");
        }
        for target in
            ["http://127.0.0.1/", "http://127.0.0.1:8081/", "http://10.0.0.1:8080/", "http://local.host:8080/"]
        {
            check(&own, target, None);
        }
    }

    #[test]
    fn target_at_any_address_of_the_machine_is_refused_with_a_wildcard_listener() {
        for listener in ["0.0.0.0:8080", "[::]:8080"] {
            let own = OwnAddresses::default().with_listener(listener.parse().unwrap());
            check(&own, "http://127.0.0.1:8080/", Some("127.0.0.1:8080"));
            let name = machine_name().expect("the machine of the tests has a name");
            check(&own, &format!("http://{name}:8080/"), Some(&format!("{name}:8080")));
            check(&own, "http://192.0.2.1:8080/", None);
            check(&own, "http://[2001:db8::7]:8080/", None);
            check(&own, "http://elsewhere.example:8080/", None);
        }
        // Connecting this socket sends no packet. It selects the source address of the machine.
        let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
        if probe.connect("192.0.2.1:9").is_ok() {
            let address = probe.local_addr().unwrap().ip();
            let own = OwnAddresses::default().with_listener("0.0.0.0:8080".parse().unwrap());
            check(&own, &format!("http://{address}:8080/"), Some(&format!("{address}:8080")));
            check(&own, &format!("http://{address}:8081/"), None);
        }
    }

    #[test]
    fn target_at_another_address_of_a_listener_port_is_accepted() {
        let own = OwnAddresses::default().with_listener("192.0.2.1:8080".parse().unwrap());
        check(&own, "http://192.0.2.1:8080/", Some("192.0.2.1:8080"));
        check(&own, "http://[::ffff:192.0.2.1]:8080/", Some("[::ffff:c000:201]:8080"));
        check(&own, "http://127.0.0.1:8080/", None);
        check(&own, "http://192.0.2.2:8080/", None);
    }

    #[test]
    fn target_without_known_addresses_is_accepted() {
        check(&OwnAddresses::default(), "http://127.0.0.1:8080/", None);
        let unopened = OwnAddresses::default().with_listener("127.0.0.1:0".parse().unwrap());
        assert_eq!(unopened, OwnAddresses::default());
    }

    #[test]
    fn public_origin_is_the_first_of_the_setting() {
        for (text, expected) in [
            ("https://go.example", "https://go.example"),
            (" HTTPS://GO.Example:443/ , http://10.0.0.7:8080", "https://go.example"),
            ("http://m\u{fc}nchen.example:8080/", "http://xn--mnchen-3ya.example:8080"),
            ("http://[2001:DB8::7]:80", "http://[2001:db8::7]"),
        ] {
            assert_eq!(OwnAddresses::parse(text).unwrap().public_origin(), Some(expected), "{text}");
        }
        let without = OwnAddresses::default().with_listener("127.0.0.1:8080".parse().unwrap());
        assert_eq!(without.public_origin(), None);
    }

    #[test]
    fn public_url_that_is_no_origin_is_refused() {
        for text in
            ["go.example", "https://go.example/s", "https://go.example?x", "ftp://go.example", "https://", "", ","]
        {
            assert_eq!(OwnAddresses::parse(text), None, "{text}");
        }
        assert_eq!(OwnAddresses::parse("https://user@go.example"), None);
        assert_eq!(OwnAddresses::parse("https://go.example#x"), None);
    }
}
