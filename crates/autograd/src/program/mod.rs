//! From a recording to numbers: graph, fusion, instructions, memory, execution.
//!
//! There is one path. The values asked for are cut out of the tape as a [`graph`], [simplified](simplify); elementwise
//! chains are [fused](fuse), nodes are [lowered](lower) to instructions over buffers, buffers are [laid out](layout) in one
//! arena, and the result, a [`Block`](code::Block), is cached under the structure of the recording and [run](run).

mod absorb;
mod accumulate;
mod anomaly;
mod assemble;
mod cache;
mod calls;
mod code;
mod compiled;
mod donate;
mod fuse;
mod graph;
mod group;
mod index;
mod layout;
mod lines;
mod listing;
mod loops;
mod lower;
mod merge;
mod opaque;
mod packs;
mod pair;
mod pieces;
mod profile;
mod refuse;
mod rematerialise;
mod repeat;
mod replace;
mod run;
mod schedule;
mod segments;
mod shard;
mod simplify;
mod strips;
mod trace;

#[cfg(test)]
pub(crate) use cache::compiled;
pub(crate) use code::{Gemm, Instr, ReduceInstr};
pub use compiled::Compiled;
pub(crate) use index::IndexInstr;
pub(crate) use lines::LineInstr;
pub use listing::{Instruction, Operation, ProgramView};
pub(crate) use lower::{Lower, Place};
pub(crate) use opaque::OpaqueInstr;
#[cfg(test)]
pub(crate) use packs::PACKED;
pub use profile::{Profile, ProfileEntry};
pub(crate) use replace::replace;
#[cfg(test)]
pub(crate) use run::spare_bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::node::{NodeId, Op, StructureHasher};
use crate::tape::{Inner, Tape};
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use wengert_kernels::threads;

/// How a recording becomes a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PlanOptions {
    /// Whether elementwise operations are fused and common subexpressions shared; without, every node
    /// is an instruction of its own (the oracle of the tests).
    pub optimise: bool,
    /// Whether instructions are noted with the operations they compute; such plans are not kept.
    pub traced: bool,
}

/// What is looked for while the programs of a tape run.
pub(crate) enum Watching {
    Nothing,
    /// The first value that is not finite.
    NonFinite,
    /// Times.
    Time(RefCell<Profile>),
}

/// A compiled request: what is asked for, ready to run with any leaves.
pub(crate) struct Program {
    block: Arc<code::Block>,
    /// Where each asked value is found.
    outputs: Vec<code::OutputView>,
    /// Which output may take the memory of which leaf, once somebody has asked.
    pairs: OnceLock<HashSet<(usize, u32)>>,
}

impl Program {
    /// Which output may take the memory of which leaf.
    fn pairs(&self) -> &HashSet<(usize, u32)> {
        self.pairs.get_or_init(|| donate::pairs(self))
    }
}

/// The program of a loss and its gradients, remembered under the structure of the loss alone: a training step that was
/// seen before need not record its backward pass.
pub(crate) struct Step {
    program: Arc<Program>,
    /// For each leaf, whether it has a gradient.
    pub present: Vec<bool>,
}

impl Step {
    /// The step of a loss with respect to some leaves, if its key is known.
    pub(crate) fn known(key: u128) -> Option<Arc<Step>> {
        cache::step(with_threads(key))
    }

    /// Compiles and remembers the step: `gradients` are those of its leaves.
    pub(crate) fn remember(key: u128, tape: &Tape, loss: NodeId, gradients: &[Option<NodeId>]) -> Result<Arc<Step>> {
        let asked: Vec<NodeId> = std::iter::once(loss).chain(gradients.iter().flatten().copied()).collect();
        let program = program_of(&tape.inner.borrow(), &asked, PlanOptions { optimise: true, traced: false })?;
        Ok(cache::remember(
            with_threads(key),
            Step { program, present: gradients.iter().map(Option::is_some).collect() },
        ))
    }

    /// The loss, then the gradients that are present.
    pub(crate) fn run(&self, tape: &Tape, loss: NodeId) -> Result<Vec<Tensor>> {
        let inner = tape.inner.borrow();
        refuse::memory(&self.program, &inner, &[loss])?;
        run::run(&self.program, &inner.leaves, &[], Vec::new(), None)
    }
}

/// Computes values of the tape.
pub(crate) fn evaluate(tape: &Tape, asked: &[NodeId]) -> Result<Vec<Tensor>> {
    evaluate_with(
        tape,
        asked,
        match tape.watching {
            Watching::Nothing => PlanOptions { optimise: true, traced: false },
            Watching::NonFinite => PlanOptions { optimise: false, traced: true },
            Watching::Time(_) => PlanOptions { optimise: true, traced: true },
        },
    )
}

pub(crate) fn evaluate_with(tape: &Tape, asked: &[NodeId], options: PlanOptions) -> Result<Vec<Tensor>> {
    let mut values: Vec<Option<Tensor>> =
        asked.iter().map(|id| if options.optimise { tape.held(*id) } else { None }).collect();
    let missing: Vec<NodeId> =
        asked.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(id, _)| *id).collect();
    if !missing.is_empty() {
        let inner = tape.inner.borrow();
        let begin = options.traced.then(std::time::Instant::now);
        let program = program_of(&inner, &missing, options)?;
        let planning = begin.map_or(std::time::Duration::ZERO, |begin| begin.elapsed());
        refuse::memory(&program, &inner, &missing)?;
        let mut computed = watched(tape, &inner, &program, planning, options)?.into_iter();
        for slot in values.iter_mut().filter(|value| value.is_none()) {
            *slot = computed.next();
        }
    }
    Ok(values.into_iter().map(|value| value.expect("every asked value is held or computed")).collect())
}

/// Runs a program, for those who look on as well if it is traced; `planning` is the time it took to make it.
fn watched(
    tape: &Tape,
    inner: &Inner,
    program: &Program,
    planning: std::time::Duration,
    options: PlanOptions,
) -> Result<Vec<Tensor>> {
    match &tape.watching {
        Watching::Time(profile) if options.traced => {
            let mut clock = profile::Clock::start();
            let values = run::run(program, &inner.leaves, &[], Vec::new(), Some(&mut clock))?;
            clock.stop();
            profile.borrow_mut().add(&Profile::of(&ProgramView::of(inner, program), clock, planning));
            Ok(values)
        }
        Watching::NonFinite if options.traced => {
            let mut finder = anomaly::Finder::new(inner, program)?;
            run::run(program, &inner.leaves, &[], Vec::new(), Some(&mut finder))
        }
        _ => run::run(program, &inner.leaves, &[], Vec::new(), None),
    }
}

/// The key of a plan for the number of threads in use.
fn with_threads(key: u128) -> u128 {
    key.wrapping_add(threads() as u128)
}

/// The program that computes the asked nodes, from the cache or made now.
fn program_of(inner: &Inner, asked: &[NodeId], options: PlanOptions) -> Result<Arc<Program>> {
    check_asked(inner, asked)?;
    if options.traced {
        return Ok(Arc::new(compile(inner, asked, options)?));
    }
    let mut hasher = StructureHasher::new();
    std::hash::Hash::hash(&options, &mut hasher);
    asked.iter().for_each(|id| hasher.write_hash(inner.nodes[*id as usize].hash));
    cache::program(with_threads(hasher.finish128()), || compile(inner, asked, options))
}

/// Whether the nodes have values of their own outside of loops.
fn check_asked(inner: &Inner, asked: &[NodeId]) -> Result<()> {
    for id in asked {
        let node = &inner.nodes[*id as usize];
        if node.body != 0 {
            return Err(Error::at(
                ErrorKind::Scope,
                "value",
                "the value belongs to a scan body: it has one value for each step",
                "return it from the body's closure as an output",
                Some(node.at),
            ));
        }
        if let Op::Error(number) = node.op {
            return Err(inner.errors[number as usize].clone());
        }
    }
    Ok(())
}

/// The bytes of arena that the program of some values takes.
#[cfg(test)]
pub(crate) fn arena_bytes(tape: &Tape, asked: &[NodeId]) -> usize {
    taken(tape, asked).arena
}

/// What the program of some values takes.
#[cfg(test)]
pub(crate) struct Taken {
    pub arena: usize,
    pub packed: usize,
    /// Arena, packed matrices, and what output buffers hold beside the values.
    pub beside_outputs: usize,
    /// About the nanoseconds of a run.
    pub work: usize,
}

#[cfg(test)]
pub(crate) fn taken(tape: &Tape, asked: &[NodeId]) -> Taken {
    fn work(block: &code::Block) -> usize {
        let inner = |instr: &Instr| match instr {
            Instr::Loop(inside) => inside.steps * inside.shards.iter().map(|shard| work(&shard.block)).sum::<usize>(),
            _ => 0,
        };
        block.cost() + block.code.iter().map(inner).sum::<usize>()
    }
    let inner = tape.inner.borrow();
    let program = compile(&inner, asked, PlanOptions { optimise: true, traced: false });
    let program = program.expect("the values are valid");
    let value = |id: &NodeId| inner.nodes[*id as usize].shape.numel() * inner.nodes[*id as usize].dtype.size();
    let block = &program.block;
    Taken {
        arena: block.arena_bytes,
        packed: block.packed_bytes(),
        beside_outputs: run::bytes(&program) - asked.iter().map(value).sum::<usize>(),
        work: work(block),
    }
}

fn compile(inner: &Inner, asked: &[NodeId], options: PlanOptions) -> Result<Program> {
    let mut graph = graph::build(inner, asked, options)?;
    if options.optimise {
        graph = simplify::simplify(schedule::scheduled(graph, options));
    }
    Ok(lower::program(&graph, options))
}
