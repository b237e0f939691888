//! The QR code of a link, as an image.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use qrcode::{Color, EcLevel, QrCode};
use serde::Deserialize;
use tern_common::Id;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::http::error::{Result, internal};
use crate::http::query::{PathId, Query};
use crate::resources::shown_url::ShortOrigin;
use crate::row;
use crate::state::AppState;

/// The modules of white around a code that readers need.
const QUIET: usize = 4;

/// The options of a QR code
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct QrOptions {
    /// Whether the code contains `short_url` and `?qr`, so that its clicks have the source `qr`
    track: Option<bool>,
}

/// The QR code of a link
///
/// It contains `short_url`, and is drawn in black on white with a quiet zone.
#[utoipa::path(
    get,
    path = "/urls/{id}/qr.svg",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id"), QrOptions),
    responses((
        status = 200,
        body = String,
        content_type = "image/svg+xml",
        description = "The code as SVG",
        example = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"
    ))
)]
pub(crate) async fn show_qr(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    Query(options): Query<QrOptions>,
    origin: ShortOrigin,
) -> Result<impl IntoResponse> {
    let link = row::own(state.store.find_url(id).await?, id, &caller)?;
    let mut address = origin.address(&link);
    if options.track == Some(true) {
        address.push_str("?qr");
    }
    // An address has at most some hundred bytes, so only a defect makes it too long for a code.
    let code = QrCode::with_error_correction_level(address, EcLevel::M).map_err(internal)?;
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    Ok((headers, draw(&code)))
}

/// Draws a code with one path, whose parts are the rows of dark modules.
fn draw(code: &QrCode) -> String {
    let width = code.width();
    let size = width + 2 * QUIET;
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|one, other| one == other) {
            if run[0] == Color::Dark {
                let _ = write!(path, "M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, run.len(), run.len());
            }
            x += run.len();
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" width=\"{0}\" height=\"{0}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/><path d=\"{path}\"/></svg>",
        size * 8
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_code_has_a_finder_pattern_in_its_corner() {
        let code = QrCode::with_error_correction_level("https://go.example/Lh1hFP", EcLevel::M).unwrap();
        let svg = draw(&code);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        // The pattern is 7 modules wide, then 1 and 1 with 5 of white between them.
        for part in ["M4 4h7v1h-7z", "M4 5h1v1h-1z", "M10 5h1v1h-1z"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }
}
