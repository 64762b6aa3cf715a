//! Recorded nodes in the notation of papers: `f ∘ c + i ∘ g`, `xᵀ·W`, `σ(z)`, `∂L/∂c`.

use crate::node::{NodeId, Op};
use crate::ops::{Concat, Slice};
use crate::tape::Inner;
use std::collections::{BTreeMap, HashMap};
use wengert_kernels::Reduction;

/// How tightly a text binds, loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Sum,
    Quotient,
    Product,
    Matmul,
    Prefix,
    Atom,
}

/// The most operations in one line.
const LONGEST: usize = 9;

/// Writes nodes. A node with a label is written by it, any other as the expression that computes it.
pub(super) struct Notation<'a> {
    pub inner: &'a Inner,
    pub labels: HashMap<NodeId, String>,
    /// What stands for another node: in the derivative of a loop, the port that brings a forward value.
    pub aliases: HashMap<NodeId, NodeId>,
    /// Names of leaves.
    leaves: HashMap<NodeId, String>,
}

impl<'a> Notation<'a> {
    pub(super) fn new(inner: &'a Inner) -> Notation<'a> {
        let mut leaves = HashMap::new();
        let mut unnamed: HashMap<char, usize> = HashMap::new();
        for (id, node) in inner.nodes.iter().enumerate().filter(|(_, node)| matches!(node.op, Op::Leaf(_))) {
            let id = id as NodeId;
            let name = inner.called(id).unwrap_or_else(|| {
                let letter = match (inner.params.values().any(|leaf| *leaf == id), inner.variables.contains(&id)) {
                    (true, _) if node.shape.rank() > 1 => 'W',
                    (true, _) => 'b',
                    (_, true) => 'x',
                    _ => 'k',
                };
                let number = unnamed.entry(letter).or_default();
                *number += 1;
                format!("{letter}{}", subscript(*number))
            });
            leaves.insert(id, name);
        }
        Notation { inner, labels: HashMap::new(), aliases: HashMap::new(), leaves }
    }

    /// Whether something is called so.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.labels.values().chain(self.leaves.values()).any(|other| other.trim_end_matches("ₜ") == name)
    }

    /// The node that is written for `id`: conversions, broadcasts and unit axes are left out.
    pub(super) fn seen(&self, mut id: NodeId) -> NodeId {
        loop {
            if let Some(other) = self.aliases.get(&id) {
                id = *other;
                continue;
            }
            let node = &self.inner.nodes[id as usize];
            let silent = match node.op {
                _ if self.labels.contains_key(&id) => false,
                Op::Expand(_) | Op::Cast | Op::StopGradient | Op::Custom(_) => true,
                Op::Reshape(_) => {
                    let wide = |id: NodeId| {
                        self.inner.nodes[id as usize].shape.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>()
                    };
                    wide(id) == wide(node.inputs[0])
                }
                _ => false,
            };
            match silent {
                true => id = node.inputs[0],
                false => return id,
            }
        }
    }

    /// The nodes that the expression of a node names.
    pub(super) fn operands(&self, id: NodeId) -> Vec<NodeId> {
        let node = &self.inner.nodes[id as usize];
        match node.op {
            // A held value is a leaf, whatever it was computed from.
            Op::Leaf(_) => Vec::new(),
            _ => node.inputs.iter().map(|input| self.seen(*input)).collect(),
        }
    }

    /// Whether the expression of a node is as good as a name: `tanh(c)`, `Wᵀ`, `[h, x]`, `z₂`.
    fn is_short(&self, id: NodeId) -> bool {
        let node = &self.inner.nodes[id as usize];
        let operands = self.operands(id);
        let plain = |id: &NodeId| {
            let op = &self.inner.nodes[*id as usize].op;
            self.labels.contains_key(id) || matches!(op, Op::Leaf(_) | Op::Placeholder { .. } | Op::Slice(_))
        };
        match node.op {
            Op::Leaf(_) | Op::Scalar(_) | Op::Literal(_) | Op::Placeholder { .. } | Op::Slice(_) => true,
            Op::Permute(_) => operands.iter().all(plain),
            Op::Concat(_) => {
                let derivative = |id: &NodeId| self.labels.get(id).is_some_and(|label| label.starts_with('∂'));
                operands.len() <= 4 && operands.iter().all(|id| plain(id) && !derivative(id))
            }
            // Of one value, or of one and a number: `1 − z`.
            Op::Map(_) => {
                let numbers = operands.iter().filter(|id| self.inner.number_of(**id).is_some()).count();
                operands.len() == numbers + 1 && operands.iter().any(plain)
            }
            _ => false,
        }
    }

    /// Gives labels to the nodes below `roots` that deserve a line of their own: those used several times and those that
    /// would make a line too long; where a cotangent (`of` a node) gets one, so does its node. `wanted` proposes a
    /// label. Gives the lines in the order of recording.
    pub(super) fn factor(
        &mut self,
        roots: &[NodeId],
        of: &HashMap<NodeId, NodeId>,
        wanted: &mut dyn FnMut(&Self, NodeId) -> String,
    ) -> Vec<NodeId> {
        // Inputs have smaller numbers than their users, so the largest first is users first.
        let mut uses: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut waiting: std::collections::BinaryHeap<NodeId> = Default::default();
        for root in roots {
            *uses.entry(self.seen(*root)).or_default() += 1;
            waiting.push(self.seen(*root));
        }
        let mut last = None;
        while let Some(id) = waiting.pop() {
            if last.replace(id) == Some(id) {
                continue;
            }
            // A part of a joined value reads better by name.
            let joined = matches!(self.inner.nodes[id as usize].op, Op::Concat(_));
            for operand in self.operands(id) {
                *uses.entry(operand).or_default() += 1 + joined as usize;
                waiting.push(operand);
            }
        }
        for (ct, node) in of {
            let node = self.seen(*node);
            if uses.get(ct).is_some_and(|uses| *uses > 1) && uses.contains_key(&node) {
                *uses.entry(node).or_default() += 1;
            }
        }
        let mut sizes: HashMap<NodeId, usize> = HashMap::new();
        let mut lines = Vec::new();
        for (id, uses) in uses {
            let labelled = self.labels.contains_key(&id);
            let size = 1 + self.operands(id).iter().map(|operand| sizes.get(operand).unwrap_or(&0)).sum::<usize>();
            let computed = !matches!(
                self.inner.nodes[id as usize].op,
                Op::Leaf(_) | Op::Scalar(_) | Op::Literal(_) | Op::Placeholder { .. }
            );
            let line = computed && (labelled || ((uses > 1 || size > LONGEST) && !self.is_short(id)));
            if line {
                if !labelled {
                    let label = wanted(self, id);
                    self.labels.insert(id, label);
                }
                lines.push(id);
            }
            sizes.insert(id, if line || !computed { 0 } else { size });
        }
        lines
    }

    /// A node by its label, or else its expression.
    pub(super) fn write(&self, id: NodeId) -> (String, Level) {
        let id = self.seen(id);
        match self.labels.get(&id) {
            Some(label) if label.starts_with('∂') => (label.clone(), Level::Prefix),
            Some(label) => (label.clone(), Level::Atom),
            None => self.expression(id),
        }
    }

    /// A node, in parentheses if it binds less tightly than `least`.
    fn operand(&self, id: NodeId, least: Level) -> String {
        let (text, level) = self.write(id);
        if level < least { format!("({text})") } else { text }
    }

    /// The expression that computes a node.
    pub(super) fn expression(&self, id: NodeId) -> (String, Level) {
        use Level::{Atom, Matmul, Prefix, Product, Quotient, Sum};
        let node = &self.inner.nodes[id as usize];
        let at = |i: usize, least: Level| self.operand(node.inputs[i], least);
        let list = || node.inputs.iter().map(|i| self.operand(*i, Sum)).collect::<Vec<_>>().join(", ");
        let scalar = |i: usize| self.inner.nodes[self.seen(node.inputs[i]) as usize].shape.numel() == 1;
        let infix = |sign: &str, level: Level, right: Level| (at(0, level) + sign + &at(1, right), level);
        let name = match &node.op {
            Op::Leaf(_) => return (self.leaves[&id].clone(), Atom),
            Op::Scalar(_) | Op::Literal(_) => {
                let value = self.inner.number_of(id).unwrap_or(f64::NAN);
                return (format!("{value}").replace('-', "−"), if value < 0.0 { Prefix } else { Atom });
            }
            Op::Placeholder { .. } => return (format!("%{id}"), Atom),
            Op::Matmul(_) => return infix("·", Matmul, Prefix),
            Op::Permute(permute) => {
                let rank = permute.order.len();
                let last_two = rank >= 2
                    && permute.order.iter().enumerate().all(|(axis, from)| {
                        let swapped = if axis + 2 < rank { axis } else { 2 * rank - 3 - axis };
                        *from as usize == swapped
                    });
                if last_two {
                    return (at(0, Atom) + "ᵀ", Atom);
                }
                return (format!("permute({}, {:?})", at(0, Sum), &permute.order[..]), Atom);
            }
            Op::Slice(slice) => return self.part(id, *slice),
            Op::Concat(Concat { .. }) => return (format!("[{}]", list()), Atom),
            Op::Reduce(reduce) => {
                let rank = self.inner.nodes[node.inputs[0] as usize].shape.rank();
                let sum = reduce.kind == Reduction::Sum;
                if sum && reduce.first == 0 && reduce.count == 1 && rank == 2 {
                    return ("Σ_rows ".to_string() + &at(0, Product), Quotient);
                }
                let name = format!("{:?}", reduce.kind).to_lowercase();
                if reduce.count == rank {
                    return (format!("{name}({})", at(0, Sum)), Atom);
                }
                let axes = reduce.first..reduce.first + reduce.count;
                return (format!("{name}({}, {:?})", at(0, Sum), axes.collect::<Vec<_>>()), Atom);
            }
            Op::Gather(_) => return (format!("{}[{}]", at(0, Atom), at(1, Sum)), Atom),
            Op::Reshape(_) => return (format!("reshape({}, {})", at(0, Sum), node.shape), Atom),
            Op::Map(map) => map.0.name,
            other => other.name(),
        };
        let negative = |text: String| match text.strip_prefix('−') {
            Some(rest) => (true, rest.to_string()),
            None => (false, text),
        };
        let is_one = |i: usize| self.inner.number_of(self.seen(node.inputs[i])) == Some(1.0);
        match name {
            // The cotangent of a sum is 1 for every element.
            "mul" if is_one(0) => self.write(node.inputs[1]),
            "mul" if is_one(1) => self.write(node.inputs[0]),
            "add" | "sub" => {
                // Two signs are one.
                let least = if name == "add" { Sum } else { Quotient };
                let (minus, right) = match self.write(node.inputs[1]) {
                    (text, Sum) if least == Sum => (false, text),
                    (text, Sum) => (false, format!("({text})")),
                    (text, _) => negative(text),
                };
                (at(0, Sum) + if minus == (name == "add") { " − " } else { " + " } + &right, Sum)
            }
            // A number stands in front, without a sign for the product of elements.
            "mul" if scalar(1) && !scalar(0) => (at(1, Prefix) + "·" + &self.factor_text(node.inputs[0]), Product),
            "mul" if scalar(0) => (at(0, Prefix) + "·" + &self.factor_text(node.inputs[1]), Product),
            "mul" => (self.factor_text(node.inputs[0]) + " ∘ " + &self.factor_text(node.inputs[1]), Product),
            "div" => (self.factor_text(node.inputs[0]) + " / " + &at(1, Prefix), Quotient),
            "neg" => match self.write(node.inputs[0]) {
                (text, Sum | Quotient) => (format!("−({text})"), Prefix),
                (text, level) => match negative(text) {
                    (true, rest) => (rest, level.min(Prefix)),
                    (false, text) => (format!("−{text}"), level.min(Prefix)),
                },
            },
            "square" => (at(0, Atom) + "²", Atom),
            "pow" => (at(0, Atom) + "^" + &at(1, Atom), Prefix),
            "recip" => ("1 / ".to_string() + &at(0, Prefix), Quotient),
            "abs" => (format!("|{}|", at(0, Sum)), Atom),
            "sqrt" => ("√".to_string() + &at(0, Atom), Prefix),
            "sigmoid" => (format!("σ({})", at(0, Sum)), Atom),
            "lt" | "le" | "gt" | "ge" | "eq" | "ne" => {
                let sign = match name {
                    "lt" => "<",
                    "le" => "≤",
                    "gt" => ">",
                    "ge" => "≥",
                    "eq" => "=",
                    _ => "≠",
                };
                (format!("[{} {sign} {}]", at(0, Sum), at(1, Sum)), Atom)
            }
            "select" => (format!("where({})", list()), Atom),
            _ => (format!("{name}({})", list()), Atom),
        }
    }

    /// A factor of a product of elements: such products need no parentheses, matrix products do.
    fn factor_text(&self, id: NodeId) -> String {
        match self.write(id) {
            (text, Level::Product | Level::Prefix | Level::Atom) => text,
            (text, _) => format!("({text})"),
        }
    }

    /// The labelled value that a slice cuts into equal parts, and their number.
    pub(super) fn parts(&self, id: NodeId) -> Option<(&str, usize)> {
        let node = &self.inner.nodes[id as usize];
        let Op::Slice(slice) = node.op else { return None };
        let label = self.labels.get(&self.seen(node.inputs[0])).filter(|label| !label.contains('∂'))?;
        let (extent, all) = (node.shape[slice.axis], self.inner.nodes[node.inputs[0] as usize].shape[slice.axis]);
        let equal = extent > 0 && all % extent == 0 && slice.start % extent == 0 && (2..=9).contains(&(all / extent));
        equal.then(|| (label.as_str(), all / extent))
    }

    /// A slice: `z₂` for the second of equal parts, otherwise the range.
    fn part(&self, id: NodeId, slice: Slice) -> (String, Level) {
        let node = &self.inner.nodes[id as usize];
        let whole = self.operand(node.inputs[0], Level::Atom);
        let from = &self.inner.nodes[node.inputs[0] as usize].shape;
        let extent = node.shape[slice.axis];
        if self.parts(id).is_some() {
            return (whole + &subscript(1 + slice.start / extent), Level::Atom);
        }
        let before = if slice.axis + 1 == from.rank() { ".., " } else { "" };
        let axis = if before.is_empty() && slice.axis > 0 { format!("axis {}: ", slice.axis) } else { String::new() };
        (format!("{whole}[{before}{axis}{}..{}]", slice.start, slice.start + extent), Level::Atom)
    }
}

impl Inner {
    /// The name of a node: as given by the user, or that of its parameter.
    pub(crate) fn called(&self, id: NodeId) -> Option<String> {
        let param = || self.params.iter().find(|(_, leaf)| **leaf == id).and_then(|(p, _)| self.param_names.get(p));
        self.names.get(&id).or_else(param).cloned()
    }
}

/// A number in subscript digits.
pub(super) fn subscript(number: usize) -> String {
    number.to_string().chars().map(|c| char::from_u32(c as u32 - '0' as u32 + '₀' as u32).unwrap_or(c)).collect()
}
