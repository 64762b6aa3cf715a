//! The shapes of the comparison, the same as the peers'.

/// Time steps, batch, input size, hidden size, layers.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) t: usize,
    pub(crate) b: usize,
    pub(crate) i: usize,
    pub(crate) h: usize,
    pub(crate) l: usize,
}

const ALL: &[(&str, [usize; 5])] = &[
    ("adding", [100, 1, 2, 4, 1]),
    ("seed", [5, 3, 10, 20, 2]),
    ("online32", [100, 1, 32, 32, 1]),
    ("small64", [50, 16, 64, 64, 1]),
    ("mid128", [100, 32, 128, 128, 1]),
    ("ptb200", [35, 20, 200, 200, 2]),
    ("wide512", [64, 64, 512, 512, 1]),
    ("ptb650", [35, 20, 650, 650, 2]),
    ("long1k", [1000, 8, 64, 128, 1]),
];

fn shape(name: &str, [t, b, i, h, l]: [usize; 5]) -> Shape {
    Shape { name: name.to_string(), t, b, i, h, l }
}

/// The shapes of a comma-separated list: names, `all`, or extents as `TxBxIxHxL`.
pub(crate) fn named(list: &str) -> Result<Vec<Shape>, String> {
    if list == "all" {
        return Ok(ALL.iter().map(|(name, extents)| shape(name, *extents)).collect());
    }
    list.split(',').map(one).collect()
}

fn one(name: &str) -> Result<Shape, String> {
    if let Some((_, extents)) = ALL.iter().find(|(known, _)| *known == name) {
        return Ok(shape(name, *extents));
    }
    let extents: Result<Vec<usize>, _> = name.split('x').map(str::parse).collect();
    let extents = extents.ok().and_then(|extents| <[usize; 5]>::try_from(extents).ok());
    let names: Vec<_> = ALL.iter().map(|(known, _)| *known).collect();
    extents
        .filter(|extents| !extents.contains(&0))
        .map(|extents| shape(name, extents))
        .ok_or(format!("no shape '{name}': give TxBxIxHxL, or one of {}", names.join(", ")))
}
