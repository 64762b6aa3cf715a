//! The equations of a formula and its derivative, being collected.

use super::explain::{Equation, Explanation, scan_number};
use super::notation::{Level, Notation, subscript};
use crate::node::{NodeId, Op};
use crate::origin::Pass;
use crate::scan::ScanDef;
use crate::tape::Inner;
use std::collections::HashMap;

/// A cotangent that leaves the step, or the formula.
pub(super) struct End {
    pub of: NodeId,
    /// Its contributions.
    pub cts: Vec<NodeId>,
    pub over_time: bool,
}

impl End {
    pub(super) fn of(node: NodeId, ct: NodeId) -> End {
        End { of: node, cts: vec![ct], over_time: false }
    }
}

/// Equations being collected.
pub(super) struct Sheet<'a> {
    pub notation: Notation<'a>,
    /// The first node of the derivative.
    mark: NodeId,
    /// The forward node whose cotangent a node is.
    of: HashMap<NodeId, NodeId>,
    pub notes: Vec<String>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(inner: &'a Inner, mark: NodeId) -> Sheet<'a> {
        Sheet { notation: Notation::new(inner), mark, of: HashMap::new(), notes: Vec::new() }
    }

    /// Labels a node, with primes behind a name that is taken.
    fn label(&mut self, id: NodeId, name: &str) {
        let mut name = name.to_string();
        while self.notation.is_taken(&name) {
            name.push('′');
        }
        self.notation.labels.entry(id).or_insert(name);
    }

    /// Labels the values of a body that the user has named.
    pub(super) fn label_named(&mut self, range: std::ops::Range<NodeId>, body: u32) {
        let inner = self.notation.inner;
        let own = |id: &NodeId| {
            let node = &inner.nodes[*id as usize];
            node.body == body && !matches!(node.op, Op::Leaf(_)) && !self.notation.labels.contains_key(id)
        };
        for id in range.filter(own).collect::<Vec<_>>() {
            if let Some(name) = inner.names.get(&id) {
                self.label(id, name);
            }
        }
    }

    /// Labels what a step receives and returns; gives the names of the carries.
    pub(super) fn label_step(&mut self, def: &ScanDef, sources: &[NodeId], outputs: &[NodeId]) -> Vec<String> {
        let inner = self.notation.inner;
        let name = |ids: &[NodeId]| ids.iter().find_map(|id| inner.names.get(id).cloned());
        let many = def.items.len() > 1;
        for (j, port) in def.items.iter().enumerate() {
            let number = if many { subscript(j + 1) } else { String::new() };
            let base = name(&[*port, sources[def.carries.len() + j]]).unwrap_or_else(|| format!("x{number}"));
            self.label(*port, &format!("{base}ₜ"));
        }
        let mut bases: Vec<String> = Vec::new();
        for (k, port) in def.carries.iter().enumerate() {
            let invented = match (k, def.carries.len()) {
                (0, 1 | 2) => "h".to_string(),
                (1, 2) => "c".to_string(),
                _ => format!("s{}", subscript(k + 1)),
            };
            let base = name(&[*port, sources[k], def.next[k]]).unwrap_or(invented);
            self.label(*port, &if def.is_invariant(k) { base.clone() } else { format!("{base}ₜ₋₁") });
            bases.push(base);
        }
        for (next, base) in def.next.iter().zip(&bases) {
            if inner.nodes[*next as usize].body == def.body && !self.notation.labels.contains_key(next) {
                self.label(*next, &format!("{base}ₜ"));
            }
        }
        for output in outputs {
            if !self.notation.labels.contains_key(output) {
                let base = name(&[*output]).unwrap_or_else(|| "y".into());
                self.label(*output, &format!("{base}ₜ"));
            }
        }
        bases
    }

    /// Reads what the ports of a derived scan stand for.
    pub(super) fn read_derivative(
        &mut self,
        scan: NodeId,
        def: &ScanDef,
        derived: NodeId,
        handed: &HashMap<NodeId, usize>,
        from_loss: &HashMap<NodeId, NodeId>,
        bases: &[String],
    ) {
        let inner = self.notation.inner;
        let own = &inner.scans[scan_number(inner, derived)];
        let (before, after) = (&inner.nodes[scan as usize].inputs, &inner.nodes[derived as usize].inputs);
        let mut back = Vec::new();
        for (port, source) in own.carries.iter().zip(after) {
            if let Some(k) = handed.get(source) {
                self.notation.labels.insert(*port, format!("Δ{}ₜ", bases[*k]));
                back.push(bases[*k].clone());
            }
        }
        for (port, source) in own.items.iter().zip(&after[own.carries.len()..]) {
            let same_item = |j: &usize| before[def.carries.len() + j] == *source;
            if let Some(target) = from_loss.get(source) {
                let label = self.notation.labels[target].clone();
                if def.next.contains(target) {
                    // A carry that is also the output: its cotangent has both parts.
                    self.notation.labels.insert(*port, "∂L/∂yₜ".into());
                    self.notes.push(format!("yₜ = {label}: the output of the step; ∂L/∂yₜ comes from what reads it"));
                } else {
                    self.notation.labels.insert(*port, format!("∂L/∂{label}"));
                    self.notes.push(format!("∂L/∂{label}: comes from what reads the output {label}"));
                }
            } else if let Some(j) = (0..def.items.len()).find(same_item) {
                self.notation.aliases.insert(*port, def.items[j]);
            } else if let Op::Tap(target) = inner.nodes[*source as usize].op {
                self.notation.aliases.insert(*port, target);
            }
        }
        let (last, next) = if def.reverse { ("first", "t−1") } else { ("last", "t+1") };
        for base in back {
            self.notes.push(format!(
                "Δ{base}ₜ: what step {next} hands back, its ∂L/∂{base}ₜ₋₁; at the {last} step, what reads the final state"
            ));
        }
    }

    /// The cotangents noted for a node, of those that are `wanted`.
    pub(super) fn cotangents(&self, node: NodeId, wanted: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let noted = self.notation.inner.origins.iter().filter(|origin| origin.start >= self.mark);
        let own = noted.filter(|origin| origin.of == Some((Pass::Backward, node)));
        own.filter_map(|origin| origin.cotangent).filter(|ct| wanted(*ct)).collect()
    }

    /// Notes of which forward node each cotangent is; where a cotangent is that of several, of one with a label.
    pub(super) fn read_cotangents(&mut self, wanted: impl Fn(NodeId) -> bool) {
        for origin in self.notation.inner.origins.iter().filter(|origin| origin.start >= self.mark) {
            let (Some((Pass::Backward, of)), Some(ct)) = (origin.of, origin.cotangent) else { continue };
            if wanted(of) {
                let known = self.of.entry(ct).or_insert(of);
                if !self.notation.labels.contains_key(known) && self.notation.labels.contains_key(&of) {
                    *known = of;
                }
            }
        }
    }

    /// Chooses lines and writes them.
    pub(super) fn finish(
        mut self,
        roots: &[NodeId],
        states: Vec<End>,
        gradients: Vec<End>,
        is_step: bool,
    ) -> Explanation {
        let ends = states.iter().chain(&gradients).flat_map(|end| end.cts.iter().copied());
        let all: Vec<NodeId> = roots.iter().copied().chain(ends).collect();
        let (mark, of) = (self.mark, std::mem::take(&mut self.of));
        let mut letters = "zuvrqpaekwsdbm".chars().map(String::from).chain((1..).map(|n| format!("n{n}")));
        let mut unnamed = 0;
        let lines = self.notation.factor(&all, &of, &mut |notation, id| {
            if id < mark {
                return letters.find(|letter| !notation.is_taken(letter)).expect("numbers do not end");
            }
            let text = of.get(&id).map(|of| derivative_by(notation, *of)).filter(|text| text.chars().count() < 32);
            text.filter(|text| !notation.is_taken(text)).unwrap_or_else(|| {
                unnamed += 1;
                format!("d{}", subscript(unnamed))
            })
        });
        let notation = &self.notation;
        let at = |id: NodeId| notation.inner.nodes[id as usize].at;
        let line =
            |id: NodeId| Equation { left: notation.labels[&id].clone(), right: notation.expression(id).0, at: at(id) };
        let (forward, backward): (Vec<NodeId>, Vec<NodeId>) = lines.iter().partition(|id| **id < mark);
        let end = |end: &End| {
            let sign = if end.over_time { "Σₜ " } else { "" };
            let terms: Vec<_> = end.cts.iter().map(|ct| notation.write(*ct)).collect();
            let right = match &terms[..] {
                [(text, level)] if !end.over_time || *level > Level::Sum => text.clone(),
                terms if end.over_time => {
                    format!("({})", terms.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" + "))
                }
                terms => terms.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" + "),
            };
            Equation { left: derivative_by(notation, end.of), right: format!("{sign}{right}"), at: at(end.cts[0]) }
        };
        let mut parts: Vec<String> = Vec::new();
        for id in 0..mark {
            if let Some((whole, count)) = notation.parts(id) {
                let last = subscript(count);
                parts.push(format!("{whole}₁ … {whole}{last}: the {count} equal parts of {whole}"));
            }
        }
        parts.dedup();
        let mut notes = std::mem::take(&mut self.notes);
        notes.splice(..0, parts);
        let new = |equation: &Equation| equation.left != equation.right;
        let forward = forward.into_iter().map(line).collect();
        let mut backward: Vec<Equation> = backward.into_iter().map(line).collect();
        backward.extend(states.iter().map(end).filter(new));
        let gradients = gradients.iter().map(end).filter(new).collect();
        Explanation { forward, backward, gradients, notes, is_step }
    }
}

/// `∂L/∂x` for a node.
fn derivative_by(notation: &Notation<'_>, node: NodeId) -> String {
    match notation.write(node) {
        (text, Level::Atom) => format!("∂L/∂{text}"),
        (text, _) => format!("∂L/∂({text})"),
    }
}
