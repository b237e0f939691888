//! The QR code of a link, as an image.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use qrcode::types::QrError;
use qrcode::{EcLevel, QrCode};
use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest, Sha256};
use tern_common::Id;
use tern_common::json::SourceText;
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::http::conditions::names_tag;
use crate::http::error::{Result, bad_request, internal};
use crate::http::query::{PathId, Query, Within};
use crate::qr_image::{LEAST_CONTRAST, Rgb, Style, TooSmall};
use crate::resources::shown_url::ShortOrigin;
use crate::row;
use crate::state::AppState;

const DEFAULT_SIZE: u32 = 512;

/// The margin that the standard demands.
const DEFAULT_MARGIN: u32 = 4;

/// The options of a QR code
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct QrOptions {
    /// The encoding of the image; `svg` unless given
    #[param(inline)]
    format: Option<ImageFormat>,
    /// The width and the height of the image in pixels
    #[param(value_type = Option<u32>, minimum = 64, maximum = 2048, default = 512, example = 1024)]
    size: Option<Within<64, 2048>>,
    /// The empty modules around the code; readers need 4 unless the surroundings are empty
    #[param(value_type = Option<u32>, minimum = 0, maximum = 16, default = 4, example = 2)]
    margin: Option<Within<0, 16>>,
    /// The part of the code that may be damaged or covered: 7 % (`L`), 15 % (`M`, unless given), 25 % (`Q`), 30 % (`H`)
    #[param(inline)]
    level: Option<Level>,
    /// The colour of the code: three or six hexadecimal digits, with or without `#`
    #[param(value_type = Option<String>, pattern = "^#?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$", default = "000000", example = "1a2b3c")]
    color: Option<Paint>,
    /// The colour of the background, or `transparent`
    #[param(value_type = Option<String>, pattern = "^(#?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})|transparent)$", default = "ffffff", example = "transparent")]
    background: Option<Background>,
    /// Whether browsers store the image as a file, which has the name of the short code
    #[param(default = false)]
    download: Option<bool>,
    /// Whether the code contains `short_url` and `?qr`, so that its clicks have the source `qr`
    #[param(default = false)]
    track: Option<bool>,
    /// Whether the code is drawn even if `color` and `background` have a contrast of less than 3:1
    #[param(default = false)]
    force: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ImageFormat {
    #[default]
    Svg,
    Png,
}

/// The level of error correction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
enum Level {
    L,
    #[default]
    M,
    Q,
    H,
}

#[derive(Clone, Copy, Debug)]
struct Paint(Rgb);

/// The colour behind a code; `None` is transparent.
#[derive(Clone, Copy, Debug)]
struct Background(Option<Rgb>);

impl<'de> Deserialize<'de> for Paint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Paint, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        let refuse = || de::Error::custom("must be three or six hexadecimal digits, such as 1a2b3c");
        Rgb::parse(text).map(Paint).ok_or_else(refuse)
    }
}

impl<'de> Deserialize<'de> for Background {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Background, D::Error> {
        let SourceText(text) = SourceText::deserialize(deserializer)?;
        let refuse = || de::Error::custom("must be three or six hexadecimal digits, such as 1a2b3c, or transparent");
        if text == "transparent" {
            Ok(Background(None))
        } else {
            Ok(Background(Some(Rgb::parse(text).ok_or_else(refuse)?)))
        }
    }
}

impl QrOptions {
    /// # Errors
    /// A 400 for a contrast that readers do not cope with.
    fn style(&self) -> Result<Style> {
        let style = Style {
            size: self.size.map_or(DEFAULT_SIZE, |Within(size)| size),
            margin: self.margin.map_or(DEFAULT_MARGIN, |Within(margin)| margin),
            color: self.color.map_or(Rgb::BLACK, |Paint(color)| color),
            background: self.background.map_or(Some(Rgb::WHITE), |Background(color)| color),
        };
        let contrast = style.contrast();
        if contrast < LEAST_CONTRAST && self.force != Some(true) {
            // Rounded down, so that a refused contrast never reads as a sufficient one.
            let shown = (contrast * 10.0).floor() / 10.0;
            let against = if style.background.is_some() { "background" } else { "a white background" };
            return Err(bad_request(format!(
                "color has a contrast of {shown:.1}:1 to {against}, and readers need {LEAST_CONTRAST}:1; choose other \
                 colours, or draw the code anyway with force=1"
            )));
        }
        Ok(style)
    }

    fn encode(&self, address: &str) -> Result<QrCode> {
        let level = match self.level.unwrap_or_default() {
            Level::L => EcLevel::L,
            Level::M => EcLevel::M,
            Level::Q => EcLevel::Q,
            Level::H => EcLevel::H,
        };
        QrCode::with_error_correction_level(address, level).map_err(|error| match error {
            QrError::DataTooLong => bad_request("level is too high for so long an address; choose a lower one"),
            error => internal(error),
        })
    }

    /// Draws the image, and returns its type and its bytes.
    fn draw(&self, address: &str) -> Result<(&'static str, Vec<u8>)> {
        let style = self.style()?;
        let code = self.encode(address)?;
        match self.format.unwrap_or_default() {
            ImageFormat::Svg => Ok(("image/svg+xml", style.svg(&code).into_bytes())),
            ImageFormat::Png => match style.png(&code).map_err(internal)? {
                Ok(image) => Ok(("image/png", image)),
                Err(TooSmall { least }) => {
                    Err(bad_request(format!("size must be at least {least} for this code, which has as many modules")))
                }
            },
        }
    }
}

/// The QR code of a link
///
/// It contains `short_url`. A PNG has exactly `size` pixels each way, and modules of equal size.
#[utoipa::path(
    get,
    path = "/urls/{id}/qr",
    tag = "links",
    params(("id" = Id, Path, description = "The link's id"), QrOptions),
    responses(
        (
            status = 200,
            description = "The code as an image",
            headers(("ETag")),
            content(
                (String = "image/svg+xml", example = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
                (String = "image/png", example = "PNG"),
            )
        ),
        (status = 304, description = "The image has the entity tag of `If-None-Match`", headers(("ETag"))),
    )
)]
pub(crate) async fn show_qr(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    Query(options): Query<QrOptions>,
    headers: HeaderMap,
    origin: ShortOrigin,
) -> Result<Response> {
    let link = row::own(state.store.find_url(id).await?, id, &caller)?;
    let mut address = origin.address(&link);
    if options.track == Some(true) {
        address.push_str("?qr");
    }
    let (media_type, image) = options.draw(&address)?;
    let etag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&image)[..12]));
    // The image changes with `PUBLIC_URL` and with versions of Tern, so a browser asks each time.
    let caching = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if names_tag(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let about = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    let extension = if media_type == "image/png" { "png" } else { "svg" };
    let name = format!("attachment; filename=\"{}.{extension}\"", link.short_code);
    let download = (options.download == Some(true)).then_some([(header::CONTENT_DISPOSITION, name)]);
    Ok((caching, about, download, image).into_response())
}
