//! Compresses the files of the dashboard for release builds. Debug builds serve the files from the source directory.

#[path = "src/dashboard/render.rs"]
#[expect(dead_code, reason = "the program uses the other fields of the page")]
mod render;

#[path = "src/dashboard/compress.rs"]
mod compress;

use std::path::Path;
use std::{env, fs, io};

use compress::{brotli, gzip};

const SOURCE: &str = "src/ui";

#[expect(clippy::disallowed_methods, reason = "cargo gives a build script its parameters as variables")]
fn main() -> io::Result<()> {
    let directory = Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("ui");
    fs::create_dir_all(&directory)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/dashboard/render.rs");
    println!("cargo::rerun-if-changed=src/dashboard/compress.rs");
    if env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return Ok(());
    }
    println!("cargo::rerun-if-changed={SOURCE}");
    for entry in fs::read_dir(&directory)? {
        fs::remove_file(entry?.path())?;
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(SOURCE)? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    files.sort();
    let page = render::render(&files);
    for (name, content) in &files {
        let sent = if name == render::TEMPLATE { page.html.as_bytes() } else { content };
        fs::write(directory.join(name), content)?;
        fs::write(directory.join(format!("{name}.gz")), gzip(sent)?)?;
        fs::write(directory.join(format!("{name}.br")), brotli(sent)?)?;
    }
    Ok(())
}
