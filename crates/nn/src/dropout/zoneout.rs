//! Units that stay as they were.

use super::Noise;
use crate::Module;
use crate::cell::Cell;
use crate::cx::Cx;
use wengert_autograd::{Path, Tree, Var};

/// Any cell, whose units keep their old value with some probability (Krueger et al. 2017, arXiv 1606.01305), with a
/// rate `p` for each component of the state:
///
/// ```text
/// training:    s' = s where drawn, with probability p, else s̃        s̃ = step(x, s)
/// evaluation:  s' = p·s + (1 − p)·s̃
/// ```
///
/// Components without a rate have 0. So `Zoneout::new(lstm, [0.1])` concerns `h` alone, as in Haste, and `[0.1, 0.5]` is the
/// paper's, with `h` and `c`. An output that is a component of the state, as `h`, is what becomes of that component.
#[derive(Clone, Debug, Module)]
pub struct Zoneout<C> {
    /// The cell.
    pub cell: C,
    /// The probability for each component of the state, in the order of its leaves.
    pub rates: Vec<f64>,
}

impl<C> Zoneout<C> {
    /// `cell` with zoneout at these rates.
    pub fn new(cell: C, rates: impl Into<Vec<f64>>) -> Zoneout<C> {
        Zoneout { cell, rates: rates.into() }
    }

    fn rate(&self, leaf: usize) -> f64 {
        self.rates.get(leaf).copied().unwrap_or(0.0)
    }

    /// An invalid value, if the rates are not those of a state such as this.
    #[track_caller]
    fn check<'t>(&self, x: Var<'t>, state: &[(String, Var<'t>)]) -> Option<Var<'t>> {
        if self.rates.len() > state.len() {
            let found = format!("{} rates are given, the state has {} components", self.rates.len(), state.len());
            return Some(x.invalid("zoneout", found, "give a rate for each component, or fewer"));
        }
        if let Some(rate) = self.rates.iter().find(|rate| !(0.0..=1.0).contains(*rate)) {
            let found = format!("the rate is {rate}, expected a number from 0 to 1");
            return Some(x.invalid("zoneout", found, "divide a percentage by 100"));
        }
        let (leaf, (name, dtype)) = state.iter().enumerate().find_map(|(leaf, (name, v))| {
            let dtype = v.dtype().ok().filter(|dtype| !dtype.is_float() && self.rate(leaf) > 0.0)?;
            Some((leaf, (name, dtype)))
        })?;
        let found = format!("component {leaf} '{name}' of the state is {dtype}, and has rate {}", self.rate(leaf));
        Some(x.invalid("zoneout", found, "zone out floats; give the others rate 0"))
    }
}

impl<C: Cell> Cell for Zoneout<C> {
    type State<'t> = C::State<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        self.cell.init(cx, batch)
    }

    #[track_caller]
    fn noise<'t>(&self, cx: &Cx<'t>, steps: usize, batch: usize) -> Noise<'t> {
        let inner = self.cell.noise(cx, steps, batch);
        let mut each = Vec::new();
        if cx.is_training() {
            for (leaf, v) in self.cell.init(cx, batch).leaves().into_iter().enumerate() {
                let Ok(shape) = v.shape() else { continue };
                let shape: Vec<usize> = [steps].into_iter().chain(shape.iter().copied()).collect();
                each.extend(cx.chosen(self.rate(leaf), shape));
            }
        }
        Noise::around(inner, Vec::new(), each)
    }

    #[track_caller]
    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.noisy_step(x, state, Noise::none())
    }

    #[track_caller]
    fn noisy_step<'t>(&self, x: Var<'t>, state: Self::State<'t>, noise: Noise<'t>) -> (Var<'t>, Self::State<'t>) {
        if let Some(broken) = self.check(x, &state.named_leaves()) {
            return (broken, state.map_vars(&mut Path::unnamed(), &mut |_, _| broken));
        }
        let old = state.leaves();
        let kept = noise.each.clone();
        let (y, next) = self.cell.noisy_step(x, state, noise.into_inner());
        let mut kept = kept.into_iter();
        let mut output = y;
        let mut leaf = 0;
        let next = next.map_vars(&mut Path::unnamed(), &mut |_, new| {
            let rate = self.rate(leaf);
            // A state that changes its structure is reported by the loop.
            let old = old.get(leaf).copied().unwrap_or(new);
            leaf += 1;
            let zoned = match rate > 0.0 {
                false => new,
                true => match kept.next() {
                    Some(kept) => kept.select(old, new),
                    None => old * rate + new * (1.0 - rate),
                },
            };
            if y.is(new) {
                output = zoned;
            }
            zoned
        });
        (output, next)
    }
}
