//! The country of a client's network: by the file of `GEOIP_FILE`, otherwise by the registries' table in the program.
//!
//! A lookup gets the truncated network only, since nothing else of the address is stored. It does no I/O and takes no
//! lock: the shipper reads the file and publishes its content here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arc_swap::ArcSwapOption;
use maxminddb::{PathElement, Reader};
use tern_common::visitor::{UNKNOWN, country_of};

/// Where files name the country: those of MaxMind and DB-IP, and two forms of IPinfo.
const PATHS: [&[PathElement<'static>]; 4] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("registered_country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

/// The lookup of countries.
#[derive(Debug, Default)]
pub struct Countries {
    /// The content of the file when it was last readable.
    file: ArcSwapOption<Reader<Vec<u8>>>,
}

impl Countries {
    /// Publishes the content of a file. Lookups under way use the former one.
    pub(crate) fn publish(&self, file: Reader<Vec<u8>>) {
        self.file.store(Some(file.into()));
    }

    /// Returns whether the content of a file was published.
    pub(crate) fn has_file(&self) -> bool {
        self.file.load().is_some()
    }

    /// Returns the code of a client's country; [`UNKNOWN`] if neither the file nor the table has it.
    pub(crate) fn country(&self, client: IpAddr) -> &'static str {
        let network = network_of(client);
        let found = self.file.load().as_ref().map_or(UNKNOWN, |file| country_in(file, network));
        if found != UNKNOWN {
            return found;
        }
        iptocc::country_code(network).map_or(UNKNOWN, |code| country_of(code.as_bytes()))
    }
}

/// Returns the first address of a client's network: /24 of IPv4, /48 of IPv6.
fn network_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

/// Returns the country of an address in a file; [`UNKNOWN`] if the file has none.
fn country_in(file: &Reader<Vec<u8>>, address: IpAddr) -> &'static str {
    let Ok(found) = file.lookup(address) else { return UNKNOWN };
    let code = |path| found.decode_path::<&str>(path).ok().flatten().map(|code| country_of(code.as_bytes()));
    PATHS.into_iter().filter_map(code).find(|code| *code != UNKNOWN).unwrap_or(UNKNOWN)
}
