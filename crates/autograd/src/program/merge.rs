//! Products with one right operand become one instruction, which goes through that operand once.

use super::code::{Buf, Gemm, Instr, Left};
use crate::dtype::DType;
use std::collections::HashMap;
use wengert_kernels::Blocks;

/// Instructions that a product is moved past, at most.
const FARTHEST: usize = 64;
/// Products of one instruction, at most: its results are checked against each other.
const LARGEST: usize = 16;

/// What products of one instruction have in common: right operand, its extents, how K-blocks are added.
type Right = (DType, (Buf, usize, (usize, usize)), [usize; 2], Blocks);

fn right(op: &Gemm) -> Option<Right> {
    (op.batch.is_empty() && op.m * op.n * op.k > 0).then_some((op.dtype, op.b, [op.n, op.k], op.blocks))
}

/// Results of an instruction's products.
fn results(op: &Gemm) -> impl Iterator<Item = Buf> {
    op.also.iter().map(|left| left.c.0).chain([op.c.0])
}

/// Makes one instruction of products with the same right operand.
pub(super) fn merge_products(code: &mut Vec<Instr>) {
    ahead(code);
    behind(code);
}

/// Moves a product to an earlier one, if its left operand is there by then and its result is not in use.
///
/// The projections of the inputs in a loop over time in plain Rust are such products.
fn ahead(code: &mut Vec<Instr>) {
    let buffers = code.iter().map(|instr| {
        let mut end = 0;
        instr.visit_buffers(&mut |buf| end = end.max(buf + 1));
        end
    });
    let buffers = buffers.max().unwrap_or(0);
    // One more than the last instruction that has written, or touched, each buffer.
    let (mut written, mut touched) = (vec![0; buffers], vec![0; buffers]);
    let mut first: HashMap<Right, usize> = HashMap::new();
    let mut merged: Vec<Option<Instr>> = Vec::with_capacity(code.len());
    for (at, instr) in code.drain(..).enumerate() {
        let mut place = at;
        if let Instr::Gemm(op) = &instr
            && let Some(key) = right(op)
        {
            let early = first.get(&key).copied().filter(|early| {
                let Some(Instr::Gemm(group)) = &merged[*early] else { return false };
                let fits = group.also.len() + op.also.len() + 2 <= LARGEST;
                let there =
                    op.also.iter().map(|left| left.a.0).chain([op.a.0, op.b.0]).all(|buf| written[buf] <= *early);
                let free = |buf: Buf| touched[buf] <= *early && results(group).all(|other| other != buf);
                fits && there && results(op).all(free)
            });
            match early {
                Some(early) => place = early,
                None => drop(first.insert(key, at)),
            }
        }
        instr.visit_operands(&mut |buf, writes| {
            touched[buf] = touched[buf].max(place + 1);
            if writes {
                written[buf] = written[buf].max(place + 1);
            }
        });
        merged.push(None);
        match (instr, &mut merged[place]) {
            (Instr::Gemm(late), Some(Instr::Gemm(group))) => join(group, late),
            (instr, own) => *own = Some(instr),
        }
    }
    code.extend(merged.into_iter().flatten());
}

/// Moves a product to a later one, if nothing between touches its result.
///
/// The gradients of the weights of a cell are such products: of the inputs and of the states, with the same cotangents.
fn behind(code: &mut Vec<Instr>) {
    for first in (0..code.len()).rev() {
        let Instr::Gemm(early) = &code[first] else { continue };
        let Some(key) = right(early) else { continue };
        let own: Vec<Buf> = results(early).collect();
        let fits = |late: &Gemm| {
            let mut others = results(late).chain(late.also.iter().map(|left| left.a.0)).chain([late.a.0]);
            let count = early.also.len() + late.also.len() + 2;
            count <= LARGEST && right(late) == Some(key) && others.all(|other| !own.contains(&other))
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
        join(late, early);
    }
}

/// Adds the products of an instruction to those of another.
fn join(to: &mut Gemm, from: Gemm) {
    to.also.push(Left { m: from.m, a: from.a, c: from.c });
    to.also.extend(from.also);
}

#[cfg(test)]
mod tests {
    use super::super::{PlanOptions, compile, evaluate_with};
    use super::{Gemm, Instr, LARGEST};
    use crate::{DType, Tape, Tensor, Var};

    /// The products of each instruction of the values' program.
    fn products(tape: &Tape, asked: &[Var<'_>]) -> Vec<usize> {
        let asked: Vec<_> = asked.iter().map(|var| var.id).collect();
        let options = PlanOptions { optimise: true, traced: false };
        let program = compile(&tape.inner.borrow(), &asked, options).unwrap();
        let count = |op: &Gemm| op.also.len() + 1;
        program
            .block
            .code
            .iter()
            .filter_map(|instr| if let Instr::Gemm(op) = instr { Some(count(op)) } else { None })
            .collect()
    }

    /// Whether merged products have the bits of single ones.
    fn same_bits(tape: &Tape, asked: &[Var<'_>]) -> bool {
        let asked: Vec<_> = asked.iter().map(|var| var.id).collect();
        let [merged, single] =
            [true, false].map(|optimise| evaluate_with(tape, &asked, PlanOptions { optimise, traced: false }).unwrap());
        merged.iter().zip(&single).all(|(a, b)| a.bit_eq(b))
    }

    fn numbers(shape: &[usize], seed: f64) -> Tensor {
        let count: usize = shape.iter().product();
        let data: Vec<f64> = (0..count).map(|i| (seed + 1.3 * i as f64).sin()).collect();
        Tensor::from_slice(&data, shape).unwrap()
    }

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

    #[test]
    fn projections_of_a_loop_in_rust_are_computed_together() {
        for apart in [false, true] {
            let tape = Tape::new();
            let (w, u) = (tape.var(numbers(&[2, 5], 0.1)), tape.var(numbers(&[5, 5], 0.2)));
            let all = tape.constant(numbers(&[20, 3, 2], 0.3));
            let mut h = tape.zeros([3, 5], DType::F64);
            let mut states = Vec::new();
            for t in 0..20 {
                let x = if apart { tape.constant(numbers(&[3, 2], t as f64)) } else { all.get(0, t) };
                h = (x.matmul(w) + h.matmul(u)).tanh();
                states.push(h);
            }
            let found = products(&tape, &states);
            // A full instruction and the rest of the projections; the states one after the other.
            assert_eq!(found.iter().filter(|count| **count > 1).collect::<Vec<_>>(), [&LARGEST, &(20 - LARGEST)]);
            assert_eq!(found.iter().filter(|count| **count == 1).count(), 20);
            assert!(same_bits(&tape, &states));
        }
    }

    /// Neither a product whose left operand is computed meanwhile, nor one of a right operand that is, is moved before that.
    #[test]
    fn products_stay_behind_what_they_read() {
        let tape = Tape::new();
        let (w, x) = (tape.var(numbers(&[4, 4], 0.1)), tape.var(numbers(&[4, 4], 0.2)));
        let first = x.matmul(w);
        let left = first.tanh();
        let right = left.sin();
        let values = [first, left.matmul(w), x.matmul(right), left.matmul(right), x.exp().matmul(w), right.matmul(w)];
        assert!(same_bits(&tape, &values));
    }
}
