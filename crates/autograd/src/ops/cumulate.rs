//! Running sums and products, and the place of an extremum.

use super::reduce::{bool_fault, nothing_to_choose};
use super::{Along, Axes};
use crate::dtype::DType;
use crate::record::Fault;
use crate::scan::ScanOptions;
use crate::var::Var;
use wengert_kernels::LineOp;

impl<'t> Var<'t> {
    /// Running sums along an axis: `y_i = x_0 + .. + x_i`, added in order.
    #[track_caller]
    pub fn cumsum(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("cumsum");
        let at = match self.with_axis("cumsum", axis) {
            Ok((at, _)) => at,
            Err(invalid) => return invalid,
        };
        self.tape().op("cumsum", &[self], |nodes| {
            let op = Along { what: LineOp::Cumsum { reverse: false }, axis: at };
            if nodes[0].dtype == DType::Bool { Err(bool_fault()) } else { Ok(Some(op.of(nodes[0]))) }
        })
    }

    /// Running products along an axis: `y_i = x_0 · .. · x_i`, multiplied in order. The derivative holds with zeros too.
    #[track_caller]
    pub fn cumprod(self, axis: isize) -> Var<'t> {
        let _named = self.tape().composition("cumprod");
        let (at, shape) = match self.with_axis("cumprod", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        let Ok(dtype) = self.dtype() else { return self };
        if dtype == DType::Bool {
            return self.tape().fail("cumprod", bool_fault());
        }
        // A scan over the axis, brought to the front.
        let items = self.transpose(0, axis);
        let tape = self.tape();
        let mut row = shape.to_vec();
        row.swap(0, at);
        row.remove(0);
        let first = tape.literal(1.0, dtype).expand(row);
        let (_, rows) = tape.scan_own(ScanOptions::default(), first, items, |product, x| {
            let product = product * x;
            (product, product)
        });
        rows.transpose(0, axis)
    }

    /// The index (I64) of the maximum over some axes, which are dropped: the first one of equals, that of the first NaN if there is
    /// one, as PyTorch on a CPU. Over several axes it counts their entries in row-major order: `x.argmax(())` is an index into
    /// `x.reshape([n])`.
    #[track_caller]
    pub fn argmax(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("argmax");
        self.place_of("argmax", axes, false)
    }

    /// The index (I64) of the minimum over some axes, which are dropped: the first one of equals, that of the first NaN if there is
    /// one; see [`argmax`](Var::argmax).
    #[track_caller]
    pub fn argmin(self, axes: impl Axes) -> Var<'t> {
        let _named = self.tape().composition("argmin");
        self.place_of("argmin", axes, true)
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

    /// The index of an extremum.
    #[track_caller]
    fn place_of(self, name: &str, axes: impl Axes, least: bool) -> Var<'t> {
        let (line, axis) = match self.as_line(name, axes) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        line.tape().op(name, &[line], |nodes| {
            let x = nodes[0];
            if x.dtype == DType::Bool {
                return Err(bool_fault());
            }
            if x.shape[axis] == 0 {
                return Err(nothing_to_choose(&x.shape));
            }
            Ok(Some(Along { what: LineOp::ArgExtremum { least }, axis }.of(x)))
        })
    }
}
