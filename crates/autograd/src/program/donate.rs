//! Donation: which output of a program may be computed in the memory of which leaf.

use super::Program;
use super::code::{AnyTile, Home, Instr, TileInput};
use crate::dtype::DType;
use std::collections::{HashMap, HashSet};

/// The pairs of an output and a leaf such that the output may take the leaf's memory: an elementwise program writes all of
/// the output, reads all of the leaf in the same order, and is the last to read it. There are none if the program can
/// fail or runs code of the user's, so that what is given away is always replaced.
pub(super) fn pairs(program: &Program) -> HashSet<(usize, u32)> {
    let block = &*program.block;
    let mut found = HashSet::new();
    let fails =
        |instr: &Instr| matches!(instr, Instr::Gather(_) | Instr::ScatterAdd(_) | Instr::Opaque(_) | Instr::Loop(_));
    if block.code.iter().any(fails) {
        return found;
    }
    // The last instruction that touches each leaf, and the first that touches each output.
    let (mut last, mut first) = (HashMap::new(), HashMap::new());
    for (at, instr) in block.code.iter().enumerate() {
        instr.visit_buffers(&mut |buf| match block.buffers[buf] {
            Home::Leaf(leaf) => drop(last.insert(leaf, at)),
            Home::Output(output) => drop(first.entry(output).or_insert(at)),
            _ => {}
        });
    }
    // A leaf that is asked for itself is handed out.
    for view in &program.outputs {
        if let Home::Leaf(leaf) = view.source {
            last.remove(&leaf);
        }
    }
    for (at, instr) in block.code.iter().enumerate() {
        let Instr::Tile(tile) = instr else { continue };
        for (written, (_, buf, offset, len)) in tile.outputs.iter().enumerate() {
            let Home::Output(output) = block.buffers[*buf] else { continue };
            let (dtype, whole) = block.outputs[output];
            if dtype == DType::Bool || *offset != 0 || *len != whole || first.get(&output) != Some(&at) {
                continue;
            }
            for input in &tile.inputs {
                let Home::Leaf(leaf) = block.buffers[input.buf] else { continue };
                let fits = |(i, input): (usize, &TileInput)| {
                    let same = input.dtype == dtype && input.offset == 0 && input.extent == whole;
                    same && replaces(&tile.program, i, written)
                };
                let of_leaf = |input: &TileInput| block.buffers[input.buf] == Home::Leaf(leaf);
                let mut reads = tile.inputs.iter().enumerate().filter(|(_, input)| of_leaf(input));
                if last.get(&leaf) == Some(&at) && reads.all(fits) {
                    found.insert((output, leaf));
                }
            }
        }
    }
    found
}

fn replaces(program: &AnyTile, input: usize, output: usize) -> bool {
    match program {
        AnyTile::F32(program) => program.replaces(input, output),
        AnyTile::F64(program) => program.replaces(input, output),
        AnyTile::I64(program) => program.replaces(input, output),
    }
}
