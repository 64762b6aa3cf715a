//! Recordings and programs as text and as graphs.

mod dot;
mod explain;
mod notation;
mod program;
mod sheet;

pub use explain::{Equation, Explanation};

use crate::node::{NodeId, Op};
use crate::origin::Pass;
use crate::param::ParamTree;
use crate::tape::{Inner, Tape};
use crate::var::Var;
use std::fmt;

impl Tape {
    /// Gives the parameters of a module the names that listings, equations and profiles of this tape show.
    pub fn name_params(&self, module: &impl ParamTree) {
        let names = &mut self.inner.borrow_mut().param_names;
        names.extend(module.params().into_iter().map(|(name, param)| (param.id(), name)));
    }

    /// The values outside of loops that [`Var::named`] has labelled, in the order of recording, from those on that were
    /// recorded when the tape had `from` values ([`len`](Tape::len)).
    ///
    /// ```
    /// use wengert_autograd::Tape;
    /// let tape = Tape::new();
    /// let x = tape.constant(2.0f64).named("x");
    /// let before = tape.len();
    /// let _ = x.sigmoid().named("gate").sqrt();
    /// let [(name, gate)] = &tape.named_values(before)[..] else { panic!() };
    /// assert!(name == "gate" && gate.item()? == x.sigmoid().item()?);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    pub fn named_values(&self, from: usize) -> Vec<(String, Var<'_>)> {
        let inner = self.inner.borrow();
        let named = (from..inner.nodes.len()).filter(|id| inner.nodes[*id].body == 0).map(|id| id as NodeId);
        let named = named.filter_map(|id| Some((inner.names.get(&id)?.clone(), Var { tape: self, id })));
        named.collect()
    }
}

impl fmt::Debug for Tape {
    /// One line a node: `%id = op(%inputs) 'name' : dtype[shape]  at file:line`, the nodes of a loop indented, and for what a
    /// derivative recorded the node that it differentiates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.borrow();
        for (id, node) in inner.nodes.iter().enumerate() {
            let id = id as NodeId;
            let indent = "  ".repeat(inner.depth(node.body));
            write!(f, "{indent}%{id} = {}({})", inner.label(&node.op), arguments(&inner, id))?;
            if let Some(name) = inner.called(id) {
                write!(f, " '{name}'")?;
            }
            write!(f, " : {}{}  at {}:{}", node.dtype, node.shape, node.at.file(), node.at.line())?;
            if let Some((pass, of)) = inner.origin(id) {
                write!(f, "  {pass} of %{of}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The inputs and attributes of a node.
fn arguments(inner: &Inner, id: NodeId) -> String {
    let node = &inner.nodes[id as usize];
    let list = |ids: &[NodeId]| ids.iter().map(|id| format!("%{id}")).collect::<Vec<_>>().join(", ");
    let inputs = list(&node.inputs);
    match &node.op {
        Op::Literal(bits) => f64::from_bits(*bits).to_string(),
        Op::Scalar(_) => inner.number_of(id).map_or(String::new(), |value| value.to_string()),
        Op::Error(number) => inner.errors[*number as usize].to_string(),
        Op::Placeholder { body, kind, index } => {
            let scan = inner.bodies[*body as usize].scan;
            let of = scan.map_or("an open loop".to_string(), |scan| format!("%{scan}"));
            format!("{} {index} of {of}", format!("{kind:?}").to_lowercase())
        }
        Op::Scan(number) => {
            let def = &inner.scans[*number as usize];
            let (init, rest) = node.inputs.split_at(def.carries.len());
            let (over, uses) = rest.split_at(def.items.len());
            let mut parts = vec![format!("{} steps{}", def.length, if def.reverse { " backwards" } else { "" })];
            let named = [("from", init), ("next", &def.next[..]), ("over", over), ("uses", uses)];
            parts.extend(
                named.iter().filter(|(_, ids)| !ids.is_empty()).map(|(name, ids)| format!("{name} {}", list(ids))),
            );
            parts.join("; ")
        }
        Op::Final(index) => format!("carry {index} of {inputs}"),
        Op::Tap(target) => format!("{inputs} of %{target}"),
        Op::Slice(slice) => {
            format!("{inputs}; axis {}, {}..{}", slice.axis, slice.start, slice.start + node.shape[slice.axis])
        }
        Op::Permute(permute) => format!("{inputs}; {:?}", &permute.order[..]),
        Op::Reduce(reduce) => {
            let axes: Vec<usize> = (reduce.first..reduce.first + reduce.count).collect();
            format!("{inputs}; axes {axes:?}")
        }
        Op::Concat(concat) => format!("{inputs}; axis {}", concat.axis),
        Op::Gather(op) => format!("{inputs}; axis {}", op.asker.axis()),
        Op::ScatterAdd(op) => format!("{inputs}; axis {}", op.asker.axis()),
        Op::Along(op) => format!("{inputs}; axis {}", op.axis),
        _ => inputs,
    }
}

/// A pass's colour in graphs.
fn colour(pass: Pass) -> &'static str {
    match pass {
        Pass::Forward => "white",
        Pass::Backward => "lightblue",
        Pass::Tangent => "lightyellow",
    }
}
