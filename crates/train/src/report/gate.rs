//! Histograms of a gate over a run.

use super::map::Map;

/// Bins over \[−1, 1\].
pub(super) const BINS: usize = 40;

/// Histograms, of which a column has the share of the finite values in each bin.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub map: Map,
    /// Whether there are values below 0: else only the bins of \[0, 1\] are shown.
    pub signed: bool,
    /// Values outside of \[−1, 1\]; they count in the outermost bins.
    pub outside: u64,
}

impl Gate {
    pub(super) fn new(name: &str) -> Gate {
        Gate { map: Map::new(name), signed: false, outside: 0 }
    }

    pub(super) fn push(&mut self, step: u64, values: &[f64]) {
        let mut counts = vec![0u64; BINS];
        for value in values {
            self.map.strange.look(step, *value);
            if value.is_finite() {
                self.signed |= *value < 0.0;
                self.outside += u64::from(value.abs() > 1.0);
                let bin = (value + 1.0) / 2.0 * BINS as f64;
                counts[(bin.max(0.0) as usize).min(BINS - 1)] += 1;
            }
        }
        let total = counts.iter().sum::<u64>().max(1) as f64;
        self.map.push(step, counts.iter().map(|count| *count as f64 / total).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_bins() {
        let mut gate = Gate::new("f");
        gate.push(0, &[0.0, 0.01, 0.5, 1.0, f64::NAN]);
        let shares = &gate.map.columns[0].1;
        assert_eq!((shares[20], shares[30], shares[39]), (0.5, 0.25, 0.25));
        assert!(!gate.signed && gate.outside == 0 && gate.map.strange.count == 1);
        gate.push(1, &[-1.0, -0.01, 7.0, -3.0]);
        let shares = &gate.map.columns[1].1;
        assert_eq!((shares[0], shares[19], shares[39]), (0.5, 0.25, 0.25));
        assert!(gate.signed && gate.outside == 2);
        gate.push(2, &[]);
        assert!(gate.map.columns[2].1.iter().all(|share| *share == 0.0));
    }
}
