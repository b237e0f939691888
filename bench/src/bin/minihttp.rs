//! may_minihttp with a constant 302: a yardstick, used as in its own examples.

use std::io;

use anyhow::{Result, anyhow};
use clap::Parser;
use may_minihttp::{HttpServer, HttpService, Request, Response};
use tern_bench::yardstick::Arguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Debug)]
struct Constant {
    /// Header line; may_minihttp accepts static fields only.
    location: &'static str,
}

impl HttpService for Constant {
    fn call(&mut self, _request: Request, response: &mut Response) -> io::Result<()> {
        response.status_code(302, "Found").header(self.location).header("Cache-Control: no-store");
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // A pinned worker would wait for the load generator on its core while another core is free.
    may::config().set_workers(arguments.workers).set_worker_pin(false);
    let target = "x".repeat(arguments.location.saturating_sub(24));
    let location = format!("Location: https://www.example.com/{target}");
    let service = Constant { location: Box::leak(location.into_boxed_str()) };
    let server = HttpServer(service).start(("127.0.0.1", arguments.port))?;
    server.join().map_err(|_| anyhow!("the server panicked"))
}
