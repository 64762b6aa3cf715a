//! What a program cannot do: indices out of range, more memory than there is.

use super::index::IndexInstr;
use super::{Program, run};
use crate::error::{Error, ErrorKind};
use crate::node::{NodeId, Op};
use crate::tape::Inner;

/// Index `chosen`, at position `at` of the index of an operation, is outside of its axis.
#[cold]
pub(super) fn index(op: &IndexInstr, chosen: i64, at: &[usize]) -> Error {
    let at = op.asker.position(at, &op.index_shape);
    let (axis, shape) = (op.asker.axis(), &op.table_shape);
    let extent = shape[axis];
    let range = match extent {
        0 => format!("axis {axis} of {shape} has no entries"),
        1 => format!("axis {axis} of {shape} has entry 0 only"),
        _ => format!("axis {axis} of {shape} has entries 0 to {}", extent - 1),
    };
    let remedy = if chosen < 0 { "indices do not count from the back" } else { "" };
    let found = format!("index {chosen} at position {at:?} is out of range: {range}");
    Error::at(ErrorKind::Index, op.asker.name, found, remedy, Some(op.at))
}

/// Asking the system whether it has less than this would cost more than it saves.
const PLENTY: usize = 1 << 30;

/// Refuses a program that memory cannot hold, with the line of the largest value that `asked` nodes depend on:
/// allocating would end the process.
pub(super) fn memory(program: &Program, inner: &Inner, asked: &[NodeId]) -> Result<(), Error> {
    let bytes = run::bytes(program);
    if bytes <= PLENTY || Vec::<u8>::new().try_reserve_exact(bytes).is_ok() {
        return Ok(());
    }
    let mut needed = vec![false; inner.nodes.len()];
    asked.iter().for_each(|id| needed[*id as usize] = true);
    let size = |id: usize| inner.nodes[id].shape.numel() * inner.nodes[id].dtype.size();
    let mut largest = asked[0] as usize;
    for id in (0..needed.len()).rev() {
        // Values of loop bodies are reached through their loops.
        if !needed[id] && inner.nodes[id].body == 0 {
            continue;
        }
        inner.nodes[id].inputs.iter().for_each(|input| needed[*input as usize] = true);
        let held = matches!(inner.nodes[id].op, Op::Leaf(_) | Op::Literal(_) | Op::Scalar(_));
        if !held && size(id) > size(largest) {
            largest = id;
        }
    }
    let node = &inner.nodes[largest];
    let needs = bytes as f64 / (1u64 << 30) as f64;
    let found = format!(
        "the program needs {needs:.1} GiB of memory, more than there is; its largest value is {} {}",
        node.dtype, node.shape
    );
    Err(Error::at(ErrorKind::Memory, "value", found, "compute it in parts", Some(node.at)))
}
