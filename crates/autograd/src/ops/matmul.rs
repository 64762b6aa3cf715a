//! Matrix products.

use super::{Contribution, Rule};
use crate::grad::Local;
use crate::node::Op;
use crate::operand::Operand;
use crate::program::{Gemm, Instr, Lower};
use crate::record::{Fault, Recorded};
use crate::shape::{Shape, Strides};
use crate::var::Var;
use wengert_kernels::Blocks;

/// `[.., M, K] · [.., K, N] -> [.., M, N]`, leading axes broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Matmul {
    /// Whether the sums of K-blocks are added from the last to the first: for matrices, without leading axes.
    pub backward: bool,
}

impl<'t> Var<'t> {
    /// The matrix product: `[.., M, K] · [.., K, N] -> [.., M, N]`; leading (batch) axes broadcast.
    /// A vector on the left is a row, on the right a column, and its axis is dropped from the result.
    ///
    /// Each element is one fixed sequence of fused multiply-adds over `K`: its bits depend neither on the
    /// number of rows and columns nor on threads.
    #[track_caller]
    pub fn matmul(self, rhs: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("matmul");
        let rhs = rhs.resolve(self.tape(), None);
        let rank = |v: Var<'t>| v.node(|n| n.shape.rank());
        match (rank(self), rank(rhs)) {
            (1, 1) => self.unsqueeze(0).matmul(rhs.unsqueeze(1)).squeeze(1).squeeze(0),
            (1, 2..) => self.unsqueeze(0).matmul(rhs).squeeze(-2),
            (2.., 1) => self.matmul(rhs.unsqueeze(1)).squeeze(-1),
            _ => self.product(rhs, Matmul::default()),
        }
    }

    /// The product of values of at least two axes.
    #[track_caller]
    pub(crate) fn product(self, rhs: Var<'t>, op: Matmul) -> Var<'t> {
        self.tape().op("matmul", &[self, rhs], |nodes| {
            let (a, b) = (nodes[0], nodes[1]);
            if a.dtype != b.dtype {
                return Err(Fault::dtype(
                    format!("element types {} and {} are mixed", a.dtype, b.dtype),
                    format!("convert one side: .cast(DType::{:?})", a.dtype.max(b.dtype)),
                ));
            }
            if !a.dtype.is_float() {
                return Err(Fault::dtype(
                    format!("the operands are {}, expected f32 or f64", a.dtype),
                    "convert them: .cast(DType::F32)",
                ));
            }
            let (sa, sb) = (&a.shape, &b.shape);
            if sa.rank() < 2 || sb.rank() < 2 {
                return Err(Fault::shape(
                    format!("shapes {sa} and {sb}: an operand has no axes"),
                    "multiply by a scalar with *",
                ));
            }
            let (m, k) = (sa[sa.rank() - 2], sa[sa.rank() - 1]);
            let (kb, n) = (sb[sb.rank() - 2], sb[sb.rank() - 1]);
            if k != kb {
                let remedy = if k == n && sa.rank() == 2 && sb.rank() == 2 {
                    "transpose the right operand: .t()"
                } else {
                    "transpose or reshape an operand"
                };
                return Err(Fault::shape(
                    format!("shapes {sa} and {sb} do not fit: the left has {k} columns, the right {kb} rows"),
                    remedy,
                ));
            }
            if sb.rank() == 2 {
                let shape = sa.with_axis(sa.rank() - 1, n);
                return Ok(Some(Recorded { op: Op::Matmul(op), shape, dtype: a.dtype }));
            }
            let batch = Shape::from(&sa[..sa.rank() - 2]).broadcast(&Shape::from(&sb[..sb.rank() - 2]));
            let Some(batch) = batch else {
                return Err(Fault::shape(
                    format!("the batch axes of {sa} and {sb} do not broadcast"),
                    "make the extents equal or 1",
                ));
            };
            let shape = batch.iter().copied().chain([m, n]).collect();
            Ok(Some(Recorded { op: Op::Matmul(op), shape, dtype: a.dtype }))
        })
    }
}

impl Rule for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn vjp<'t>(&self, at: &Local<'_, 't>, ct: Var<'t>, give: &mut dyn FnMut(usize, Contribution<'t>)) {
        let (sa, sb) = (at.shape(0), at.shape(1));
        if at.wants(0) {
            give(0, Contribution::Whole(ct.matmul(at.input(1).t())));
        }
        if at.wants(1) {
            // A matrix used by a batch of left operands is used by all their rows at once.
            let left = at.input(0);
            give(
                1,
                match (sa.rank(), sb.rank()) {
                    (2, 2) => Contribution::Product { left, right: ct },
                    (_, 2) => {
                        let (k, n) = (sb[0], sb[1]);
                        let rows = sa[..sa.rank() - 1].iter().product::<usize>();
                        Contribution::Product { left: left.reshape([rows, k]), right: ct.reshape([rows, n]) }
                    }
                    _ => Contribution::Whole(left.t().matmul(ct)),
                },
            );
        }
    }

    fn jvp<'t>(&self, at: &Local<'_, 't>, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
        let left = tangents[0].map(|da| da.matmul(at.input(1)));
        let right = tangents[1].map(|db| at.input(0).matmul(db));
        left.into_iter().chain(right).reduce(|sum, term| sum + term)
    }

    fn lower(&self, lower: &mut Lower<'_>, node: usize) {
        let inputs = lower.inputs(node);
        let (a, b) = (lower.place(inputs[0]), lower.place(inputs[1]));
        let (sa, sb) = (lower.shape(inputs[0]), lower.shape(inputs[1]));
        let out_shape = lower.shape(node);
        let rank = out_shape.rank();
        let (mut m, n, k) = (out_shape[rank - 2], out_shape[rank - 1], sa[sa.rank() - 1]);
        let c = lower.alloc_rows(node);

        let split = |strides: &[usize]| (strides[strides.len() - 2], strides[strides.len() - 1]);
        let (a_strides, b_strides, c_strides) = (split(&a.strides), split(&b.strides), split(&c.strides));
        let batch_shape: Shape = out_shape[..rank - 2].into();
        let leading = |shape: &Shape, strides: &[usize]| -> Strides {
            let lead: Shape = shape[..shape.rank() - 2].into();
            lead.broadcast_strides(&strides[..lead.rank()], &batch_shape)
        };
        let mut batch: Vec<usize> = batch_shape.to_vec();
        let mut steps =
            [leading(&sa, &a.strides).to_vec(), leading(&sb, &b.strides).to_vec(), c.strides[..rank - 2].to_vec()];
        if k == 0 {
            // Operands without elements have one place, wherever their strides lead.
            steps[..2].iter_mut().for_each(|step| step.fill(0));
        }
        // Batch axes over which the right operand is the same and rows stay evenly spaced are rows.
        while let Some(last) = batch.len().checked_sub(1) {
            let even = |step: usize, row: usize| step == row * m || batch[last] == 1;
            if steps[1][last] != 0 && batch[last] != 1
                || !even(steps[0][last], a_strides.0)
                || !even(steps[2][last], c_strides.0)
            {
                break;
            }
            m *= batch[last];
            batch.pop();
            steps.iter_mut().for_each(|s| {
                s.pop();
            });
        }
        let [a_steps, b_steps, c_steps] = steps;
        lower.emit(Instr::Gemm(Gemm {
            dtype: lower.dtype(node),
            m,
            n,
            k,
            a: (a.buf, a.offset, a_strides),
            b: (b.buf, b.offset, b_strides),
            c: (c.buf, c.offset, c_strides.0),
            also: Vec::new(),
            batch,
            steps: [a_steps, b_steps, c_steps],
            blocks: Blocks { backward: self.backward, onto: false },
        }));
    }
}
