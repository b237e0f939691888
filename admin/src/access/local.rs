//! The check that a request was made on this machine.

use axum::http::Version;
use axum::http::header::HOST;
use axum::http::request::Parts;
use tern_common::client::{is_forwarding_field, is_local_host};

/// Returns whether nothing in the request hints that it was made on another machine.
///
/// A proxy adds header fields, sends HTTP/1.0, or asks for the host that its client asked for.
/// A page of another site can make a browser on this machine ask for a foreign host (DNS rebinding).
pub(super) fn is_from_this_machine(request: &Parts) -> bool {
    let mut hosts = request.headers.get_all(HOST).iter();
    let has_local_host = matches!((hosts.next(), hosts.next()), (Some(host), None) if is_local_host(host.as_bytes()));
    let is_forwarded = request.headers.keys().any(|name| is_forwarding_field(name.as_str().as_bytes()));
    // A request target in absolute form contains a host, too.
    let has_foreign_target = request.uri.authority().is_some_and(|it| !is_local_host(it.as_str().as_bytes()));
    request.version != Version::HTTP_10 && has_local_host && !is_forwarded && !has_foreign_target
}
