//! Curves as pictures.

use crate::data::refused;
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;
use wengert_autograd::Result;

/// Curves over a common axis, drawn as SVG.
///
/// ```
/// use wengert_train::plot::{Line, Plot};
/// let mut plot = Plot::new("Loss by epoch", "epoch", "loss");
/// plot.lines.push(Line::new("training", [(1.0, 0.9), (2.0, 0.5), (3.0, 0.3)]));
/// plot.lines.push(Line::new("validation", [(1.0, 1.0), (2.0, 0.7), (3.0, 0.8)]).dashed());
/// let svg = plot.svg()?;
/// assert!(svg.contains("Loss by epoch") && svg.contains("validation"));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above the curves.
    pub title: String,
    /// The name of the horizontal axis.
    pub x: String,
    /// The name of the vertical axis.
    pub y: String,
    /// The curves, the first behind the others.
    pub lines: Vec<Line>,
    /// A vertical line with a name.
    pub mark: Option<(f64, String)>,
    /// The range of the vertical axis; without, that of the curves.
    pub range: Option<Range<f64>>,
    log_x: bool,
}

/// A curve of a [`Plot`]. Points that are not finite are left out.
#[derive(Clone, Debug)]
pub struct Line {
    /// The name in the legend.
    pub name: String,
    /// The points, in order.
    pub points: Vec<(f64, f64)>,
    dashed: bool,
    colour: Option<usize>,
}

impl Line {
    /// A curve through points.
    pub fn new(name: impl Into<String>, points: impl Into<Vec<(f64, f64)>>) -> Line {
        Line { name: name.into(), points: points.into(), dashed: false, colour: None }
    }

    /// Drawn with dashes.
    pub fn dashed(self) -> Line {
        Line { dashed: true, ..self }
    }

    /// In one of six colours by its number; without, the number of the line.
    pub fn colour(self, colour: usize) -> Line {
        Line { colour: Some(colour), ..self }
    }
}

/// Okabe and Ito's colours, which the colour-blind tell apart.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];
const TEXT: RGBColor = RGBColor(40, 40, 40);
const SIZE: (u32, u32) = (900, 540);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Plot {
    /// A plot without curves.
    pub fn new(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Plot {
        let (title, x, y) = (title.into(), x.into(), y.into());
        Plot { title, x, y, lines: Vec::new(), mark: None, range: None, log_x: false }
    }

    /// With a logarithmic horizontal axis.
    pub fn log_x(self) -> Plot {
        Plot { log_x: true, ..self }
    }

    /// The picture as the text of an SVG file. It names a sans-serif font, and holds none.
    ///
    /// # Errors
    /// If no curve has a point to draw.
    #[track_caller]
    pub fn svg(&self) -> Result<String> {
        let visible = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!self.log_x || *x > 0.0);
        let points: Vec<(f64, f64)> =
            self.lines.iter().flat_map(|line| &line.points).copied().filter(visible).collect();
        if points.is_empty() {
            let found = format!("'{}' has no finite point to draw", self.title);
            return Err(refused("Plot", found, "give at least one line with a point"));
        }
        let bounds = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let x = bounds(&mut points.iter().map(|(x, _)| *x));
        let (low, high) = bounds(&mut points.iter().map(|(_, y)| *y));
        let margin = if high > low { 0.05 * (high - low) } else { 1.0 };
        // Above the curves there is room for the legend.
        let legend = 0.055 * (self.lines.len() + self.mark.iter().len()) as f64;
        let y = self.range.clone().unwrap_or(low - margin..high + margin + legend * (high - low));
        let mut svg = String::new();
        let drawn = {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let x_end = if x.1 > x.0 { x.1 } else { x.0 + x.0.abs().max(1.0) };
            self.draw(&root, x.0..x_end, y, &visible).and_then(|()| root.present().map_err(|e| e.to_string()))
        };
        match drawn {
            Ok(()) => Ok(svg),
            Err(problem) => Err(refused("Plot", problem, "")),
        }
    }

    fn draw(
        &self,
        root: &Area<'_>,
        x: Range<f64>,
        y: Range<f64>,
        visible: &dyn Fn(&(f64, f64)) -> bool,
    ) -> Result<(), String> {
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        let mut builder = ChartBuilder::on(root);
        builder.caption(&self.title, ("sans-serif", 22).into_font().color(&TEXT)).margin(12).margin_right(28);
        builder.x_label_area_size(48).y_label_area_size(70);
        if self.log_x {
            let chart = builder.build_cartesian_2d(x.log_scale(), y.clone()).map_err(|e| e.to_string())?;
            self.fill(chart, y, &|x| format!("{x:.0e}"), visible)
        } else {
            let chart = builder.build_cartesian_2d(x, y.clone()).map_err(|e| e.to_string())?;
            self.fill(chart, y, &|x| format!("{}", (x * 1e6).round() / 1e6), visible)
        }
    }

    fn fill<'a, X: Ranged<ValueType = f64> + ValueFormatter<f64>>(
        &self,
        mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, RangedCoordf64>>,
        y: Range<f64>,
        label: &dyn Fn(&f64) -> String,
        visible: &dyn Fn(&(f64, f64)) -> bool,
    ) -> Result<(), String> {
        let text = |size: i32| ("sans-serif", size).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(BLACK.mix(0.5))
            .label_style(text(15))
            .axis_desc_style(text(17))
            .x_desc(&*self.x)
            .y_desc(&*self.y)
            .x_label_formatter(label)
            .draw()
            .map_err(|e| e.to_string())?;
        for (i, line) in self.lines.iter().enumerate() {
            let style = COLOURS[line.colour.unwrap_or(i) % COLOURS.len()].stroke_width(2);
            let points: Vec<(f64, f64)> = line.points.iter().copied().filter(visible).collect();
            let series = match line.dashed {
                true => chart.draw_series(DashedLineSeries::new(points, 7, 5, style)),
                false => chart.draw_series(LineSeries::new(points, style)),
            };
            let key = move |(x, y): (i32, i32)| PathElement::new(vec![(x, y), (x + 22, y)], style);
            series.map_err(|e| e.to_string())?.label(&*line.name).legend(key);
        }
        if let Some((x, name)) = &self.mark {
            let style = TEXT.stroke_width(1);
            let ends = [(*x, y.start), (*x, y.end)];
            let key = move |(x, y): (i32, i32)| PathElement::new(vec![(x + 11, y - 6), (x + 11, y + 6)], style);
            let series = chart.draw_series(DashedLineSeries::new(ends, 3, 4, style)).map_err(|e| e.to_string())?;
            series.label(&**name).legend(key);
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .label_font(text(15))
            .draw()
            .map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_drawn_is_drawn() {
        let mut plot = Plot::new("a < b", "x", "y").log_x();
        assert!(plot.svg().unwrap_err().to_string().contains("'a < b' has no finite point"));
        plot.lines.push(Line::new("none", [(0.0, 1.0), (1.0, f64::NAN)]));
        assert!(plot.svg().is_err());
        plot.lines.push(Line::new("one", [(1.0, 1.0), (f64::INFINITY, 1.0)]));
        assert!(plot.svg().unwrap().contains("a &lt; b"));
        plot.lines.push(Line::new("two", [(1e-6, -1.0), (0.1, 7.0)]).dashed().colour(3));
        plot.mark = Some((1e-3, "here".into()));
        assert!(plot.svg().unwrap().contains("here"));
    }
}
