//! Bytes of a client: the answers do not depend on how the bytes are split, and no input causes a panic.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use tern_redirector::http::{Answer, Exchange, Limits, Reply, Request, Service, Stats, StatusCode, Terms};

struct Codes;

impl Service for Codes {
    fn share_of(&self, _: IpAddr) -> Option<u64> {
        None
    }

    fn call(&self, request: &Request<'_>, reply: Reply<'_>) {
        let answer = match request.path {
            b"/CODE12" => Answer::redirect(b"https://target.example/"),
            path => Answer::error_in_pieces(StatusCode::NOT_FOUND, [path, b"", b""]),
        };
        reply.answer(&answer);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { head_bytes: 1024, ..Limits::default() };
    let stats = Stats::default();
    let terms = Terms { limits: &limits, stats: &stats, is_last: false };
    let connection = || Exchange::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    let stays_open = connection().receive(bytes, terms, &Codes, &mut whole);
    let mut other = connection();
    let stays_open_split = bytes.chunks(1).all(|byte| other.receive(byte, terms, &Codes, &mut single));
    assert_eq!(stays_open, stays_open_split);
    // Only the dates may differ, and their length is constant.
    assert_eq!(whole.len(), single.len());
});
