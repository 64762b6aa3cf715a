//! The shapes of the comparison, the same as the peers' (`peers/shapes.py`).

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_by_name_and_by_extents() {
        let found = named("mid128,7x1x2x3x4").expect("both are shapes");
        assert_eq!(
            [&found[0], &found[1]].map(|s| [s.t, s.b, s.i, s.h, s.l]),
            [[100, 32, 128, 128, 1], [7, 1, 2, 3, 4]]
        );
        assert_eq!(named("all").map(|all| all.len()), Ok(ALL.len()));
    }

    #[test]
    fn what_is_no_shape_is_refused() {
        for list in ["", "mid", "1x2x3x4", "1x2x3x4x5x6", "0x1x1x1x1", "axbxcxdxe", "seed,"] {
            assert!(named(list).is_err(), "{list}");
        }
        assert!(named("mid").unwrap_err().contains("mid128"));
    }

    #[test]
    fn the_peers_have_the_same_shapes() {
        let peers = include_str!("../peers/shapes.py");
        for (name, extents) in ALL {
            let [t, b, i, h, l] = extents;
            assert!(peers.contains(&format!("\"{name}\": ({t}, {b}, {i}, {h}, {l})")), "{name}");
        }
        assert_eq!(peers.matches("\": (").count(), ALL.len());
    }
}
