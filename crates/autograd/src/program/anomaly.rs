//! Where the first value that is not finite comes from.

use super::code::{Block, Home, Instr, Number};
use super::trace::{Computed, Value, Values, Watch};
use super::{Program, Watching};
use crate::error::{Error, ErrorKind, Result};
use crate::node::{NodeId, Op};
use crate::origin::Pass;
use crate::tape::{Inner, LeafValue, Tape};
use crate::var::Var;

impl Tape {
    /// The same tape, on which a program that computes a non-finite value fails, with an error that says where the first one
    /// arose: operation, line, element, time step, forward or backward, and what its inputs were.
    ///
    /// Every operation runs by itself, in the order of recording and of time, and its result is looked at: slow, for
    /// finding a mistake. Reported is where an infinity arises from finite inputs, or a NaN from inputs that are
    /// not NaN. An infinity in data (the `-inf` of a mask) is taken as meant, and so is what follows from it until it becomes
    /// NaN; a NaN in data is reported. The branch that a [`select`](Var::select) does not take counts as well, because its
    /// derivative may be NaN; [`Var::allow_non_finite`] exempts a value.
    ///
    /// ```
    /// use wengert_autograd::{ErrorKind, Tape};
    /// let tape = Tape::new().detect_anomaly();
    /// let x = tape.var(0.0f64).named("x");
    /// let y = x.sqrt();
    /// assert_eq!(y.item()?, 0.0);
    /// let error = y.backward().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NonFinite);
    /// assert!(error.to_string().starts_with("div: gives inf (backward, in the derivative of sqrt "), "{error}");
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    pub fn detect_anomaly(mut self) -> Tape {
        self.watching = Watching::NonFinite;
        self
    }
}

impl<'t> Var<'t> {
    /// The same value, which may be infinite or NaN: [`Tape::detect_anomaly`] does not report it.
    pub fn allow_non_finite(self) -> Var<'t> {
        self.tape().inner.borrow_mut().allowed.insert(self.id);
        self
    }
}

/// Looks at every result of a run whose instructions are single operations.
pub(super) struct Finder<'a> {
    inner: &'a Inner,
    /// The loops that are running, outermost first: the scan and the step.
    steps: Vec<(NodeId, usize)>,
}

/// How far a value is from being a number: 0 finite, 1 infinite, 2 NaN.
fn degree(value: f64) -> u8 {
    value.is_nan() as u8 * 2 + value.is_infinite() as u8
}

impl<'a> Finder<'a> {
    /// # Errors
    /// If a leaf that the program reads holds NaN.
    pub(super) fn new(inner: &'a Inner, program: &Program) -> Result<Finder<'a>> {
        let finder = Finder { inner, steps: Vec::new() };
        let leaves = program.block.buffers.iter().filter_map(|home| match home {
            Home::Leaf(ordinal) => Some(*ordinal),
            _ => None,
        });
        let numbers = program.block.numbers.iter().filter_map(|(number, _)| match number {
            Number::Bound(ordinal) => Some(*ordinal),
            Number::Literal(_) => None,
        });
        let mut read: Vec<u32> = leaves.chain(numbers).collect();
        read.sort_unstable();
        for ordinal in read {
            let nan = match &inner.leaves[ordinal as usize] {
                LeafValue::Number(value) => value.is_nan().then_some(0),
                LeafValue::Tensor(tensor) if tensor.dtype().is_float() => {
                    tensor.to_f64_vec().iter().position(|value| value.is_nan())
                }
                LeafValue::Tensor(_) | LeafValue::Function(_) => None,
            };
            let is_it = |op: &Op| matches!(op, Op::Leaf(o) | Op::Scalar(o) if *o == ordinal);
            if let (Some(flat), Some(id)) = (nan, inner.nodes.iter().position(|node| is_it(&node.op))) {
                let node = &inner.nodes[id];
                if !inner.allowed.contains(&(id as NodeId)) {
                    let place = position(&node.shape, flat);
                    let found = format!("holds NaN{place} of {}", finder.text(id as NodeId));
                    return Err(Error::at(ErrorKind::NonFinite, "leaf", found, "mend the data", Some(node.at)));
                }
            }
        }
        Ok(finder)
    }

    /// `%3 'p' f64[2]`.
    fn text(&self, id: NodeId) -> String {
        let node = &self.inner.nodes[id as usize];
        let name = self.inner.called(id).map_or(String::new(), |name| format!(" '{name}'"));
        format!("%{id}{name} {}{}", node.dtype, node.shape)
    }

    /// The first element of a result that is further from being a number than what it is computed from.
    fn arisen(&self, computed: &Computed, values: &Values<'_, '_>) -> Option<(usize, f64)> {
        let mut found = None;
        let mut whole: Option<u8> = None;
        values.each(&computed.value, |flat, value| {
            if !value.is_finite() {
                let before = if computed.elementwise {
                    let inputs = computed.inputs.iter().filter_map(|input| at(input, &computed.value, flat, values));
                    inputs.map(degree).max().unwrap_or(0)
                } else {
                    *whole.get_or_insert_with(|| {
                        computed.inputs.iter().map(|input| worst(input, values)).max().unwrap_or(0)
                    })
                };
                if degree(value) > before {
                    found = Some((flat, value));
                }
            }
            found.is_none()
        });
        found
    }

    fn report(&self, computed: &Computed, flat: usize, value: f64, values: &Values<'_, '_>) -> Error {
        let inner = self.inner;
        let id = computed.value.site.node;
        let pass = match inner.origin(id) {
            None => "forward".to_string(),
            Some((pass, of)) => {
                let op = inner.label(&inner.nodes[of as usize].op);
                format!("{pass}, in the derivative of {op} {}", self.text(of))
            }
        };
        let steps: Vec<String> = self.steps.iter().map(|(scan, step)| self.step_text(*scan, *step)).collect();
        let inputs: Vec<String> = computed
            .inputs
            .iter()
            .map(|input| match at(input, &computed.value, flat, values).filter(|_| computed.elementwise) {
                Some(there) => format!("{} is {there} there", self.text(input.site.node)),
                None => {
                    let state = ["is finite", "holds an infinity", "holds NaN"][worst(input, values) as usize];
                    format!("{} {state}", self.text(input.site.node))
                }
            })
            .collect();
        let value = if value.is_nan() { "NaN".to_string() } else { value.to_string() };
        let found = format!(
            "gives {value}{} ({}): result {}, {}",
            position(&computed.value.shape, flat),
            [vec![pass], steps].concat().join(", "),
            self.text(id),
            inputs.join(", ")
        );
        let remedy = match inner.pass(id) {
            Pass::Forward => "keep its arguments away from there, or allow_non_finite() if it is meant",
            _ => "the derivative does not exist there: keep the arguments away",
        };
        Error::at(ErrorKind::NonFinite, computed.name, found, remedy, Some(computed.value.site.at))
    }

    /// `step 3 of the scan at src/main.rs:7`: the place in the data, in whichever direction the loop runs.
    fn step_text(&self, scan: NodeId, step: usize) -> String {
        let node = &self.inner.nodes[scan as usize];
        let time = match node.op {
            Op::Scan(number) if self.inner.scans[number as usize].reverse => {
                self.inner.scans[number as usize].length - 1 - step
            }
            _ => step,
        };
        format!("step {time} of the scan at {}:{}", node.at.file(), node.at.line())
    }
}

impl Watch for Finder<'_> {
    fn before(&mut self, block: &Block, at: usize) {
        if let (Instr::Loop(_), Some(note)) = (&block.code[at], block.note(at)) {
            self.steps.push((note.computes[0].value.site.node, 0));
        }
    }

    fn after(&mut self, block: &Block, at: usize, values: &Values<'_, '_>) -> Result<()> {
        match &block.code[at] {
            Instr::Loop(_) => {
                self.steps.pop();
                return Ok(());
            }
            // What is copied has been looked at.
            Instr::Copy { .. } => return Ok(()),
            _ => {}
        }
        let Some(note) = block.note(at).filter(|note| note.is_last) else { return Ok(()) };
        for computed in &note.computes {
            if self.inner.allowed.contains(&computed.value.site.node) {
                continue;
            }
            if let Some((flat, value)) = self.arisen(computed, values) {
                return Err(self.report(computed, flat, value, values));
            }
        }
        Ok(())
    }

    fn step(&mut self, step: usize) {
        if let Some(last) = self.steps.last_mut() {
            last.1 = step;
        }
    }
}

/// The element of an operand that takes part in element `flat` of an elementwise result; `None` if it is not float.
fn at(input: &Value, result: &Value, flat: usize, values: &Values<'_, '_>) -> Option<f64> {
    let lead = result.shape.rank().checked_sub(input.shape.rank())?;
    let mut rest = flat;
    let mut own = 0;
    let mut step = 1;
    for axis in (0..result.shape.rank()).rev() {
        let index = rest % result.shape[axis];
        rest /= result.shape[axis];
        if let Some(axis) = axis.checked_sub(lead) {
            own += if input.shape[axis] == 1 { 0 } else { index * step };
            step *= input.shape[axis];
        }
    }
    values.element(input, own)
}

fn worst(input: &Value, values: &Values<'_, '_>) -> u8 {
    let mut worst = 0;
    values.each(input, |_, value| {
        worst = worst.max(degree(value));
        worst < 2
    });
    worst
}

/// ` at [0, 2]`, or nothing for the only element of a scalar.
fn position(shape: &[usize], mut flat: usize) -> String {
    if shape.is_empty() {
        return String::new();
    }
    let mut index = vec![0; shape.len()];
    for (place, n) in index.iter_mut().zip(shape).rev() {
        *place = flat % n;
        flat /= n;
    }
    format!(" at {index:?}")
}
