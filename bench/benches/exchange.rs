//! What the loop costs without sockets and links: bytes of a request in, bytes of an answer out.

use std::net::{IpAddr, Ipv4Addr};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tern_redirector::http::{Answer, Content, Exchange, Limits, Reply, Request, Service, Stats, StatusCode, Terms};

const SMALL: &str = "GET /CODE12 HTTP/1.1\r\nHost: t.example\r\n\r\n";

const BROWSER: &str = "GET /CODE12 HTTP/1.1\r\nHost: t.example\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"126\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n\
    Referer: https://news.example/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

#[derive(Debug)]
struct Constant;

impl Service for Constant {
    fn share_of(&self, _: IpAddr) -> Option<u64> {
        None
    }

    fn call(&self, request: &Request<'_>, reply: Reply<'_>) {
        const TARGET: &[u8] = b"https://opal.example/lantern/cobalt-7c1d/harbor?ref=newsletter";
        let answer = match request.path() {
            b"/CODE12" => Answer::redirect(StatusCode::FOUND, TARGET),
            path => Answer::new(StatusCode::NOT_FOUND, Content::Message([b"Short code '", path, b"' not found"])),
        };
        reply.answer(&answer.no_store());
    }
}

fn exchanges(criterion: &mut Criterion) {
    let (limits, stats) = (Limits::default(), Stats::default());
    let terms = Terms { limits: &limits, stats: &stats, draining: false };
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Elements(1));
    let missing = SMALL.replace("CODE12", "nope");
    for (name, request) in [("small", SMALL), ("browser", BROWSER), ("not found", &missing)] {
        group.bench_with_input(BenchmarkId::from_parameter(name), request.as_bytes(), |bencher, request| {
            let mut connection = Exchange::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
            let mut answers = Vec::new();
            bencher.iter(|| {
                answers.clear();
                connection.receive(request, terms, &Constant, &mut answers)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
