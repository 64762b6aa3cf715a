//! Programs whose outputs take the memory of what they replace.

use super::code::Home;
use super::run::{Donation, run};
use super::{PlanOptions, Watching, evaluate, program_of, refuse};
use crate::error::Result;
use crate::node::NodeId;
use crate::replace::{Locked, Place};
use crate::tape::{LeafValue, Tape};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Computes the asked nodes and sets the places to them; the tape is not used any more.
pub(crate) fn replace(tape: &mut Tape, asked: &[NodeId], places: &mut [Place<'_>]) -> Result<()> {
    let kind = |id: &NodeId| {
        let node = &tape.inner.borrow().nodes[*id as usize];
        (node.shape.clone(), node.dtype)
    };
    let kinds: Vec<_> = asked.iter().map(kind).collect();
    let watched = !matches!(tape.watching, Watching::Nothing);
    let program = match watched || asked.iter().any(|id| tape.held(*id).is_some()) {
        // For those who look on, or with a value that stays as it is: nothing is given away.
        true => None,
        false => {
            let inner = tape.inner.get_mut();
            let program = program_of(inner, asked, PlanOptions { optimise: true, traced: false })?;
            refuse::memory(&program, inner, asked)?;
            Some(program).filter(|program| !program.pairs().is_empty())
        }
    };
    let Some(program) = program else {
        // It may run code of the user's, which may ask for a parameter: they are locked when it has ended.
        let values = evaluate(tape, asked)?;
        Locked::new(places, &kinds)?.tensors().zip(values).for_each(|(place, value)| *place = value.contiguous());
        return Ok(());
    };
    let leaves = &mut tape.inner.get_mut().leaves;
    let of_memory: HashMap<usize, u32> = (0..)
        .zip(leaves.iter())
        .filter_map(|(ordinal, leaf)| match leaf {
            LeafValue::Tensor(tensor) => Some((tensor.parts().0.address(), ordinal)),
            LeafValue::Number(_) | LeafValue::Function(_) => None,
        })
        .collect();
    let mut locked = Locked::new(places, &kinds)?;
    let mut donations: Vec<Donation> = Vec::new();
    for (place, view) in locked.tensors().zip(&program.outputs) {
        let (Home::Output(output), Some(leaf)) = (view.source, of_memory.get(&place.parts().0.address())) else {
            continue;
        };
        // The place and the tape hold it, and nobody else; all of it is the leaf.
        let free = place.parts().0.holders() == 2 && place.parts().0.len() == program.block.outputs[output].1;
        if free && program.pairs().contains(&(output, *leaf)) && donations.iter().all(|given| given.output != output) {
            *place = Tensor::zeros([0], place.dtype());
            if let LeafValue::Tensor(own) = std::mem::replace(&mut leaves[*leaf as usize], LeafValue::Number(0.0)) {
                donations.push(Donation { output, leaf: *leaf, memory: own.parts().0.clone() });
            }
        }
    }
    // Such a program does not fail: what was given away is replaced.
    let values = run(&program, leaves, &[], donations, None)?;
    locked.tensors().zip(values).for_each(|(place, value)| *place = value.contiguous());
    Ok(())
}
