//! Programs as text.

use crate::program::{Instruction, ProgramView};
use std::fmt;

/// A number with three digits and a prefix of the metric system.
fn metric(value: u64, unit: &str) -> String {
    let mut value = value as f64;
    let mut prefixes = ["", "k", "M", "G", "T"].iter();
    let mut prefix = prefixes.next().unwrap_or(&"");
    while value >= 999.5 {
        let Some(next) = prefixes.next() else { break };
        value /= 1000.0;
        prefix = next;
    }
    let digits = if prefix.is_empty() || value >= 99.5 { 0 } else { 1 };
    format!("{value:.digits$} {prefix}{unit}")
}

/// A list of values, cut after the first few.
fn list(values: &[&str], most: usize) -> String {
    let more = if values.len() > most { ", .." } else { "" };
    values[..values.len().min(most)].join(", ") + more
}

/// `%5 'c' = fused 3(%1, %2) [2, 3]`, with at most so many values on each side.
fn assignment(instruction: &Instruction, most: usize) -> String {
    let operations = &instruction.operations;
    let Some(last) = operations.last() else { return instruction.kind.to_string() };
    if let Some(steps) = instruction.steps {
        return format!("loop of {steps} steps: {}", last.value);
    }
    let inside = |text: &String| operations.iter().any(|op| op.value == *text && op.inputs != [text.clone()]);
    let mut inputs: Vec<&str> = Vec::new();
    for input in operations.iter().flat_map(|op| &op.inputs) {
        if !inside(input) && !inputs.contains(&input.as_str()) {
            inputs.push(input);
        }
    }
    let mut results: Vec<&str> = operations.iter().filter(|op| op.stored).map(|op| op.value.as_str()).collect();
    results.dedup();
    let (results, inputs) = (list(&results, most), list(&inputs, most));
    match instruction.kind {
        "elementwise" if operations.len() > 1 => {
            format!("{results} = fused {}({inputs}) {}", operations.len(), last.shape)
        }
        "copy" => format!("copy of {} for {} {results}", instruction.copied.as_deref().unwrap_or(&inputs), last.name),
        _ => format!("{results} = {}({inputs}) {}", last.name, last.shape),
    }
}

impl fmt::Display for ProgramView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = self.instructions.iter().filter(|i| i.place.contains('.')).count();
        writeln!(
            f,
            "program: {} instructions, {inside} of them in loops; {}, {} read, {} written; arena {}, results {}",
            self.instructions.len(),
            metric(self.flops(), "FLOP"),
            metric(self.bytes_read(), "B"),
            metric(self.bytes_written(), "B"),
            metric(self.arena_bytes as u64, "B"),
            metric(self.output_bytes as u64, "B")
        )?;
        const MOST: usize = 3;
        let texts: Vec<String> = self.instructions.iter().map(|i| assignment(i, MOST)).collect();
        let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        for (instruction, text) in self.instructions.iter().zip(&texts) {
            let indent = "  ".repeat(instruction.place.matches('.').count());
            let mut passes: Vec<String> = instruction.operations.iter().map(|op| op.pass.to_string()).collect();
            passes.sort_unstable_by(|a, b| b.cmp(a));
            passes.dedup();
            let mut marks = vec![passes.join("+")];
            if instruction.calls > 1 {
                marks.push(format!("×{}", instruction.calls));
            }
            if instruction.left_loop {
                marks.push("left its loop".into());
            }
            if instruction.packed {
                marks.push("packed".into());
            }
            let lines = lines(instruction);
            writeln!(
                f,
                "{:<6} {indent}{text:<width$} {:>11} {:>10} {:>10}  {}  {lines}",
                instruction.place,
                metric(instruction.flops, "FLOP"),
                metric(instruction.bytes_read, "B"),
                metric(instruction.bytes_written, "B"),
                marks.join(", ")
            )?;
            if f.alternate() && instruction.kind == "elementwise" {
                for op in &instruction.operations {
                    let (value, at) = (&op.value, op.at);
                    let kept = if op.stored { "" } else { "  (not stored)" };
                    let inputs = op.inputs.join(", ");
                    writeln!(f, "       {indent}  {value} = {}({inputs}){kept}  {}:{}", op.name, at.file(), at.line())?;
                }
            }
        }
        Ok(())
    }
}

/// The lines of source an instruction comes from: `a.rs:3, 4 b.rs:7`.
fn lines(instruction: &Instruction) -> String {
    let mut places: Vec<(&str, Vec<u32>)> = Vec::new();
    for op in &instruction.operations {
        let (file, line) = (op.at.file(), op.at.line());
        match places.iter_mut().find(|(known, _)| *known == file) {
            Some((_, lines)) if lines.contains(&line) => {}
            Some((_, lines)) => lines.push(line),
            None => places.push((file, vec![line])),
        }
    }
    let text = |(file, lines): &(&str, Vec<u32>)| {
        format!("{file}:{}", lines.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
    };
    places.iter().map(text).collect::<Vec<_>>().join(" ")
}
