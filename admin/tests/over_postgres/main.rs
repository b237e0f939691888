//! The contract's tests over PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

#[path = "../all/access.rs"]
mod access;
#[path = "../all/audit.rs"]
mod audit;
#[path = "../all/bodies.rs"]
mod bodies;
#[path = "../all/bulk.rs"]
mod bulk;
#[path = "../all/compat_shlink.rs"]
mod compat_shlink;
#[path = "../all/compat_shlink_requests.rs"]
mod compat_shlink_requests;
#[path = "../all/compat_yourls.rs"]
mod compat_yourls;
mod database;
#[path = "../all/errors.rs"]
mod errors;
#[path = "../all/events.rs"]
mod events;
#[path = "../all/exports.rs"]
mod exports;
#[path = "../all/faulty_files.rs"]
mod faulty_files;
#[path = "../all/health.rs"]
mod health;
#[path = "../all/hostile_json.rs"]
mod hostile_json;
#[path = "../all/import_properties.rs"]
mod import_properties;
#[path = "../all/imports.rs"]
mod imports;
#[path = "../all/lists.rs"]
mod lists;
#[path = "../all/live.rs"]
mod live;
#[path = "../all/load.rs"]
mod load;
#[path = "../all/load_reports.rs"]
mod load_reports;
#[path = "../all/load_skips.rs"]
mod load_skips;
#[path = "../all/logs.rs"]
mod logs;
#[path = "../all/owners.rs"]
mod owners;
#[path = "../all/pools.rs"]
mod pools;
#[path = "../all/products.rs"]
mod products;
mod psql_copies;
mod schemathesis;
mod silent_database;
#[path = "../all/stats.rs"]
mod stats;
#[path = "../all/support/mod.rs"]
mod support;
#[path = "../all/unread_answers.rs"]
mod unread_answers;
#[path = "../all/urls.rs"]
mod urls;
#[path = "../all/users.rs"]
mod users;
#[path = "../all/visibility.rs"]
mod visibility;
