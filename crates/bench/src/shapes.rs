//! The shapes of the comparison, the same as the peers'.

/// Time steps, batch, input size, hidden size, layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) t: usize,
    pub(crate) b: usize,
    pub(crate) i: usize,
    pub(crate) h: usize,
    pub(crate) l: usize,
}

const fn shape(name: &'static str, [t, b, i, h, l]: [usize; 5]) -> Shape {
    Shape { name, t, b, i, h, l }
}

pub(crate) const ALL: &[Shape] = &[
    shape("adding", [100, 1, 2, 4, 1]),
    shape("seed", [5, 3, 10, 20, 2]),
    shape("online32", [100, 1, 32, 32, 1]),
    shape("small64", [50, 16, 64, 64, 1]),
    shape("mid128", [100, 32, 128, 128, 1]),
    shape("ptb200", [35, 20, 200, 200, 2]),
    shape("wide512", [64, 64, 512, 512, 1]),
    shape("ptb650", [35, 20, 650, 650, 2]),
    shape("long1k", [1000, 8, 64, 128, 1]),
];

/// The shapes of a comma-separated list.
pub(crate) fn named(list: &str) -> Result<Vec<Shape>, String> {
    if list == "all" {
        return Ok(ALL.to_vec());
    }
    let one = |name: &str| {
        let names: Vec<_> = ALL.iter().map(|s| s.name).collect();
        ALL.iter().find(|s| s.name == name).copied().ok_or(format!("no shape '{name}'; there are {}", names.join(", ")))
    };
    list.split(',').map(one).collect()
}
