//! Values that are not finite: counted, the first of them kept.

/// How many are listed.
pub(super) const LISTED: usize = 10;

/// What a series had of values that are not finite.
#[derive(Clone, Debug, Default)]
pub(super) struct Strange {
    pub count: u64,
    pub first: Vec<(u64, f64)>,
}

impl Strange {
    pub(super) fn look(&mut self, step: u64, value: f64) {
        if !value.is_finite() {
            self.count += 1;
            if self.first.len() < LISTED {
                self.first.push((step, value));
            }
        }
    }
}
