//! The shapes of the comparison, read from the file that the peers in Python use.

use crate::Outcome;

const LIST: &str = include_str!("../../shapes.py");

/// Names and extents (time steps, batch, input size, hidden size, layers) of a comma-separated list of names or `TxBxIxHxL`,
/// or of `all`.
pub(crate) fn named(list: &str) -> Outcome<Vec<(String, [usize; 5])>> {
    let all = LIST.lines().filter_map(|line| {
        let (name, extents) = line.trim().strip_prefix('"')?.split_once("\": (")?;
        Some((name, five(extents.split(')').next()?, ", ")?))
    });
    if list == "all" {
        return Ok(all.map(|(name, extents)| (name.to_string(), extents)).collect());
    }
    let known: Vec<_> = all.collect();
    let one = |name: &str| {
        let of_name = known.iter().find(|(known, _)| *known == name).map(|(_, extents)| *extents);
        let extents = of_name.or_else(|| five(name, "x")).ok_or(format!("no shape '{name}': give TxBxIxHxL, or a name"))?;
        Ok((name.to_string(), extents))
    };
    list.split(',').map(one).collect()
}

/// Five numbers above zero.
fn five(text: &str, between: &str) -> Option<[usize; 5]> {
    let numbers: Vec<usize> = text.split(between).map(|n| n.parse().ok().filter(|n| *n > 0)).collect::<Option<_>>()?;
    numbers.try_into().ok()
}
