//! Running sums and products, and the place of an extremum.

use super::Axes;
use super::reduce::bool_fault;
use crate::dtype::DType;
use crate::record::Fault;
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

    /// The index (I64) of the maximum over some axes, which are dropped: the first one of equals, that of the first NaN if there is
    /// one, as PyTorch on a CPU. Over several axes it counts their entries in row-major order: `x.argmax(())` is an index into
    /// `x.reshape([n])`.
    #[track_caller]
    pub fn argmax(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("argmax");
        match self.as_line("argmax", axes) {
            Ok((line, axis)) => line.place_of(line.max_keep(axis as isize), axis),
            Err(invalid) => invalid,
        }
    }

    /// The index (I64) of the minimum over some axes, which are dropped: the first one of equals, that of the first NaN if there is
    /// one; see [`argmax`](Var::argmax).
    #[track_caller]
    pub fn argmin(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("argmin");
        match self.as_line("argmin", axes) {
            Ok((line, axis)) => line.place_of(line.min_keep(axis as isize), axis),
            Err(invalid) => invalid,
        }
    }

    /// As [`argmax`](Var::argmax), with the axes kept as extent 1.
    #[track_caller]
    pub fn argmax_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("argmax_keep");
        self.argmax(&axes).kept(self, &axes)
    }

    /// As [`argmin`](Var::argmin), with the axes kept as extent 1.
    #[track_caller]
    pub fn argmin_keep(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("argmin_keep");
        self.argmin(&axes).kept(self, &axes)
    }

    /// The value with the named axes as one, and where that is; else the invalid value to answer with.
    fn as_line(self, name: &str, axes: impl Axes) -> Result<(Var<'t>, usize), Var<'t>> {
        let Ok(shape) = self.shape() else { return Err(self) };
        let mut named: Vec<usize> = Vec::new();
        for axis in axes.axes().unwrap_or_else(|| (0..shape.rank() as isize).collect()) {
            let (at, _) = self.with_axis(name, axis)?;
            if named.contains(&at) {
                let fault = Fault::shape(format!("axis {axis} of {shape} is named twice"), "name each axis once");
                return Err(self.tape().fail(name, fault));
            }
            named.push(at);
        }
        if let [axis] = named[..] {
            return Ok((self, axis));
        }
        named.sort_unstable();
        let kept: Vec<usize> = (0..shape.rank()).filter(|axis| !named.contains(axis)).collect();
        let n: usize = named.iter().map(|axis| shape[*axis]).product();
        let lines: Vec<usize> = kept.iter().map(|axis| shape[*axis]).chain([n]).collect();
        Ok((self.permute(&[&kept[..], &named].concat()).reshape(lines), kept.len()))
    }

    fn place_of(self, extremum: Var<'t>, axis: usize) -> Var<'t> {
        let Ok(shape) = self.shape() else { return self };
        let n = shape[axis];
        // An extremum is NaN if any element is, and NaN equals nothing: then only the second condition holds.
        let hits = self.eq(extremum).or(self.ne(self));
        let mut line = vec![1; shape.rank()];
        line[axis] = n;
        let places = self.tape().arange(n).reshape(line);
        hits.select(places, n as i64).min_axes(axis as isize)
    }
}
