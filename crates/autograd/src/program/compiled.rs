//! Programs kept by their user.

use super::code::{Block, Home, Instr};
use super::packs::Packed;
use super::{PlanOptions, Program, program_of, refuse, run};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::node::NodeId;
use crate::shape::Shape;
use crate::tape::{LeafValue, Tape};
use crate::tensor::Tensor;
use crate::var::Var;
use std::fmt;
use std::sync::Arc;
use wengert_kernels::Blocks;

/// Values of some inputs, recorded once and computed as often as wanted.
///
/// A training loop has no use for it: recording is cheap, and what was recorded before is not planned again. Where a
/// whole step takes a few microseconds, as in streaming, it leaves out the recording and keeps the matrices of
/// products with few rows in the layout that the processor wants.
///
/// ```
/// use wengert_autograd::{Compiled, Param, Tensor};
/// let w = Param::new(Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2])?);
/// let x = Tensor::from_slice(&[1.0f32, 10.0], [1, 2])?;
/// let mut layer = Compiled::new(&[&x], |_tape, x| vec![x[0].matmul(&w).relu()])?;
/// let y = layer.run(&[&x])?;
/// assert_eq!(y[0].to_f64_vec(), [31.0, 42.0]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
pub struct Compiled {
    program: Arc<Program>,
    /// The inputs, then everything else that was recorded.
    leaves: Vec<LeafValue>,
    inputs: Vec<(DType, Shape)>,
    /// Right operands of products, by instruction.
    packs: Vec<Option<Packed>>,
}

impl Compiled {
    /// Records `outputs` of inputs with the element types and shapes of `examples`, and plans them. Parameters, and whatever
    /// else the closure takes in, keep the values they have now.
    ///
    /// # Errors
    /// The first error among the recorded operations.
    pub fn new<F>(examples: &[&Tensor], outputs: F) -> Result<Compiled>
    where
        F: for<'t> FnOnce(&'t Tape, &[Var<'t>]) -> Vec<Var<'t>>,
    {
        let tape = Tape::new();
        let inputs: Vec<Var<'_>> = examples.iter().map(|example| tape.constant(*example)).collect();
        let outputs = outputs(&tape, &inputs);
        for var in &outputs {
            tape.computable("compile", *var)?;
        }
        let asked: Vec<NodeId> = outputs.iter().map(|var| var.id).collect();
        let inner = tape.inner.borrow();
        let program = program_of(&inner, &asked, PlanOptions { optimise: true, traced: false })?;
        refuse::memory(&program, &inner, &asked)?;
        let leaves = inner.leaves.clone();
        let packs =
            program.block.code.iter().map(|instr| pack(&program.block, instr, &leaves[..], inputs.len())).collect();
        let inputs = examples.iter().map(|example| (example.dtype(), example.shape().clone())).collect();
        Ok(Compiled { program, leaves, inputs, packs })
    }

    /// The outputs for these inputs.
    ///
    /// # Errors
    /// If their number, element types or shapes are not those of the examples, and errors of running, as of an index out of
    /// range.
    #[track_caller]
    pub fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.check(inputs)?;
        for (leaf, input) in self.leaves.iter_mut().zip(inputs) {
            *leaf = LeafValue::Tensor(input.contiguous());
        }
        let values = run::run(&self.program, &self.leaves, &self.packs, Vec::new(), None);
        // An input that is held on to could not be updated in place by its owner.
        self.leaves[..inputs.len()].fill(LeafValue::Number(0.0));
        values
    }

    #[track_caller]
    fn check(&self, inputs: &[&Tensor]) -> Result<()> {
        #[track_caller]
        fn wrong(found: String) -> Result<()> {
            Err(Error::new(ErrorKind::Shape, "run", found, "give inputs like the examples, or compile for these"))
        }
        if inputs.len() != self.inputs.len() {
            return wrong(format!("expected {} inputs, found {}", self.inputs.len(), inputs.len()));
        }
        for (i, (input, (dtype, shape))) in inputs.iter().zip(&self.inputs).enumerate() {
            if input.dtype() != *dtype || input.shape() != shape {
                let (found, at) = (input.dtype(), input.shape());
                return wrong(format!("input {i} is {found} {at}, the example was {dtype} {shape}"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// Multiplications up to which a product is computed by one thread, from a packed matrix.
const SMALL: usize = 1 << 20;

/// The right operand of a product, packed, if it is a matrix that no input changes.
fn pack(block: &Block, instr: &Instr, leaves: &[LeafValue], inputs: usize) -> Option<Packed> {
    let Instr::Gemm(op) = instr else { return None };
    let Home::Leaf(ordinal) = block.buffers[op.b.0] else { return None };
    let size = op.m * op.n * op.k;
    let single = op.batch.is_empty() && op.also.is_empty() && op.blocks == Blocks::default();
    if !single || size == 0 || size > SMALL || (ordinal as usize) < inputs {
        return None;
    }
    Some(Packed::leaf(run::leaf(leaves, ordinal), op))
}
