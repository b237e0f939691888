//! The command `qr`.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::api::{Api, Parameters};
use crate::failure::{Failure, Kind};
use crate::link::Link;
use crate::output::{Output, printable, warn};

/// The escape sequences for black on white, and for the colours of the terminal.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

#[derive(Debug, Args)]
pub(crate) struct Qr {
    /// Short code or short URL of the link
    code: String,
    /// File to write; its end, .svg or .png, is the format unless --format is given. Without a file, the code is drawn on a
    /// terminal, or the image is written to a pipe
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Format of the image
    #[arg(short, long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(["svg", "png"]))]
    format: Option<String>,
    /// Width and height in pixels, 64 to 2048
    #[arg(short, long, value_name = "PIXELS")]
    size: Option<u32>,
    /// Empty modules around the code, 0 to 16
    #[arg(short, long, value_name = "MODULES")]
    margin: Option<u32>,
    /// Level of error correction
    #[arg(short, long, value_name = "LEVEL", default_value = "M", ignore_case = true,
          value_parser = PossibleValuesParser::new(["L", "M", "Q", "H"]))]
    level: String,
    /// Colour of the code, such as 1a2b3c
    #[arg(long, value_name = "COLOUR")]
    color: Option<String>,
    /// Colour of the background, or transparent
    #[arg(long, value_name = "COLOUR")]
    background: Option<String>,
    /// Mark scans, so that their clicks have the source qr
    #[arg(short, long)]
    track: bool,
    /// Draw the code even if its colours have too little contrast
    #[arg(long)]
    force: bool,
}

impl Qr {
    pub(crate) fn run(&self, api: &Api<'_>, output: &mut Output) -> Result<(), Failure> {
        let link = Link::find(api, &self.code)?;
        if let (None, None, Some(width)) = (&self.output, &self.format, output.width) {
            return self.draw(&link, width, output);
        }
        if let (None, Some(_)) = (&self.output, output.width) {
            return Err(Failure::new(Kind::Refused, "a terminal shows no image; name a file with --output"));
        }
        let image = api.get(&self.path(&link)?)?.bytes;
        match &self.output {
            Some(file) => {
                fs::write(file, image).map_err(|error| {
                    Failure::new(Kind::Other, format!("{} cannot be written: {error}", file.display()))
                })?;
                warn(&format!("{} has the code of {}", file.display(), printable(link.short_url())));
                Ok(())
            }
            None => {
                output.bytes(&image)?;
                output.finish()
            }
        }
    }

    /// Returns the path of the image in the API.
    fn path(&self, link: &Link) -> Result<String, Failure> {
        let mut parameters = Parameters::default();
        parameters.add("format", self.format()?);
        parameters.add_all("size", self.size);
        parameters.add_all("margin", self.margin);
        parameters.add("level", self.level.to_uppercase());
        parameters.add_all("color", &self.color);
        parameters.add_all("background", &self.background);
        for (name, _) in [("track", self.track), ("force", self.force)].into_iter().filter(|(_, is_set)| *is_set) {
            parameters.add(name, true);
        }
        Ok(parameters.path(&format!("{}/qr", link.path())))
    }

    fn format(&self) -> Result<&str, Failure> {
        let Some(file) = self.output.as_ref().filter(|_| self.format.is_none()) else {
            return Ok(self.format.as_deref().unwrap_or("svg"));
        };
        match file.extension().and_then(|end| end.to_str()).map(str::to_lowercase).as_deref() {
            Some("svg") => Ok("svg"),
            Some("png") => Ok("png"),
            _ => Err(Failure::new(
                Kind::Refused,
                format!("{} ends neither with .svg nor with .png; name the format with --format", file.display()),
            )),
        }
    }

    /// Draws the code on a terminal, with two modules in each character.
    fn draw(&self, link: &Link, width: usize, output: &mut Output) -> Result<(), Failure> {
        let address = format!("{}{}", link.short_url(), if self.track { "?qr" } else { "" });
        let level = match self.level.to_uppercase().as_str() {
            "L" => EcLevel::L,
            "Q" => EcLevel::Q,
            "H" => EcLevel::H,
            _ => EcLevel::M,
        };
        let code = QrCode::with_error_correction_level(&address, level)
            .map_err(|error| Failure::new(Kind::Refused, format!("the code cannot be drawn: {error}")))?;
        let columns = code.width() + 8;
        if columns > width {
            return Err(Failure::new(
                Kind::Refused,
                format!("the code needs {columns} columns, and the terminal has {width}; name a file with --output"),
            ));
        }
        let drawn = code.render::<Dense1x2>().build();
        for line in drawn.lines() {
            output.line(&format!("{BLACK_ON_WHITE}{line}{RESET}"))?;
        }
        output.line(&printable(&address))?;
        output.finish()
    }
}
