//! Windows along an axis, and convolution over time.

use crate::operand::Operand;
use crate::record::Fault;
use crate::shape::Shape;
use crate::var::Var;

/// The most windows or places in a window that are recorded, each as an operation of its own.
const MOST: usize = 1 << 16;

/// How a window moves in [`conv1d`](Var::conv1d).
///
/// ```
/// use wengert_autograd::{Conv1dOptions, DType, Tape};
/// let tape = Tape::new();
/// let (x, w) = (tape.ones([2, 3, 10], DType::F32), tape.ones([4, 3, 5], DType::F32));
/// let causal = x.pad(-1, 4, 0, 0.0).conv1d(w, Conv1dOptions::default());
/// assert_eq!(causal.shape()?[..], [2, 4, 10]);
/// assert_eq!(x.conv1d(w, Conv1dOptions::default().stride(2).padding(2)).shape()?[..], [2, 4, 5]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conv1dOptions {
    /// Positions from one window to the next; 1 by default.
    pub stride: usize,
    /// Zeros on either side of the input; 0 by default.
    pub padding: usize,
    /// Positions from one entry of a window to the next; 1 by default.
    pub dilation: usize,
    /// Groups of channels that do not see one another; 1 by default.
    pub groups: usize,
}

impl Default for Conv1dOptions {
    fn default() -> Self {
        Conv1dOptions { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

impl Conv1dOptions {
    /// With this many positions from one window to the next.
    pub fn stride(self, stride: usize) -> Self {
        Conv1dOptions { stride, ..self }
    }

    /// With this many zeros on either side of the input.
    pub fn padding(self, padding: usize) -> Self {
        Conv1dOptions { padding, ..self }
    }

    /// With this many positions from one entry of a window to the next.
    pub fn dilation(self, dilation: usize) -> Self {
        Conv1dOptions { dilation, ..self }
    }

    /// With channels in this many groups that do not see one another; as many as channels is a depthwise convolution.
    pub fn groups(self, groups: usize) -> Self {
        Conv1dOptions { groups, ..self }
    }

    /// The number of output positions for an input of `len`, or why there is none.
    fn positions(&self, len: usize, window: usize) -> Result<usize, Fault> {
        let reach = window.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1);
        let padded = self.padding.saturating_mul(2).saturating_add(len);
        if window > MOST {
            return Err(too_many(window));
        }
        if window == 0 || reach > padded {
            return Err(Fault::shape(
                format!(
                    "a window of {window} entries with dilation {} does not fit into {padded} positions",
                    self.dilation
                ),
                "pad the input, or give a kernel of 1 entry or more that fits",
            ));
        }
        Ok((padded - reach) / self.stride + 1)
    }
}

/// The extents of a convolution.
struct Extents {
    batch: usize,
    window: usize,
    /// Input and output channels of one group.
    ins: usize,
    outs: usize,
    positions: usize,
}

impl<'t> Var<'t> {
    /// The convolution over the last axis of `[N, C, L]` (or `[C, L]`) with `weight` `[O, C/groups, K]`, as
    /// `torch.nn.functional.conv1d`: `y[n, o, t] = Σ_{c,k} weight[o, c, k] · x[n, c, t·stride + k·dilation − padding]`, where `c` runs
    /// over the channels of the group of `o`. The result is `[N, O, ⌊(L + 2·padding − dilation·(K − 1) − 1) / stride⌋ + 1]`.
    /// A bias is the caller's: `+ bias.unsqueeze(1)`. Sequences `[T, B, C]` become `[N, C, L]` by `permute(&[1, 2, 0])`, a view.
    ///
    /// The windows are `K` views that one matrix product reads, so `K` operations are recorded.
    #[track_caller]
    pub fn conv1d(self, weight: impl Operand<'t>, options: Conv1dOptions) -> Var<'t> {
        let _named = self.tape().composition("conv1d");
        let weight = weight.resolve(self.tape(), None);
        let (Ok(x), Ok(w)) = (self.shape(), weight.shape()) else {
            return if self.shape().is_err() { self } else { weight };
        };
        if x.rank() == 2 {
            return self.unsqueeze(0).conv1d(weight, options).squeeze(0);
        }
        match self.same_float(weight).and_then(|()| extents(&x, &w, &options)) {
            Ok(extents) => self.convolved(weight, &options, &extents),
            Err(fault) => self.tape().fail("conv1d", fault),
        }
    }

    fn same_float(self, weight: Var<'t>) -> Result<(), Fault> {
        let (x, w) = (self.node(|n| n.dtype), weight.node(|n| n.dtype));
        if x != w {
            let remedy = format!("convert one side: .cast(DType::{:?})", x.max(w));
            return Err(Fault::dtype(format!("the input is {x}, the weight {w}"), remedy));
        }
        if !x.is_float() {
            let found = format!("the input is {x}, expected f32 or f64");
            return Err(Fault::dtype(found, "convert both: .cast(DType::F32)"));
        }
        Ok(())
    }

    /// One product for each group: windows `[G, N·T, K·C/G]` by weights `[G, K·C/G, O/G]`.
    fn convolved(self, weight: Var<'t>, options: &Conv1dOptions, extents: &Extents) -> Var<'t> {
        let Conv1dOptions { stride, padding, dilation, groups } = *options;
        let Extents { batch, window, ins, outs, positions } = *extents;
        let padded = self.pad(2, padding, padding, 0.0);
        if padded.shape().is_err() {
            return padded;
        }
        let taps = padded.taps(2, window, positions, stride, dilation);
        let channels_last: Vec<Var<'t>> = taps.into_iter().map(|tap| tap.permute(&[0, 2, 1])).collect();
        let windows = self
            .tape()
            .stack(&channels_last, 2)
            .reshape([batch, positions, window, groups, ins])
            .permute(&[3, 0, 1, 2, 4])
            .reshape([groups, batch * positions, window * ins]);
        let weights =
            weight.reshape([groups, outs, ins, window]).permute(&[0, 3, 2, 1]).reshape([groups, window * ins, outs]);
        windows.matmul(weights).reshape([groups, batch, positions, outs]).permute(&[1, 0, 3, 2]).reshape([
            batch,
            groups * outs,
            positions,
        ])
    }

    /// Windows of `size` adjacent entries of an axis, `step` entries apart, as `torch.Tensor.unfold`: the axis counts the windows, of
    /// which there are `⌊(L − size) / step⌋ + 1`, and their entries are a new last axis. Without overlap and gaps it is a reshape.
    #[track_caller]
    pub fn unfold(self, axis: isize, size: usize, step: usize) -> Var<'t> {
        let _named = self.tape().composition("unfold");
        let (at, shape) = match self.with_axis("unfold", axis) {
            Ok(found) => found,
            Err(invalid) => return invalid,
        };
        if size == 0 || step == 0 || size > shape[at] {
            let found =
                format!("windows of {size} entries, {step} apart, on axis {axis} of {shape}, which has {}", shape[at]);
            let remedy = "give a size from 1 to the extent and a step of 1 or more";
            return self.tape().fail("unfold", Fault::shape(found, remedy));
        }
        let count = (shape[at] - size) / step + 1;
        if step != size && size.min(count) > MOST {
            return self.tape().fail("unfold", too_many(size.min(count)));
        }
        if step == size {
            let extents = [&shape[..at], &[count, size], &shape[at + 1..]].concat();
            return self.narrow(axis, 0, count * size).reshape(extents).moved_to_back(at + 1);
        }
        // As few parts as possible: by place in the window, or by window.
        if size <= count {
            return self.tape().stack(&self.taps(at, size, count, step, 1), -1);
        }
        let windows: Vec<Var<'t>> = (0..count).map(|i| self.narrow(at as isize, i * step, size)).collect();
        self.tape().stack(&windows, at as isize).moved_to_back(at + 1)
    }

    /// For each place in a window, the entries that stand there in the `count` windows.
    fn taps(self, axis: usize, window: usize, count: usize, stride: usize, dilation: usize) -> Vec<Var<'t>> {
        let reach = (count - 1) * stride + 1;
        (0..window).map(|k| self.narrow(axis as isize, k * dilation, reach).every(axis, stride)).collect()
    }

    fn moved_to_back(self, axis: usize) -> Var<'t> {
        let rank = self.node(|n| n.shape.rank());
        let order: Vec<usize> = (0..rank).filter(|own| *own != axis).chain([axis]).collect();
        self.permute(&order)
    }
}

fn too_many(parts: usize) -> Fault {
    Fault::shape(
        format!("{parts} parts would be recorded, expected at most {MOST}"),
        "gather the windows by index_select",
    )
}

/// The extents of a convolution, or why its operands do not fit.
fn extents(x: &Shape, w: &Shape, options: &Conv1dOptions) -> Result<Extents, Fault> {
    let &[batch, channels, len] = &x[..] else {
        return Err(Fault::shape(format!("the input is {x}, expected [N, C, L] or [C, L]"), "reshape or permute it"));
    };
    let &[all, ins, window] = &w[..] else {
        let found = format!("the weight is {w}, expected [O, C/groups, K]");
        return Err(Fault::shape(found, "give output channels, input channels of a group, and the kernel's extent"));
    };
    let Conv1dOptions { stride, dilation, groups, .. } = *options;
    if stride == 0 || dilation == 0 || groups == 0 {
        let found = format!("stride {stride}, dilation {dilation}, groups {groups}: each is expected to be 1 or more");
        return Err(Fault::shape(found, "leave out what does not change: the defaults are 1"));
    }
    if all % groups != 0 || ins.checked_mul(groups) != Some(channels) {
        return Err(Fault::shape(
            format!(
                "the weight {w} takes {groups} groups of {ins} input channels and makes {all} output channels, the input {x} has \
                 {channels} channels"
            ),
            "give a weight [O, C/groups, K] with O a multiple of the groups",
        ));
    }
    let positions = options.positions(len, window)?;
    Ok(Extents { batch, window, ins, outs: all / groups, positions })
}
