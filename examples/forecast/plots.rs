//! The pictures: drawn once as SVG by plotters, and turned into PNG with a font that is compiled in.

use crate::failure::{Failure, Result};
use crate::report::{Score, duration};
use crate::series::format_time;
use crate::task::Task;
use crate::train::History;
use plotters::coord::Shift;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};
use std::ops::Range;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Curve = Vec<(f64, f64)>;

const NETWORK: RGBColor = RGBColor(0, 90, 181);
const PERSISTENCE: RGBColor = RGBColor(214, 118, 0);
const SEASONAL: RGBColor = RGBColor(0, 140, 110);
const TRUTH: RGBColor = RGBColor(30, 30, 30);
const GREY: RGBColor = RGBColor(90, 90, 90);

/// A panel: its title and axes, and what it shows.
struct Panel<'p> {
    title: &'p str,
    x: (&'p str, Range<f64>),
    y: (&'p str, Range<f64>),
    /// Colour, width and points of each line, the first at the back.
    lines: Vec<(RGBColor, u32, Curve)>,
    /// A vertical line: the present, or the best epoch.
    mark: Option<f64>,
}

/// Test windows spread evenly over the test part, with truth and forecasts; below them the error by horizon.
pub fn forecast(task: &Task, forecasts: &[Vec<f64>], scores: &[Score]) -> Result<String> {
    let unit = duration(task, 1);
    let hours = task.series.step().map_or(1.0, |step| step as f64 / 3600.0);
    let axis = if task.series.times.is_some() { "hours".to_string() } else { format!("steps ({unit})") };
    picture((1200, 980), |root| {
        let (head, body) = root.split_vertically(64);
        let title = format!("Forecast of {}, {} ahead", task.series.name, duration(task, task.horizon));
        let colours = [NETWORK, PERSISTENCE, SEASONAL];
        let named = scores.iter().zip(colours).map(|(score, colour)| (score.name.as_str(), colour));
        legend(&head, &title, &std::iter::once(("measured", TRUTH)).chain(named).collect::<Vec<_>>())?;

        let (above, below) = body.split_vertically(590);
        let shown = 4.min(task.test.len());
        for (i, area) in above.split_evenly((2, 2)).iter().take(shown).enumerate() {
            let window = task.test.len() * (2 * i + 1) / (2 * shown);
            let origin = task.test[window];
            let curve = |from: usize, values: &[f64]| -> Curve {
                let at = |(k, y): (usize, &f64)| ((from as f64 + k as f64 - origin as f64 + 1.0) * hours, *y);
                values.iter().enumerate().map(at).collect()
            };
            let past = task.horizon.min(task.window);
            // Forecasts begin at the last value seen.
            let ahead = |values: &[f64]| curve(origin - 1, &[&[task.last(origin)], values].concat());
            let lines = vec![
                (SEASONAL, 2, ahead(&task.seasonal_naive(origin))),
                (PERSISTENCE, 2, ahead(&task.persistence(origin))),
                (TRUTH, 2, curve(origin - past, &task.series.values[origin - past..origin + task.horizon])),
                (NETWORK, 3, ahead(&forecasts[window])),
            ];
            let title = match &task.series.times {
                Some(times) => format!("from {} UTC", format_time(times[origin - 1])),
                None => format!("from row {origin}"),
            };
            let x = (1.0 - past as f64) * hours..task.horizon as f64 * hours;
            let y = (task.series.name.as_str(), range_of(&lines, None));
            draw(area, Panel { title: &title, x: (&axis, x), y, lines, mark: Some(0.0) })?;
        }

        let by_step =
            |score: &Score| score.by_step.iter().enumerate().map(|(h, e)| ((h + 1) as f64 * hours, *e)).collect();
        let lines: Vec<_> =
            scores.iter().zip(colours).map(|(score, colour)| (colour, 3, by_step(score))).rev().collect();
        let title = format!("error by horizon, {} test windows", task.test.len());
        let x = (&*format!("{axis} ahead"), hours..(task.horizon as f64 * hours).max(hours * 1.01));
        let y = ("RMSE", range_of(&lines, Some(0.0)));
        draw(&below, Panel { title: &title, x, y, lines, mark: None })
    })
}

/// Training and validation loss by epoch.
pub fn losses(history: &History) -> Result<String> {
    picture((1000, 600), |root| {
        let (head, body) = root.split_vertically(64);
        let entries = [("training", NETWORK), ("validation", SEASONAL), ("validation of persistence", PERSISTENCE)];
        legend(&head, "Loss by epoch", &entries)?;
        let epochs = history.train.len() as f64;
        let curve = |values: &[f64]| values.iter().enumerate().map(|(e, v)| (e as f64 + 1.0, *v)).collect::<Curve>();
        let end = epochs.max(1.5);
        let lines = vec![
            (PERSISTENCE, 2, vec![(1.0, history.persistence), (end, history.persistence)]),
            (NETWORK, 3, curve(&history.train)),
            (SEASONAL, 3, curve(&history.validation)),
        ];
        let best = history.best + 1;
        let title = format!("the weights of epoch {best} are kept");
        let y = ("mean squared error (scaled)", range_of(&lines, None));
        draw(&body, Panel { title: &title, x: ("epoch", 1.0..end), y, lines, mark: Some(best as f64) })
    })
}

/// The SVG text of a drawing.
fn picture(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
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
fn legend(area: &Area<'_>, title: &str, entries: &[(&str, RGBColor)]) -> Result<()> {
    area.draw(&Text::new(title, (20, 10), ("sans-serif", 26).into_font().style(FontStyle::Bold).color(&TRUTH)))
        .map_err(failed)?;
    let mut x = 20;
    for (name, colour) in entries {
        area.draw(&PathElement::new(vec![(x, 53), (x + 30, 53)], colour.stroke_width(4))).map_err(failed)?;
        area.draw(&Text::new(*name, (x + 38, 43), ("sans-serif", 20).into_font().color(&TRUTH))).map_err(failed)?;
        x += 38 + 10 * name.chars().count() as i32 + 24;
    }
    Ok(())
}

fn draw(area: &Area<'_>, panel: Panel<'_>) -> Result<()> {
    let y = panel.y.1.clone();
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 20).into_font().color(&GREY))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(70)
        .build_cartesian_2d(panel.x.1, panel.y.1)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.5))
        .label_style(("sans-serif", 17).into_font().color(&GREY))
        .axis_desc_style(("sans-serif", 18).into_font().color(&GREY))
        .x_desc(panel.x.0)
        .y_desc(panel.y.0)
        .x_labels(10)
        .y_labels(6)
        .draw()
        .map_err(failed)?;
    if let Some(x) = panel.mark {
        let ends = [(x, y.start), (x, y.end)];
        chart.draw_series(DashedLineSeries::new(ends, 6, 5, GREY.stroke_width(1))).map_err(failed)?;
    }
    for (colour, width, points) in panel.lines {
        chart.draw_series(LineSeries::new(points, colour.stroke_width(width))).map_err(failed)?;
    }
    Ok(())
}

/// What all lines cover, with a margin; from `low` on if it is given.
fn range_of(lines: &[(RGBColor, u32, Curve)], low: Option<f64>) -> Range<f64> {
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
