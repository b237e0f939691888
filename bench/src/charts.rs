//! SVG charts without a background, in colours that are readable on light and dark pages.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::{Figure, thousands};
use crate::servers::Kind;

const INK: RGBColor = RGBColor(0x80, 0x80, 0x80);
const OTHERS: RGBColor = RGBColor(0x8a, 0x9a, 0xa8);
const OURS: RGBColor = RGBColor(0x2f, 0x8f, 0xd0);
const FONT: &str = "sans-serif";
const WIDTH: u32 = 760;

/// Returns the colour of a server, the same in every chart.
fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Floor => RGBColor(0x8a, 0x8a, 0x8a),
        Kind::MiniHttp => RGBColor(0xb0, 0x7a, 0xd0),
        Kind::Nginx => RGBColor(0x3f, 0xa0, 0x5a),
        Kind::NginxLog => RGBColor(0x8f, 0xb0, 0x30),
        Kind::HaProxy => RGBColor(0xe0, 0x7b, 0x39),
        Kind::Tern => OURS,
        Kind::TernWithoutClicks => RGBColor(0x40, 0xb8, 0xb8),
    }
}

/// Bar chart, with a line from minimum to maximum for each value.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    pub title: &'a str,
    /// Number of decimals.
    pub digits: usize,
    /// Names and figures; Tern's bars have a colour of their own.
    pub bars: Vec<(String, Figure)>,
}

impl Bars<'_> {
    pub fn draw(&self, path: &Path) -> Result<()> {
        const LEFT: i32 = 200;
        const STEP: i32 = 30;
        let height = 50 + STEP * i32::try_from(self.bars.len())?;
        let root = SVGBackend::new(path, (WIDTH, height.unsigned_abs())).into_drawing_area();
        let most = self.bars.iter().map(|(_, figure)| figure.most).fold(f64::MIN_POSITIVE, f64::max);
        let room = f64::from(WIDTH.cast_signed() - LEFT - 90);
        let at = |value: f64| LEFT + (value / most * room) as i32;
        let draw = || -> Result<(), DrawingAreaErrorKind<_>> {
            root.draw(&Text::new(self.title.to_owned(), (10, 16), text(16, HPos::Left)))?;
            for (n, (name, figure)) in (0..).zip(&self.bars) {
                let (top, middle) = (40 + n * STEP, 40 + n * STEP + STEP / 2 - 4);
                let colour = if name.starts_with("Tern") { OURS } else { OTHERS };
                root.draw(&Text::new(name.clone(), (LEFT - 8, middle), text(14, HPos::Right)))?;
                let corners = [(LEFT, top), (at(figure.median), top + STEP - 8)];
                root.draw(&Rectangle::new(corners, colour.filled()))?;
                let spread = [(at(figure.least), middle), (at(figure.most), middle)];
                root.draw(&PathElement::new(spread, INK.stroke_width(2)))?;
                let value = thousands(figure.median, self.digits);
                root.draw(&Text::new(value, (at(figure.most) + 8, middle), text(14, HPos::Left)))?;
            }
            root.present()
        };
        draw().map_err(|error| anyhow!("{}: {error}", self.title))
    }
}

/// Line chart with one line for each server.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    pub title: &'a str,
    pub points: Vec<String>,
    /// Values from the first point on, as many as there are.
    pub lines: Vec<(Kind, Vec<f64>)>,
    /// Whether the scale is logarithmic.
    pub log: bool,
}

impl Lines<'_> {
    pub fn draw(&self, path: &Path) -> Result<()> {
        self.try_draw(path).map_err(|error| anyhow!("{}: {error}", self.title))
    }

    fn try_draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error + '_>> {
        let root = SVGBackend::new(path, (WIDTH, 360)).into_drawing_area();
        root.draw(&Text::new(self.title.to_owned(), (10, 16), text(16, HPos::Left)))?;
        let values = || self.lines.iter().flat_map(|(_, values)| values.iter().copied());
        let most = values().fold(f64::MIN_POSITIVE, f64::max) * if self.log { 1.5 } else { 1.15 };
        let least = if self.log { values().fold(f64::MAX, f64::min) / 1.5 } else { 0.0 };
        let last = self.points.len().saturating_sub(1) as f64;
        let (across, up) = (-0.1..last + 0.1, least..most);
        let mut builder = ChartBuilder::on(&root);
        builder.margin(10).margin_top(36).margin_right(190).x_label_area_size(30).y_label_area_size(70);
        // The two scales have different types.
        if self.log {
            let mut chart = builder.build_cartesian_2d(across, up.log_scale())?;
            self.mesh(&mut chart)?;
            self.series(&mut chart)?;
        } else {
            let mut chart = builder.build_cartesian_2d(across, up)?;
            self.mesh(&mut chart)?;
            self.series(&mut chart)?;
        }
        self.legend(&root)?;
        root.present()?;
        Ok(())
    }

    fn mesh<'c, Y>(
        &self,
        chart: &mut ChartContext<'c, SVGBackend<'c>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    {
        let point = |at: &f64| {
            let near = (at - at.round()).abs() < 1e-6 && *at > -0.5;
            self.points.get(if near { at.round() as usize } else { usize::MAX }).cloned().unwrap_or_default()
        };
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(INK.mix(0.3)).axis_style(INK);
        mesh.x_labels(self.points.len()).y_labels(8).x_label_formatter(&point);
        mesh.y_label_formatter(&|value| thousands(*value, 0)).label_style((FONT, 13).with_color(INK));
        mesh.draw().map_err(|error| error.to_string().into())
    }

    fn series<'c, Y>(
        &self,
        chart: &mut ChartContext<'c, SVGBackend<'c>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        Y: Ranged<ValueType = f64>,
    {
        for (kind, values) in &self.lines {
            let points = || values.iter().enumerate().map(|(at, value)| (at as f64, *value));
            let line = LineSeries::new(points(), colour(*kind).stroke_width(2));
            chart.draw_series(line).map_err(|error| error.to_string())?;
            let dots = points().map(|point| Circle::new(point, 3, colour(*kind).filled()));
            chart.draw_series(dots).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn legend<'c>(
        &self,
        root: &DrawingArea<SVGBackend<'c>, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let left = WIDTH.cast_signed() - 185;
        for (n, (kind, _)) in (0..).zip(&self.lines) {
            let middle = 50 + n * 22;
            let line = PathElement::new([(left, middle), (left + 22, middle)], colour(*kind).stroke_width(3));
            root.draw(&line).map_err(|error| error.to_string())?;
            let name = Text::new(kind.name(), (left + 30, middle), text(14, HPos::Left));
            root.draw(&name).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn text(size: u32, side: HPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK).pos(Pos::new(side, VPos::Center))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_drawn_without_background() {
        let directory = tempfile::tempdir().unwrap();
        let figure = Figure::of([8.0, 9.0, 10.0]).unwrap();
        let bars = vec![("floor".to_owned(), figure), ("Tern, clicks on".to_owned(), figure)];
        let path = directory.path().join("bars.svg");
        Bars { title: "CPU", digits: 1, bars }.draw(&path).unwrap();
        let drawn = std::fs::read_to_string(path).unwrap();
        assert!(drawn.contains("Tern, clicks on") && drawn.contains("9.0"));
        assert!(!drawn.to_uppercase().contains("#FFFFFF"));
        for log in [true, false] {
            let path = directory.path().join("lines.svg");
            let points = ["p50", "p99"].map(str::to_owned).into();
            let lines = vec![(Kind::Floor, vec![10.0, 1_000.0]), (Kind::HaProxy, vec![20.0])];
            Lines { title: "Latency", points, lines, log }.draw(&path).unwrap();
            let drawn = std::fs::read_to_string(path).unwrap();
            assert!(drawn.contains("p50") && drawn.contains("p99") && drawn.contains("HAProxy"));
        }
    }
}
