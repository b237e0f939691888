//! Files of each service, in each shape that people have.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

mod bitly;
mod chhoto;
mod dub;
mod generated;
mod hostile;
mod kutt;
mod polr;
mod reading;
mod rebrandly;
mod shlink;
mod short_io;
mod sink;
mod spreadsheet;
mod tern;
mod tiny_url;
mod yourls;
