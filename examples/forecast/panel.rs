//! How a picture is drawn: once as SVG by plotters, which resvg turns into PNG with a font that is compiled in.

use crate::failure::{Failure, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};
use std::ops::Range;

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type Curve = Vec<(f64, f64)>;

const TEXT: RGBColor = RGBColor(30, 30, 30);
const GREY: RGBColor = RGBColor(90, 90, 90);

/// A panel: its title and axes, and what it shows.
pub struct Panel<'p> {
    pub title: &'p str,
    /// Label, range, and the distance of the ticks.
    pub x: (&'p str, Range<f64>, f64),
    pub y: (&'p str, Range<f64>),
    /// Colour, width and points of each line, the first at the back.
    pub lines: Vec<(RGBColor, u32, Curve)>,
    /// A vertical line: the present, or the best epoch.
    pub mark: Option<f64>,
}

/// The SVG text of a drawing.
pub fn picture(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        draw(&root)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// The title, and below it one stroke and name for each line.
pub fn legend(area: &Area<'_>, title: &str, entries: &[(&str, RGBColor)]) -> Result<()> {
    area.draw(&Text::new(title, (20, 10), ("sans-serif", 26).into_font().style(FontStyle::Bold).color(&TEXT)))
        .map_err(failed)?;
    let mut x = 20;
    for (name, colour) in entries {
        area.draw(&PathElement::new(vec![(x, 53), (x + 30, 53)], colour.stroke_width(4))).map_err(failed)?;
        area.draw(&Text::new(*name, (x + 38, 43), ("sans-serif", 20).into_font().color(&TEXT))).map_err(failed)?;
        x += 240;
    }
    Ok(())
}

/// Draws a panel over the whole area.
pub fn draw(area: &Area<'_>, panel: Panel<'_>) -> Result<()> {
    let ((x_label, x, tick), (y_label, y)) = (panel.x, panel.y);
    let ends = (y.start, y.end);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 20).into_font().color(&GREY))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(70)
        .build_cartesian_2d(Ticks { range: x, tick }, y)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.5))
        .label_style(("sans-serif", 17).into_font().color(&GREY))
        .axis_desc_style(("sans-serif", 18).into_font().color(&GREY))
        .x_desc(x_label)
        .y_desc(y_label)
        .x_label_formatter(&|x| format!("{}", (x * 100.0).round() / 100.0))
        .y_labels(6)
        .draw()
        .map_err(failed)?;
    if let Some(x) = panel.mark {
        let ends = [(x, ends.0), (x, ends.1)];
        chart.draw_series(DashedLineSeries::new(ends, 6, 5, GREY.stroke_width(1))).map_err(failed)?;
    }
    for (colour, width, points) in panel.lines {
        chart.draw_series(LineSeries::new(points, colour.stroke_width(width))).map_err(failed)?;
    }
    Ok(())
}

/// An axis with ticks at the multiples of a number.
struct Ticks {
    range: Range<f64>,
    tick: f64,
}

impl Ranged for Ticks {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range.clone()).map(value, limit)
    }
    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let first = (self.range.start / self.tick).ceil() as i64;
        (first..).map(|k| k as f64 * self.tick).take_while(|x| *x <= self.range.end).collect()
    }
    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// What all lines cover, with a margin; from `low` on if it is given.
pub fn range_of(lines: &[(RGBColor, u32, Curve)], low: Option<f64>) -> Range<f64> {
    let values = || lines.iter().flat_map(|(_, _, points)| points.iter().map(|(_, y)| *y));
    let (min, max) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let margin = if max > min { 0.06 * (max - min) } else { 1.0 };
    low.unwrap_or(min - margin)..max + margin
}

/// The picture as PNG, two pixels for each unit of the SVG. Text is set in Noto Sans whatever fonts the machine has.
pub fn png(svg: &str) -> Result<Vec<u8>> {
    let mut options = usvg::Options { font_family: "Noto Sans".into(), ..Default::default() };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(ttf_noto_sans::REGULAR.to_vec());
    fonts.load_font_data(ttf_noto_sans::BOLD.to_vec());
    fonts.set_sans_serif_family("Noto Sans");
    let tree = usvg::Tree::from_str(svg, &options).map_err(failed)?;
    let size = tree.size().to_int_size().scale_by(2.0).ok_or_else(|| failed("the picture is empty"))?;
    let mut pixels =
        tiny_skia::Pixmap::new(size.width(), size.height()).ok_or_else(|| failed("the picture is empty"))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(2.0, 2.0), &mut pixels.as_mut());
    pixels.encode_png().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("cannot draw the picture: {error}"))
}
