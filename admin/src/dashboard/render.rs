//! The page of the dashboard and the version of its files, computed from the files alone.
//!
//! `build.rs` includes this module too, so it knows neither HTTP nor another module of the crate.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// The name of the template of the page.
pub const TEMPLATE: &str = "index.html";

/// The end of the names of style sheets. The page contains them in the order of their names, so that the first answer can
/// be painted.
const STYLES: &str = ".css";

/// The page with the values of its header fields.
#[derive(Debug)]
pub struct Page {
    pub html: String,
    /// A hash of all files, which is a part of the address of each file.
    pub version: String,
    /// The content security policy, with the hash of the style sheet.
    pub policy: String,
    pub etag: String,
}

/// Builds the page from all files of the dashboard, which are sorted by name.
pub fn render(files: &[(String, Vec<u8>)]) -> Page {
    let mut all = Sha256::new();
    for (name, content) in files {
        all.update(name.as_bytes());
        all.update(u64::try_from(content.len()).unwrap_or(u64::MAX).to_be_bytes());
        all.update(content);
    }
    let version = URL_SAFE_NO_PAD.encode(&all.finalize()[..12]);
    let styles = files.iter().filter(|(name, _)| name.ends_with(STYLES));
    let style: String = styles.map(|(_, content)| String::from_utf8_lossy(content)).collect();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'sha256-{}'; img-src 'self' blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        STANDARD.encode(Sha256::digest(&style))
    );
    // Each module is named here, so that the browser requests all of them at once.
    let modules = files.iter().filter(|(name, _)| name.ends_with(".js") && name != "theme.js");
    let preloads: String = modules
        .map(|(name, _)| format!("<link rel=\"modulepreload\" href=\"/admin/assets/{version}/{name}\">\n"))
        .collect();
    let html = text(files, TEMPLATE)
        .replace("<!-- style -->", &format!("<style>{style}</style>"))
        .replace("<!-- modules -->", preloads.trim_end())
        .replace("/admin/assets/version/", &format!("/admin/assets/{version}/"));
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(&html)[..12]));
    Page { html, version, policy, etag }
}

fn text(files: &[(String, Vec<u8>)], name: &str) -> String {
    let content = files.iter().find(|(file, _)| file == name).map(|(_, content)| content.as_slice());
    String::from_utf8_lossy(content.unwrap_or_default()).into_owned()
}
