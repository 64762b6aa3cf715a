//! A reverse rule from a forward one: the transpose of what it records.

use super::vjp_since;
use crate::var::Var;

/// The cotangents of the tangents of `inputs`, given the cotangent of `linear(tangents)`; `None` if what `linear` records is not
/// linear in them.
#[track_caller]
pub(crate) fn transposed<'t>(
    inputs: &[Var<'t>],
    wants: &[bool],
    ct: Var<'t>,
    linear: impl FnOnce(&[Var<'t>]) -> Var<'t>,
) -> Option<Vec<Option<Var<'t>>>> {
    let tape = ct.tape();
    let start = tape.len();
    // Tangents without a value: the transpose of a linear function does not read them.
    let tangents: Vec<Var<'t>> = inputs
        .iter()
        .map(|input| {
            let (shape, dtype) = input.node(|n| (n.shape.clone(), n.dtype));
            tape.literal(0.0, dtype).expand(shape).detach()
        })
        .collect();
    let value = linear(&tangents);
    if tape.owned(value).is_err() {
        return Some(vec![Some(value); inputs.len()]);
    }
    if (value.id as usize) < start {
        return Some(vec![None; inputs.len()]);
    }
    let asked: Vec<usize> = (0..inputs.len()).filter(|i| wants[*i]).collect();
    let wrt: Vec<Var<'t>> = asked.iter().map(|i| tangents[*i]).collect();
    let found = vjp_since(start as u32, &[(value, ct)], &wrt);

    let inner = tape.inner.borrow();
    let mut reads = vec![false; inner.nodes.len() - start];
    tangents.iter().for_each(|t| reads[t.id as usize - start] = true);
    for id in start..inner.nodes.len() {
        let from = |input: &u32| (*input as usize).checked_sub(start).is_some_and(|i| reads[i]);
        reads[id - start] |= inner.nodes[id].inputs.iter().any(from);
    }
    if found.iter().flatten().any(|ct| (ct.id as usize).checked_sub(start).is_some_and(|i| reads[i])) {
        return None;
    }
    let mut all = vec![None; inputs.len()];
    asked.into_iter().zip(found).for_each(|(i, ct)| all[i] = ct);
    Some(all)
}
