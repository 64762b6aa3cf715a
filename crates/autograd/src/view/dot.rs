//! Recordings and programs as graphs in the language of Graphviz: `dot -Tsvg`.

use super::colour;
use crate::node::{BodyId, NodeId, Op};
use crate::origin::Pass;
use crate::program::ProgramView;
use crate::tape::{Inner, Tape};
use std::collections::HashMap;
use std::fmt::Write;

/// A text between quotes, with its line breaks.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

const HEAD: &str = "  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=Helvetica, fontsize=10];\n  \
                    edge [arrowsize=0.6];\n";

impl Tape {
    /// The recording as a graph for Graphviz. A loop is a box around the nodes of its step, with a dashed edge from what a
    /// carry becomes to the carry of the next step; what derivatives recorded is blue.
    ///
    /// ```
    /// let tape = wengert_autograd::Tape::new();
    /// let x = tape.var(2.0f64).named("x");
    /// let _ = x.square();
    /// assert!(tape.dot().contains("n0 -> n1"));
    /// ```
    pub fn dot(&self) -> String {
        let inner = self.inner.borrow();
        let mut text = format!("digraph tape {{\n{HEAD}");
        body(&inner, 0, 1, &mut text);
        for (id, node) in inner.nodes.iter().enumerate() {
            let mut edge = |from: NodeId, to: usize, style: &str| {
                // Writing to a string cannot fail, here and below.
                let _ = writeln!(text, "  n{from} -> n{to}{style};");
            };
            match node.op {
                Op::Scan(number) => {
                    let def = &inner.scans[number as usize];
                    for (port, source) in def.carries.iter().chain(&def.items).zip(&node.inputs) {
                        edge(*source, *port as usize, "");
                    }
                    for (port, next) in def.carries.iter().zip(&def.next) {
                        edge(*next, *port as usize, " [style=dashed, constraint=false]");
                    }
                }
                Op::Tap(target) => edge(target, id, ""),
                Op::Final(index) => {
                    if let Op::Scan(number) = inner.nodes[node.inputs[0] as usize].op {
                        edge(inner.scans[number as usize].next[index as usize], id, "");
                    }
                }
                _ => node.inputs.iter().for_each(|input| edge(*input, id, "")),
            }
        }
        text + "}\n"
    }
}

/// The nodes of a body, and of the bodies inside of it.
fn body(inner: &Inner, which: BodyId, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for (id, node) in inner.nodes.iter().enumerate() {
        // A scan is drawn as the box around its body.
        if node.body != which || matches!(node.op, Op::Scan(_)) {
            continue;
        }
        let name = inner.called(id as NodeId).map_or(String::new(), |name| format!(" {name}"));
        let what = match node.op {
            Op::Placeholder { kind, index, .. } => format!("{} {index}", format!("{kind:?}").to_lowercase()),
            Op::Literal(_) | Op::Scalar(_) => inner.number_of(id as NodeId).map_or(String::new(), |v| v.to_string()),
            ref op => inner.label(op).to_string(),
        };
        let place = format!("{}:{}", node.at.file(), node.at.line());
        let label = quoted(&format!("%{id}{name}\n{what} {}{}\n{place}", node.dtype, node.shape));
        let shape = if matches!(node.op, Op::Leaf(_)) { ", shape=ellipse" } else { "" };
        let fill = colour(inner.pass(id as NodeId));
        let _ = writeln!(text, "{indent}n{id} [label={label}, fillcolor={fill}{shape}];");
    }
    for (inside, info) in inner.bodies.iter().enumerate().skip(1).filter(|(_, info)| info.parent == which) {
        let place = info.scan.map_or(String::new(), |scan| {
            let at = inner.nodes[scan as usize].at;
            format!("\n{}:{}", at.file(), at.line())
        });
        let label = quoted(&format!("{} steps{place}", info.length));
        let _ = writeln!(text, "{indent}subgraph cluster_{inside} {{\n{indent}  label={label};");
        body(inner, inside as BodyId, depth + 1, text);
        let _ = writeln!(text, "{indent}}}");
    }
}

impl ProgramView {
    /// The program as a graph for Graphviz: instructions, boxes around those of a loop, and which reads what of which.
    pub fn dot(&self) -> String {
        let mut text = format!("digraph program {{\n{HEAD}");
        let mut edges = String::new();
        let mut made: HashMap<NodeId, &str> = HashMap::new();
        let mut open: Vec<&str> = Vec::new();
        for instruction in &self.instructions {
            while let Some(around) = open.last() {
                if instruction.place.starts_with(&format!("{around}.")) {
                    break;
                }
                open.pop();
                text += "  }\n";
            }
            let place = instruction.place.as_str();
            if instruction.steps.is_some() {
                let label = quoted(&format!("{place}: {}", instruction.summary()));
                let _ = writeln!(text, "  subgraph cluster_{} {{\n  label={label};", place.replace('.', "_"));
                open.push(place);
                continue;
            }
            let own = |op: &NodeId| instruction.operations.iter().any(|o| o.stored && o.root == *op);
            let mut sources: Vec<&str> = Vec::new();
            for root in instruction.operations.iter().flat_map(|op| &op.reads).filter(|root| !own(root)) {
                if let Some(source) = made.get(root).filter(|source| !sources.contains(source)) {
                    sources.push(source);
                    let _ = writeln!(edges, "  {} -> {};", quoted(source), quoted(place));
                }
            }
            let stored = instruction.operations.iter().filter(|op| op.stored);
            let values: Vec<&str> = stored.clone().map(|op| op.value.as_str()).collect();
            let label = quoted(&format!("{place}: {}\n{}", instruction.summary(), values.join(", ")));
            let backward = instruction.operations.iter().all(|op| op.pass == Pass::Backward);
            let fill = colour(if backward { Pass::Backward } else { Pass::Forward });
            let _ = writeln!(text, "  {} [label={label}, fillcolor={fill}];", quoted(place));
            if instruction.kind != "copy" {
                made.extend(stored.map(|op| (op.root, place)));
            }
        }
        text += &"  }\n".repeat(open.len());
        text + &edges + "}\n"
    }
}
