//! A step of a loop, or a formula, and its derivative as equations, read off the recording.

use super::sheet::{End, Sheet};
use crate::error::Result;
use crate::grad::{active_nodes, vjp};
use crate::node::{NodeId, Op};
use crate::origin::Pass;
use crate::tape::{Inner, Tape};
use crate::var::Var;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;

/// One line of an [`Explanation`].
#[derive(Clone, Debug)]
pub struct Equation {
    /// What is defined: `c`, `∂L/∂W`.
    pub left: String,
    /// What it is.
    pub right: String,
    /// The line of source that recorded it; for a derivative, that of the operation differentiated.
    pub at: &'static Location<'static>,
}

/// What a recorded formula, or one step of a loop, computes, and its derivative as `grad` records it.
///
/// `{}` prints the equations, `{:#}` adds the lines of source. `∘` is the product of elements, `·` that of matrices,
/// `σ` the logistic function; rows are sequences, so a layer is `x·W`.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The values, in the order of recording.
    pub forward: Vec<Equation>,
    /// Cotangents, in the order in which they are computed.
    pub backward: Vec<Equation>,
    /// The gradients of parameters, variables and other values from outside of the step.
    pub gradients: Vec<Equation>,
    /// What the symbols mean.
    pub notes: Vec<String>,
    pub(super) is_step: bool,
}

impl<'t> Var<'t> {
    /// The equations of this value and of its gradient. For the result of a [`scan`](Tape::scan) they are those of one
    /// step: what it computes from the state before, and how the derivative comes back through it.
    ///
    /// The derivative is recorded on the tape, as [`grad`](Var::grad) records it, and then read: there is no second set of
    /// formulas. Names are those of [`named`](Var::named) and [`Tape::name_params`]; other values that need one get a letter.
    ///
    /// ```
    /// use wengert_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::from_slice(&[1.0f64, 2.0], [2])?).named("x");
    /// let text = x.sigmoid().named("s").square().sum().explain()?.to_string();
    /// assert!(text.contains("s = σ(x)"), "{text}");
    /// assert!(text.contains("∂L/∂x = 2·s ∘ s ∘ (1 − s)"), "{text}");
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error this value carries, or that of a derivative that cannot be recorded.
    #[track_caller]
    pub fn explain(self) -> Result<Explanation> {
        let tape = self.tape();
        tape.owned(self)?;
        let (op, inputs) = self.node(|n| (n.op.clone(), n.inputs.clone()));
        Ok(match op {
            Op::Final(_) | Op::Tap(_) => explain_step(tape, inputs[0])?,
            _ => explain_formula(self)?,
        })
    }
}

/// A cotangent that nothing else is equal to, of the shape of `like`.
#[track_caller]
fn seed<'t>(like: Var<'t>) -> Var<'t> {
    let (shape, dtype) = like.node(|n| (n.shape.clone(), n.dtype));
    like.tape().number(0.5, dtype).expand(shape)
}

/// The parameters and variables of a tape.
fn trained<'t>(tape: &'t Tape) -> Vec<Var<'t>> {
    let params = tape.used_params().into_iter().map(|(_, leaf)| leaf);
    params.chain(tape.inner.borrow().variables.clone()).map(|id| Var { tape, id }).collect()
}

fn is_float(var: &Var<'_>) -> bool {
    var.node(|n| n.dtype.is_float())
}

/// The error of a derivative that could not be recorded.
fn sound(tape: &Tape, found: Vec<Option<Var<'_>>>) -> Result<()> {
    found.into_iter().flatten().try_for_each(|gradient| tape.owned(gradient))
}

#[track_caller]
fn explain_formula(value: Var<'_>) -> Result<Explanation> {
    let tape = value.tape();
    let mark = tape.len() as NodeId;
    let scalar = value.node(|n| n.shape.numel() == 1);
    let mut given = None;
    if is_float(&value) && tape.is_differentiable() {
        let wrt = trained(tape);
        let ct = if scalar { tape.literal(1.0, value.node(|n| n.dtype)) } else { seed(value) };
        let ct = value.shape().map_or(ct, |shape| ct.expand(shape));
        sound(tape, vjp(&[(value, ct)], &wrt))?;
        given = Some((ct.id, wrt));
    }
    let inner = &*tape.inner.borrow();
    let name = inner.called(value.id).unwrap_or_else(|| if scalar { "L" } else { "y" }.to_string());
    let mut sheet = Sheet::new(inner, mark);
    sheet.notation.labels.insert(sheet.notation.seen(value.id), name.clone());
    sheet.label_named(0..mark, 0);
    let mut ends = Vec::new();
    if let Some((ct, wrt)) = given {
        if !scalar {
            sheet.notation.labels.insert(ct, format!("∂L/∂{name}"));
            sheet.notes.push(format!("∂L/∂{name}: given"));
        }
        let found = |v: &Var<'_>| Some((v.id, *sheet.cotangents(v.id, |_| true).last()?));
        ends.extend(wrt.iter().filter_map(found));
        sheet.read_cotangents(|id| inner.nodes[id as usize].body == 0 && !wrt.iter().any(|v| v.id == id));
    }
    let ends: Vec<End> = ends.into_iter().map(|(of, ct)| End { of, cts: vec![ct], over_time: false }).collect();
    Ok(sheet.finish(&[value.id], Vec::new(), ends, false))
}

#[track_caller]
fn explain_step(tape: &Tape, scan: NodeId) -> Result<Explanation> {
    let def = tape.scan_def(scan);
    let mark = tape.len() as NodeId;
    let var = |id: NodeId| Var { tape, id };
    let sources = tape.inner.borrow().nodes[scan as usize].inputs.clone();
    let outputs = outputs(tape, scan, mark);
    // What is handed back to each carry by the step after, and to each output by the loss.
    let mut handed: HashMap<NodeId, usize> = HashMap::new();
    let mut from_loss: HashMap<NodeId, NodeId> = HashMap::new();
    if tape.is_differentiable() {
        let mut pairs = Vec::new();
        for k in (0..def.carries.len()).filter(|k| is_float(&var(def.next[*k])) && !def.is_invariant(*k)) {
            let last = tape.final_carry(var(scan), k);
            let ct = seed(last);
            handed.insert(ct.id, k);
            pairs.push((last, ct));
        }
        for (tap, target) in outputs.iter().filter(|(tap, _)| is_float(&var(*tap))) {
            let ct = seed(var(*tap));
            from_loss.insert(ct.id, *target);
            pairs.push((var(*tap), ct));
        }
        let active = active_nodes(tape, &trained(tape), 0..scan);
        let inputs = def.carries.len() + def.items.len();
        let wrt = sources.iter().enumerate().filter(|(i, id)| *i < inputs || active[**id as usize]);
        sound(tape, vjp(&pairs, &wrt.map(|(_, id)| var(*id)).filter(is_float).collect::<Vec<_>>()))?;
    }
    let inner = &*tape.inner.borrow();
    let mut sheet = Sheet::new(inner, mark);
    let targets: Vec<NodeId> = outputs.iter().map(|(_, target)| *target).collect();
    let bases = sheet.label_step(&def, &sources, &targets);
    sheet.label_named(def.nodes.clone(), def.body);
    let mut states = Vec::new();
    let mut gradients = Vec::new();
    if let Some(derived) = derivative(inner, mark, &handed, &from_loss) {
        sheet.read_derivative(scan, &def, derived, &handed, &from_loss, &bases);
        let body = inner.scans[scan_number(inner, derived)].body;
        let inside = |ct: NodeId| inner.nodes[ct as usize].body == body;
        for port in def.carries.iter().chain(&def.items) {
            states.extend(sheet.cotangents(*port, inside).last().map(|ct| End::of(*port, *ct)));
        }
        for capture in &def.captures {
            let cts = sheet.cotangents(*capture, inside);
            if !cts.is_empty() {
                gradients.push(End { of: *capture, cts, over_time: true });
            }
        }
        sheet.read_cotangents(|id| inner.nodes[id as usize].body == def.body);
    }
    let next = def.next.iter().copied().filter(|id| inner.nodes[*id as usize].body == def.body);
    let roots: Vec<NodeId> = next.chain(targets).collect();
    Ok(sheet.finish(&roots, states, gradients, true))
}

/// The taps that the user reads of a scan, and the body values that they are.
fn outputs(tape: &Tape, scan: NodeId, before: NodeId) -> Vec<(NodeId, NodeId)> {
    let inner = tape.inner.borrow();
    let body = inner.scans[scan_number(&inner, scan)].body;
    let tap = |id: NodeId| match inner.nodes[id as usize] {
        ref node if node.inputs.first() != Some(&scan) || inner.pass(id) != Pass::Forward => None,
        crate::node::Node { op: Op::Tap(target), .. } => Some((id, target)),
        _ => None,
    };
    let mut found: Vec<(NodeId, NodeId)> =
        (scan..before).filter_map(tap).filter(|(_, target)| inner.nodes[*target as usize].body == body).collect();
    found.dedup_by_key(|(_, target)| *target);
    found
}

pub(super) fn scan_number(inner: &Inner, scan: NodeId) -> usize {
    match inner.nodes[scan as usize].op {
        Op::Scan(number) => number as usize,
        _ => unreachable!("the node is a scan"),
    }
}

/// The scan that was recorded as the derivative: the first that receives one of the seeds.
fn derivative(
    inner: &Inner,
    mark: NodeId,
    handed: &HashMap<NodeId, usize>,
    from_loss: &HashMap<NodeId, NodeId>,
) -> Option<NodeId> {
    (mark..inner.nodes.len() as NodeId).find(|id| {
        let node = &inner.nodes[*id as usize];
        let fed = |input: &NodeId| handed.contains_key(input) || from_loss.contains_key(input);
        matches!(node.op, Op::Scan(_)) && node.inputs.iter().any(fed)
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = match self.is_step {
            true => ["forward, step t", "backward, step t", "gradients, over all steps"],
            false => ["forward", "backward", "gradients"],
        };
        for (title, equations) in titles.iter().zip([&self.forward, &self.backward, &self.gradients]) {
            if equations.is_empty() {
                continue;
            }
            writeln!(f, "{title}")?;
            let texts: Vec<String> = equations.iter().map(|e| format!("{} = {}", e.left, e.right)).collect();
            // Accents that stand over the letter before take no room.
            let wide = |text: &str| text.chars().filter(|c| !('\u{300}'..'\u{370}').contains(c)).count();
            let width = texts.iter().map(|text| wide(text)).max().unwrap_or(0);
            for (text, equation) in texts.iter().zip(equations) {
                if f.alternate() {
                    let gap = " ".repeat(width - wide(text));
                    writeln!(f, "  {text}{gap}  {}:{}", equation.at.file(), equation.at.line())?;
                } else {
                    writeln!(f, "  {text}")?;
                }
            }
        }
        if !self.notes.is_empty() {
            writeln!(f, "where")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}
