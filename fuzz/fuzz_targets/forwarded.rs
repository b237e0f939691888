//! `X-Forwarded-For`: the client is an address that a trusted hop wrote, however the list is split into fields.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use tern_common::client::{Proxies, UNKNOWN};
use tern_common::config::Setting;

fuzz_target!(|bytes: &[u8]| {
    let proxies = Proxies::parse("127.0.0.1,10.0.0.0/8,fd00::/8").expect("three networks");
    let (trusted, stranger) = ([127, 0, 0, 1].into(), IpAddr::from([203, 0, 113, 9]));
    let fields: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let client = |fields: &[&[u8]], peer| proxies.client(peer, fields.iter().copied());
    assert_eq!(client(&fields, stranger), stranger);
    let found = client(&fields, trusted);
    // Several fields are equivalent to one field with commas.
    let joined = fields.join(&b',');
    assert_eq!(client(&[&joined], trusted), found);
    let text = String::from_utf8_lossy(&joined);
    // The characters around an address cannot belong to it, so the address is a run of its characters.
    let runs = text.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')));
    let is_written = runs
        .flat_map(|run| [Some(run), run.rsplit_once(':').map(|(address, _port)| address)])
        .flatten()
        .any(|address| address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical() == found));
    assert!(found == UNKNOWN || found == trusted || is_written, "{found}");
    // Empty items are ignored.
    let padded = [b" ,", &joined[..], b",\t, "].concat();
    assert_eq!(client(&[&padded, b""], trusted), found);
    // Items to the left of an untrusted hop are ignored.
    if found != UNKNOWN && !proxies.contains(found) {
        let forged = [b"198.51.100.77, , x,", &joined[..]].concat();
        assert_eq!(client(&[&forged], trusted), found);
    }
});
