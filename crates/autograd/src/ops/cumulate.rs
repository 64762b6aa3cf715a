//! Running sums and products, and the place of an extremum.

use super::reduce::bool_fault;
use crate::dtype::DType;
use crate::scan::ScanOptions;
use crate::var::Var;

impl<'t> Var<'t> {
    /// Running sums along an axis: `y_i = x_0 + .. + x_i`, added in order.
    #[track_caller]
    pub fn cumsum(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("cumsum");
        self.cumulated("cumsum", axis, 0.0, |sum, x| sum + x)
    }

    /// Running products along an axis: `y_i = x_0 · .. · x_i`, multiplied in order. The derivative holds with zeros too.
    #[track_caller]
    pub fn cumprod(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("cumprod");
        self.cumulated("cumprod", axis, 1.0, |product, x| product * x)
    }

    /// A scan over the axis, brought to the front.
    fn cumulated(self, name: &str, axis: isize, start: f64, step: fn(Var<'t>, Var<'t>) -> Var<'t>) -> Var<'t> {
        let (at, shape) = match self.with_axis(name, axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        let Ok(dtype) = self.dtype() else { return self };
        if dtype == DType::Bool {
            return self.tape().fail(name, bool_fault());
        }
        let items = self.transpose(0, axis);
        let tape = self.tape();
        let mut row = shape.to_vec();
        row.swap(0, at);
        row.remove(0);
        let first = tape.literal(start, dtype).expand(row);
        let (_, rows) = tape.scan_own(ScanOptions::default(), first, items, |total, x| {
            let total = step(total, x);
            (total, total)
        });
        rows.transpose(0, axis)
    }

    /// The index (I64) of the maximum along an axis, which is dropped: the first one of equals, that of the first NaN if there is
    /// one, as PyTorch on a CPU.
    #[track_caller]
    pub fn argmax(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("argmax");
        self.place_of("argmax", axis, Var::max_keep)
    }

    /// The index (I64) of the minimum along an axis, which is dropped: the first one of equals, that of the first NaN if there is
    /// one.
    #[track_caller]
    pub fn argmin(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("argmin");
        self.place_of("argmin", axis, Var::min_keep)
    }

    /// As [`argmax`](Var::argmax), with the axis kept as extent 1.
    #[track_caller]
    pub fn argmax_keep(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("argmax_keep");
        self.argmax(axis).kept(self, axis)
    }

    /// As [`argmin`](Var::argmin), with the axis kept as extent 1.
    #[track_caller]
    pub fn argmin_keep(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("argmin_keep");
        self.argmin(axis).kept(self, axis)
    }

    fn place_of(self, name: &str, axis: isize, extremum: fn(Var<'t>, isize) -> Var<'t>) -> Var<'t> {
        let (at, shape) = match self.with_axis(name, axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        let n = shape[at];
        // An extremum is NaN if any element is, and NaN equals nothing: then only the second condition holds.
        let hits = self.eq(extremum(self, axis)).or(self.ne(self));
        let mut line = vec![1; shape.rank()];
        line[at] = n;
        let places = self.tape().arange(n).reshape(line);
        hits.select(places, n as i64).min_axes(axis)
    }
}
