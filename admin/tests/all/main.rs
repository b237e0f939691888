//! The contract of the admin API (`docs/CONTRACT.md`), line by line, over real sockets and a database for each test.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod access;
mod audit;
mod bodies;
mod bulk;
mod bulk_urls;
mod commands;
mod database;
mod errors;
mod events;
mod exports;
mod external_urls;
mod faulty_files;
mod health;
mod hostile_json;
mod ignored_names;
mod import_properties;
mod imports;
mod link_options;
mod lists;
mod live;
mod load;
mod load_reports;
mod load_skips;
mod logs;
mod many_urls;
mod misses;
mod open_loopback;
mod openapi;
mod origins;
mod owners;
mod pools;
mod products;
mod qr;
mod request_ids;
mod request_log;
mod schemathesis;
mod stats;
mod support;
mod tags;
mod unread_answers;
mod url_identity;
mod urls;
mod users;
mod visibility;
