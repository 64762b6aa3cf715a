//! Wrong derivatives that look like something: the patterns of common mistakes.

use super::compare::{Block, Names};
use super::index;
use crate::shape::Shape;

/// What the pattern of the wrong entries by `input` looks like. Says nothing where there is one entry only to look at, or
/// no pattern.
pub(super) fn of(blocks: &[Block], input: usize, names: &Names<'_>) -> Option<String> {
    let block = blocks.iter().filter(|b| b.input == input).max_by_key(|b| b.failed())?;
    let (output, wrt) = block.shapes.as_ref()?;
    let name = &names.inputs[input];
    if block.numeric.iter().any(|x| !x.is_finite()) {
        return Some("the function or its derivative is not finite there: sample within its domain".into());
    }
    if block.analytic.iter().any(|x| !x.is_finite()) {
        let infinite = "an infinite factor that meets a zero: use select, which does not multiply, on the way to it";
        return Some(format!(
            "the derivative by {name} is not finite where the function is smooth; look for {infinite}"
        ));
    }
    if block.analytic.iter().all(|x| *x == 0.0) {
        return Some(format!(
            "no derivative reaches {name}: look for a detach, a cast to integers, or a rule that forgets it"
        ));
    }
    if let Some(factor) = factor(block).filter(|_| block.numeric.len() > 1) {
        return Some(match factor {
            -1.0 => "every entry has the wrong sign".into(),
            _ => {
                let mean = output.iter().chain(wrt.iter()).find(|n| **n > 1 && close(factor * **n as f64, 1.0));
                let mean = mean.map_or(String::new(), |n| format!(" (1/{n}: a mean where a sum belongs?)"));
                format!("every entry is {} times what it should be: a constant factor is wrong{mean}", short(factor))
            }
        });
    }
    swapped(blocks, block, names)
        .or_else(|| transposed(block, output, wrt))
        .or_else(|| shifted(block, wrt))
        .or_else(|| by_sign(block, &names.values[input], name))
        .or_else(|| missing_rows(block, output))
        .or_else(|| one_place(block, wrt, name))
}

/// Equal to the accuracy of differences.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * a.abs().max(b.abs()) + 1e-5
}

/// Whether `analytic[i] = numeric[of(i)]` wherever `of` is defined, in at least two different entries.
fn equals(block: &Block, of: impl Fn(usize) -> Option<usize>) -> bool {
    let pairs: Vec<(f64, f64)> =
        (0..block.numeric.len()).filter_map(|at| Some((block.analytic[at], block.numeric[of(at)?]))).collect();
    let distinct = pairs.iter().any(|(_, b)| !close(*b, pairs[0].1));
    distinct && pairs.iter().all(|(a, b)| close(*a, *b))
}

fn factor(block: &Block) -> Option<f64> {
    let largest =
        (0..block.numeric.len()).max_by(|a, b| block.numeric[*a].abs().total_cmp(&block.numeric[*b].abs()))?;
    let factor = block.analytic[largest] / block.numeric[largest];
    let constant = block.analytic.iter().zip(&block.numeric).all(|(a, b)| close(*a, factor * b));
    // Rounded, so that a difference's last digits do not show.
    (constant && factor.is_finite()).then(|| (factor * 1e4).round() / 1e4)
}

fn swapped(blocks: &[Block], block: &Block, names: &Names<'_>) -> Option<String> {
    let other = blocks.iter().find(|other| {
        let same = other.output == block.output && other.input != block.input && other.shapes == block.shapes;
        same && block.analytic.iter().zip(&other.numeric).all(|(a, b)| close(*a, *b))
            && other.analytic.iter().zip(&block.numeric).all(|(a, b)| close(*a, *b))
    })?;
    let (a, b) = (&names.inputs[block.input.min(other.input)], &names.inputs[block.input.max(other.input)]);
    Some(format!("the derivatives by {a} and by {b} are exchanged"))
}

fn transposed(block: &Block, output: &Shape, wrt: &Shape) -> Option<String> {
    let (rows, columns) = (output.numel(), wrt.numel());
    let turn = |at: usize| Some(at % columns * columns + at / columns);
    if rows == columns && equals(block, turn) {
        return Some("the Jacobian is transposed: are the operands of a product exchanged?".into());
    }
    // The gradient itself, of a square matrix.
    let square = wrt.rank() == 2 && wrt[0] == wrt[1];
    let flip = |at: usize| {
        let (row, column) = (at / columns, at % columns);
        Some(row * columns + column % wrt[1] * wrt[1] + column / wrt[1])
    };
    (square && equals(block, flip)).then(|| "the derivative is that by the transposed input: a .t() is missing".into())
}

fn shifted(block: &Block, wrt: &Shape) -> Option<String> {
    let columns = block.columns();
    for axis in (0..wrt.rank()).filter(|axis| wrt[*axis] > 2) {
        let stride: usize = wrt[axis + 1..].iter().product();
        for forward in [true, false] {
            let neighbour = |at: usize| {
                let place = at % columns / stride % wrt[axis];
                match forward {
                    true if place + 1 < wrt[axis] => Some(at + stride),
                    false if place > 0 => Some(at - stride),
                    _ => None,
                }
            };
            if equals(block, neighbour) {
                let side = if forward { "after" } else { "before" };
                return Some(format!("along axis {axis} every entry is that of the entry {side} it: off by one"));
            }
        }
    }
    None
}

fn by_sign(block: &Block, values: &[f64], name: &str) -> Option<String> {
    let columns = block.columns();
    let wrong = |column: usize| (column..block.numeric.len()).step_by(columns).any(|at| !block.agrees(at));
    let matters = |column: usize| (column..block.numeric.len()).step_by(columns).any(|at| block.numeric[at] != 0.0);
    let all = |sign: bool| (0..columns).filter(|c| matters(*c)).all(|c| wrong(c) == ((values[c] < 0.0) == sign));
    let both = (0..columns).any(&wrong) && (0..columns).any(|c| !wrong(c) && matters(c));
    let side = if all(true) { "negative" } else { "positive" };
    (both && (all(true) || all(false)))
        .then(|| format!("exactly the derivatives by {side} entries of {name} are wrong"))
}

/// Rows that are zero but should not be, all but those at index 0 of an axis.
fn missing_rows(block: &Block, output: &Shape) -> Option<String> {
    let columns = block.columns();
    let rows = output.numel();
    let row = |r: usize| r * columns..(r + 1) * columns;
    let lost = |r: usize| row(r).any(|at| !block.agrees(at)) && row(r).all(|at| block.analytic[at] == 0.0);
    let right = |r: usize| row(r).all(|at| block.agrees(at));
    let axis = (0..output.rank())
        .filter(|axis| output[*axis] > 1)
        .find(|axis| (0..rows).all(|r| if index(output, r)[*axis] == 0 { right(r) } else { lost(r) }))?;
    Some(format!("only entry 0 of the value's axis {axis} contributes: the sum over a broadcast axis is missing"))
}

/// All wrong entries at one index of an axis.
fn one_place(block: &Block, wrt: &Shape, name: &str) -> Option<String> {
    let columns = block.columns();
    let wrong: Vec<Vec<usize>> =
        (0..block.numeric.len()).filter(|at| !block.agrees(*at)).map(|at| index(wrt, at % columns)).collect();
    let axis = (0..wrt.rank()).find(|a| wrt[*a] > 1 && wrong.iter().all(|at| at[*a] == wrong[0][*a]))?;
    Some(format!("only derivatives by entries at {} of axis {axis} of {name} are wrong", wrong.first()?[axis]))
}

fn short(factor: f64) -> String {
    let rounded = (factor * 1e3).round() / 1e3;
    format!("{rounded}")
}
