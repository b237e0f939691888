//! The file of `GEOIP_FILE`: read when it changes, and published for lookups of countries.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use maxminddb::Reader;
use tern_common::Click;
use tern_common::visitor::UNKNOWN;

use crate::countries::Countries;

/// The reader of the file.
#[derive(Debug, Default)]
pub(super) struct CountryFileReader {
    /// `GEOIP_FILE`
    file: Option<PathBuf>,
    countries: Arc<Countries>,
    /// The time and the length of the file at the last attempt to read it.
    seen: Option<(SystemTime, u64)>,
    has_failed: bool,
}

impl CountryFileReader {
    pub(super) fn new(file: Option<PathBuf>, countries: Arc<Countries>) -> CountryFileReader {
        CountryFileReader { file, countries, ..CountryFileReader::default() }
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
                self.countries.publish(reader);
                self.has_failed = false;
            }
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                let used = if self.countries.has_file() { "its last content" } else { "the table of the registries" };
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
            click.visitor.country = self.countries.country(network.network());
        }
        if click.is_minimal {
            click.client = None;
        }
    }
}

#[cfg(test)]
#[path = "country_file_tests.rs"]
mod tests;
