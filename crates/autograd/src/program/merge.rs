//! Products with one right operand become one instruction, which goes through that operand once.

use super::code::{Buf, Gemm, Instr, Left};

/// Instructions that a product is moved past, at most.
const FARTHEST: usize = 64;
/// Products of one instruction, at most: its results are checked against each other.
const LARGEST: usize = 16;

/// Moves a product to a later one with the same right operand, if nothing between touches its result.
///
/// The gradients of the weights of a cell are such products: of the inputs and of the states, with the same cotangents.
pub(super) fn merge_products(code: &mut Vec<Instr>) {
    for first in (0..code.len()).rev() {
        let Instr::Gemm(early) = &code[first] else { continue };
        if !early.batch.is_empty() || early.m * early.n * early.k == 0 {
            continue;
        }
        let results = |op: &Gemm| -> Vec<Buf> { op.also.iter().map(|left| left.c.0).chain([op.c.0]).collect() };
        let own = results(early);
        let fits = |late: &Gemm| {
            let kind = |op: &Gemm| (op.dtype, op.n, op.k, op.b, op.blocks);
            let mut others = results(late);
            others.extend(late.also.iter().map(|left| left.a.0).chain([late.a.0]));
            let count = early.also.len() + late.also.len() + 2;
            count <= LARGEST
                && late.batch.is_empty()
                && kind(late) == kind(early)
                && late.m > 0
                && !own.iter().any(|c| others.contains(c))
        };
        let mut last = None;
        for (at, instr) in code.iter().enumerate().skip(first + 1).take(FARTHEST) {
            if let Instr::Gemm(late) = instr
                && fits(late)
            {
                last = Some(at);
                break;
            }
            let mut touched = false;
            instr.visit_buffers(&mut |buf| touched |= own.contains(&buf));
            if touched {
                break;
            }
        }
        let Some(last) = last else { continue };
        let Instr::Gemm(early) = code.remove(first) else { unreachable!("just looked at") };
        let Instr::Gemm(late) = &mut code[last - 1] else { unreachable!("just looked at") };
        late.also.push(Left { m: early.m, a: early.a, c: early.c });
        late.also.extend(early.also);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, Tensor};

    #[test]
    fn many_products_with_one_right_operand() {
        let tape = Tape::new();
        let w = tape.var(Tensor::from_slice(&[1.0f64, 2.0, 3.0, 4.0], [2, 2]).unwrap());
        let rows = |t: usize| tape.constant(Tensor::from_slice(&[t as f64, 1.0], [1, 2]).unwrap());
        let products: Vec<_> = (0..150).map(|t| rows(t).matmul(w)).collect();
        for (t, value) in tape.eval_all(&products).unwrap().iter().enumerate() {
            assert_eq!(value.to_f64_vec(), [t as f64 + 3.0, 2.0 * t as f64 + 4.0]);
        }
    }
}
