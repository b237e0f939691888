//! The country of a client's network: by the file of `GEOIP_FILE`, otherwise by the registries' table in the program.
//!
//! A lookup gets the truncated network only, since nothing else of the address is stored.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use ipnet::IpNet;
use maxminddb::{PathElement, Reader};
use tern_common::Click;
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
pub(super) struct Countries {
    /// `GEOIP_FILE`
    file: Option<PathBuf>,
    /// The content of the file when it was last readable.
    reader: Option<Reader<Vec<u8>>>,
    /// The time and the length of the file at the last attempt to read it.
    seen: Option<(SystemTime, u64)>,
    has_failed: bool,
}

impl Countries {
    pub(super) fn new(file: Option<PathBuf>) -> Countries {
        Countries { file, ..Countries::default() }
    }

    /// Reads the file again if it has changed. A file that is missing or damaged changes nothing, and is logged once.
    pub(super) fn refresh(&mut self) {
        let Some(file) = &self.file else { return };
        let now = std::fs::metadata(file).and_then(|found| Ok((found.modified()?, found.len())));
        let read = match now {
            Ok(now) if Some(now) == self.seen => return,
            Ok(now) => {
                self.seen = Some(now);
                Reader::open_readfile(file).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(reader) => {
                tracing::info!(file = %file.display(), kind = reader.metadata().database_type, "countries of networks read from GEOIP_FILE");
                (self.reader, self.has_failed) = (Some(reader), false);
            }
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                let used = if self.reader.is_some() { "its last content" } else { "the table of the registries" };
                tracing::warn!(file = %file.display(), error, "GEOIP_FILE not read; countries are looked up in {used}; trying again when it changes");
            }
            Err(_) => {}
        }
    }

    /// Completes a click: adds the country that no proxy named, and removes the network of a minimal click.
    pub(super) fn complete(&self, click: &mut Click) {
        if click.visitor.country == UNKNOWN
            && let Some(network) = click.client
        {
            click.visitor.country = self.country(network);
        }
        if click.is_minimal {
            click.client = None;
        }
    }

    fn country(&self, network: IpNet) -> &'static str {
        let address = network.network();
        let found = self.reader.as_ref().map_or(UNKNOWN, |reader| country_in(reader, address));
        if found != UNKNOWN {
            return found;
        }
        iptocc::country_code(address).map_or(UNKNOWN, |code| country_of(code.as_bytes()))
    }
}

/// Returns the country of an address in a file; [`UNKNOWN`] if the file has none.
fn country_in(reader: &Reader<Vec<u8>>, address: IpAddr) -> &'static str {
    let Ok(found) = reader.lookup(address) else { return UNKNOWN };
    let code = |path| found.decode_path::<&str>(path).ok().flatten().map(|code| country_of(code.as_bytes()));
    PATHS.into_iter().filter_map(code).find(|code| *code != UNKNOWN).unwrap_or(UNKNOWN)
}

#[cfg(test)]
#[path = "countries_tests.rs"]
mod tests;
