//! Calls of the user's own functions.

use super::code::Buf;
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::shape::Shape;
use crate::tape::LeafValue;
use crate::tensor::{Buffer, Tensor, with_buffer};
use std::panic::Location;
use std::sync::Arc;
use wengert_kernels::{Memory, Pod, Span};

/// A call; operands by element type, shape, buffer and element offset, all contiguous.
pub(crate) struct OpaqueInstr {
    /// The leaf that holds the function.
    pub function: u32,
    pub inputs: Vec<(DType, Shape, Buf, usize)>,
    pub out: (DType, Shape, Buf, usize),
    pub at: &'static Location<'static>,
}

impl OpaqueInstr {
    /// Copies the operands to tensors, calls the function, and copies its result to where it belongs; `span` finds an operand.
    pub(super) fn run(
        &self,
        leaves: &[LeafValue],
        memory: &mut Memory<'_>,
        span: impl Fn(&(DType, Shape, Buf, usize)) -> Span,
    ) -> Result<()> {
        let LeafValue::Function(function) = &leaves[self.function as usize] else {
            unreachable!("a call names a function");
        };
        let tensor = |operand: &(DType, Shape, Buf, usize)| {
            let mut buffer = Buffer::spare(operand.0, operand.1.numel());
            let from = span(operand);
            // A spare buffer has one owner.
            with_buffer!(&mut buffer, v => Arc::make_mut(v).copy_from_slice(memory.read(from)));
            Tensor::whole(buffer, operand.1.clone())
        };
        let inputs: Vec<Tensor> = self.inputs.iter().map(tensor).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let fail = |kind, found: String, remedy: &str| Error::at(kind, &*function.name, found, remedy, Some(self.at));
        let result = (function.forward)(&inputs).map_err(|e| fail(ErrorKind::Value, e.to_string(), ""))?;
        let (dtype, shape) = (self.out.0, &self.out.1);
        if result.dtype() != dtype || result.shape() != shape {
            let found =
                format!("the function returned {} {}, declared is {dtype} {shape}", result.dtype(), result.shape());
            let remedy = "declare the result's shape and element type with CustomOp::output";
            return Err(fail(ErrorKind::Shape, found, remedy));
        }
        fn store<T: Pod>(memory: &mut Memory<'_>, to: Span, values: &[T]) {
            memory.open(&[to]).take::<T>(0).copy_from_slice(values);
        }
        let result = result.contiguous();
        let (buffer, start) = result.parts();
        with_buffer!(buffer, v => store(memory, span(&self.out), &v[start..start + shape.numel()]));
        Ok(())
    }
}
