//! Images of QR codes: their colours, SVG and PNG.

use std::fmt::{self, Write as _};

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError};
use qrcode::{Color as Module, QrCode};

/// The least contrast between a code and its background that readers cope with.
pub(crate) const LEAST_CONTRAST: f64 = 3.0;

/// An opaque colour in sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rgb([u8; 3]);

/// The options of an image. Numbers of modules include no margin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// The width and the height in pixels.
    pub(crate) size: u32,
    /// The modules of background on each side.
    pub(crate) margin: u32,
    pub(crate) color: Rgb,
    /// `None` is transparent.
    pub(crate) background: Option<Rgb>,
}

/// The refusal of an image with less than one pixel for each module.
#[derive(Debug)]
pub(crate) struct TooSmall {
    /// The least size of the image in pixels.
    pub(crate) least: u32,
}

impl Rgb {
    pub(crate) const BLACK: Rgb = Rgb([0; 3]);
    pub(crate) const WHITE: Rgb = Rgb([255; 3]);

    /// Reads three or six hexadecimal digits, with or without `#`.
    pub(crate) fn parse(text: &str) -> Option<Rgb> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let digits: Vec<u8> = digits.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
        match digits[..] {
            [red, green, blue] => Some(Rgb([red * 17, green * 17, blue * 17])),
            [r, ed, g, reen, b, lue] => Some(Rgb([r << 4 | ed, g << 4 | reen, b << 4 | lue])),
            _ => None,
        }
    }

    /// Returns the contrast ratio of two colours, from 1 to 21, as WCAG 2 defines it.
    fn contrast(self, other: Rgb) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Style {
    /// Returns the contrast of the code, which counts against white where the background is transparent.
    pub(crate) fn contrast(&self) -> f64 {
        self.color.contrast(self.background.unwrap_or(Rgb::WHITE))
    }

    /// Draws a code as SVG, with one path whose parts are the runs of dark modules.
    pub(crate) fn svg(&self, code: &QrCode) -> String {
        let mut path = String::new();
        for (y, row) in code.to_colors().chunks(code.width()).enumerate() {
            let y = y + self.margin as usize;
            let mut x = self.margin as usize;
            for run in row.chunk_by(|one, other| one == other) {
                if run[0] == Module::Dark {
                    let _ = write!(path, "M{x} {y}h{0}v1h-{0}z", run.len());
                }
                x += run.len();
            }
        }
        let Style { size, color, .. } = self;
        let side = self.side(code);
        let background = self.background.map_or_else(String::new, |background| {
            format!("<path fill=\"{background}\" d=\"M0 0h{side}v{side}H0z\"/>")
        });
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"{size}\" height=\"{size}\" \
             shape-rendering=\"crispEdges\">{background}<path fill=\"{color}\" d=\"{path}\"/></svg>"
        )
    }

    /// Draws a code as PNG. All modules have the same whole number of pixels; pixels that remain widen the margin.
    ///
    /// # Errors
    /// [`TooSmall`] in the inner result, if a module has less than one pixel.
    pub(crate) fn png(&self, code: &QrCode) -> Result<Result<Vec<u8>, TooSmall>, EncodingError> {
        let side = self.side(code);
        let scale = self.size / side;
        if scale == 0 {
            return Ok(Err(TooSmall { least: side }));
        }
        let before = (self.size - scale * (side - 2 * self.margin)) / 2;
        let mut image = Image::new(self.size);
        for (y, row) in code.to_colors().chunks(code.width()).enumerate() {
            for (x, module) in row.iter().enumerate() {
                if *module == Module::Dark {
                    let corner = |place: usize| before + scale * place as u32;
                    image.fill_square(corner(x), corner(y), scale);
                }
            }
        }
        image.encode(self).map(Ok)
    }

    /// Returns the width of the image in modules.
    fn side(&self, code: &QrCode) -> u32 {
        code.width() as u32 + 2 * self.margin
    }
}

/// A square image with one bit for each pixel, which is 1 in the colour of the code.
struct Image {
    size: u32,
    row_len: usize,
    bits: Vec<u8>,
}

impl Image {
    fn new(size: u32) -> Image {
        let row_len = size.div_ceil(8) as usize;
        Image { size, row_len, bits: vec![0; row_len * size as usize] }
    }

    fn fill_square(&mut self, left: u32, top: u32, side: u32) {
        for y in top..top + side {
            for x in left..left + side {
                self.bits[y as usize * self.row_len + (x / 8) as usize] |= 0x80 >> (x % 8);
            }
        }
    }

    fn encode(&self, style: &Style) -> Result<Vec<u8>, EncodingError> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, self.size, self.size);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(BitDepth::One);
        encoder.set_compression(Compression::Fast);
        encoder.set_palette([style.background.unwrap_or(Rgb::WHITE).0, style.color.0].concat());
        if style.background.is_none() {
            encoder.set_trns(vec![0]);
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.bits)?;
        writer.finish()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use qrcode::EcLevel;

    use super::*;

    fn style(size: u32, margin: u32) -> Style {
        Style { size, margin, color: Rgb::BLACK, background: Some(Rgb::WHITE) }
    }

    #[test]
    fn colour_is_three_or_six_digits_with_or_without_a_sign() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Rgb::parse(text).map(|color| color.to_string()).as_deref(), expected, "{text:?}");
        };
        check("1a2B3c", Some("#1a2b3c"));
        check("#1a2b3c", Some("#1a2b3c"));
        check("f0a", Some("#ff00aa"));
        check("#f0a", Some("#ff00aa"));
        for wrong in ["", "#", "##f0a", "12345", "1234567", "ffff", "red", "12345g", "ääääää", "transparent", "+12345"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        let check = |one: &str, other: &str, expected: f64| {
            let contrast = Rgb::parse(one).unwrap().contrast(Rgb::parse(other).unwrap());
            assert!((contrast - expected).abs() < 0.01, "{one} {other}: {contrast}");
        };
        check("000", "fff", 21.0);
        check("fff", "000", 21.0);
        check("777", "777", 1.0);
        check("767676", "ffffff", 4.54);
        check("0000ff", "ffffff", 8.59);
        check("ffff00", "ffffff", 1.07);
    }

    #[test]
    fn drawn_code_has_a_finder_pattern_in_its_corner() {
        let code = QrCode::with_error_correction_level("https://go.example/Lh1hFP", EcLevel::M).unwrap();
        let svg = style(512, 4).svg(&code);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
        // The pattern is 7 modules wide, then 1 and 1 with 5 of background between them.
        for part in ["M4 4h7v1h-7z", "M4 5h1v1h-1z", "M10 5h1v1h-1z"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn png_with_less_than_a_pixel_for_each_module_is_refused() {
        let code = QrCode::with_error_correction_level("https://go.example/Lh1hFP", EcLevel::M).unwrap();
        let side = code.width() as u32 + 32;
        assert_eq!(style(side - 1, 16).png(&code).unwrap().unwrap_err().least, side);
        assert!(style(side, 16).png(&code).unwrap().is_ok());
    }
}
