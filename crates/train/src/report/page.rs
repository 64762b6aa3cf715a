//! The page: a template, and the data as JSON inside of it.

use super::map::Map;
use super::strange::Strange;
use super::{Report, environment, gate};
use crate::log::escaped;

const TEMPLATE: &str = include_str!("report.html");
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

pub(super) fn html(report: &Report) -> String {
    let title = report.title.replace('&', "&amp;").replace('<', "&lt;");
    // In a script element only `<` can end it or begin a comment; in JSON it stands in texts alone.
    let data = json(report).replace('<', "\\u003c");
    // Text and the names of what is put in, in turns. What was put in is not looked at again.
    let piece = |(number, piece): (usize, &'static str)| match (number % 2, piece) {
        (0, text) => text.to_string(),
        (_, "title") => title.clone(),
        (_, "style") => STYLE.into(),
        (_, "script") => SCRIPT.into(),
        _ => data.clone(),
    };
    TEMPLATE.split("@@").enumerate().map(piece).collect()
}

fn json(report: &Report) -> String {
    let mut about = vec![("begun".to_string(), report.begun.clone()), ("written".into(), environment::now())];
    about.extend(environment::environment());
    let pairs = |all: &[(String, String)]| list(all, |(name, value)| list(&[name, value], |text| quoted(text)));
    let equations =
        |(title, lines): &(&str, Vec<(String, String)>)| object(&[("title", quoted(title)), ("lines", pairs(lines))]);
    let strange = report.curves.iter().map(|curve| (curve.name.clone(), &curve.strange));
    let strange = strange.chain(report.flow.iter().map(|map| (format!("∂L/∂{}", map.name), &map.strange)));
    let strange = strange.chain(report.gates.iter().map(|gate| (format!("gate {}", gate.map.name), &gate.map.strange)));
    let strange: Vec<(String, &Strange)> = strange.filter(|(_, strange)| strange.count > 0).collect();
    object(&[
        ("about", pairs(&about)),
        ("settings", pairs(&report.settings)),
        ("model", list(&report.model, |row| list(row, |text| quoted(text)))),
        ("equations", list(&report.equations, equations)),
        ("notes", list(&report.notes, |note| quoted(note))),
        ("charts", charts(report)),
        ("flow", list(&report.flow, |map| object(&columns(map, map.per_row(), 0)))),
        (
            "gates",
            list(&report.gates, |gate| {
                let mut all = columns(&gate.map, 1, if gate.signed { 0 } else { gate::BINS / 2 });
                all.push(("outside", gate.outside.to_string()));
                object(&all)
            }),
        ),
        (
            "strange",
            list(&strange, |(name, strange)| {
                let first = list(&strange.first, |(step, value)| {
                    list(&[step.to_string(), quoted(&value.to_string())], String::clone)
                });
                object(&[("name", quoted(name)), ("count", strange.count.to_string()), ("first", first)])
            }),
        ),
    ])
}

/// Curves by charts: the part of a name before the slash.
fn charts(report: &Report) -> String {
    let mut charts: Vec<(&str, Vec<String>)> = Vec::new();
    for curve in &report.curves {
        let (chart, name) = curve.name.split_once('/').unwrap_or((&curve.name, ""));
        let points = list(&curve.points, |point| match point.drawn() {
            (x, None) => format!("[{x}]"),
            (x, Some([y, ..])) if point.values == 1 => format!("[{x},{}]", number(y)),
            (x, Some([y, low, high])) => format!("[{x},{},{},{}]", number(y), number(low), number(high)),
        });
        let drawn = object(&[("name", quoted(name)), ("per", curve.per.to_string()), ("points", points)]);
        super::place(&mut charts, |(known, _)| *known == chart, || (chart, Vec::new())).1.push(drawn);
    }
    list(&charts, |(title, curves)| object(&[("title", quoted(title)), ("curves", list(curves, String::clone))]))
}

/// A map's columns, from a row on.
fn columns(map: &Map, per_row: usize, from: usize) -> Vec<(&'static str, String)> {
    let values = |(_, values): &(u64, Vec<f64>)| {
        list(&Map::rows(&values[from..], per_row).collect::<Vec<_>>(), |value| number(*value))
    };
    vec![
        ("name", quoted(&map.name)),
        ("every", map.every.to_string()),
        ("perRow", per_row.to_string()),
        ("steps", list(&map.columns, |(step, _)| step.to_string())),
        ("columns", list(&map.columns, values)),
    ]
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn list<T>(all: &[T], write: impl FnMut(&T) -> String) -> String {
    format!("[{}]", all.iter().map(write).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// A number with six digits, of which there are many; what is not finite is null.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if value.is_finite() => format!("{value:.5e}"),
        _ => "null".into(),
    }
}
