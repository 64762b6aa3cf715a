//! Loops whose rows can be computed apart, so that each thread runs all steps for its part of a batch.
//!
//! The rows are those of the first axis of the carry. A value of the body is *by row* if its row `b` follows from the rows
//! `b` of such values and from values that all rows share; then any range of rows can be computed without the others. The
//! bits of a row do not depend on how many there are, so neither do they on the number of threads.

use super::graph::{Graph, GraphNode, GraphOp, Loop};
use crate::node::Op;

/// Which values of a body are by row.
pub(super) struct Separable {
    /// The number of rows.
    pub rows: usize,
    by_row: Vec<bool>,
}

impl Separable {
    /// The labels of a loop's body, if its carries and everything that leaves it are by row.
    pub(super) fn of(inside: &Loop) -> Option<Separable> {
        let body = &inside.body;
        let rows = *body.nodes[body.port(0)?].shape.first()?;
        if rows < 2 || inside.carries == 0 {
            return None;
        }
        // What all rows share until an operation needs the rows of it.
        let mut captured_rows: Vec<usize> = Vec::new();
        loop {
            match labels(inside, rows, &captured_rows) {
                Ok(by_row) => {
                    let all = body.outputs.iter().all(|out| by_row[*out]);
                    return all.then_some(Separable { rows, by_row });
                }
                Err(Some(port)) if !captured_rows.contains(&port) => captured_rows.push(port),
                Err(_) => return None,
            }
        }
    }

    /// The rows `count` of the body: the same graph, with fewer rows in what is by row.
    pub(super) fn narrowed(&self, body: &Graph, count: usize) -> Graph {
        let nodes = body.nodes.iter().zip(&self.by_row).map(|(node, by_row)| GraphNode {
            op: match &node.op {
                GraphOp::Literal(value) => GraphOp::Literal(*value),
                GraphOp::Port(port) => GraphOp::Port(*port),
                GraphOp::Op(op) => GraphOp::Op(op.clone()),
                _ => unreachable!("labels are given to ports, literals and operations only"),
            },
            inputs: node.inputs.clone(),
            shape: if *by_row { node.shape.with_axis(0, count) } else { node.shape.clone() },
            dtype: node.dtype,
            at: node.at,
        });
        Graph { nodes: nodes.collect(), outputs: body.outputs.clone() }
    }

    /// The bytes of one row of a body node; 0 if all rows share it.
    pub(super) fn row_bytes(&self, body: &Graph, node: usize) -> usize {
        let GraphNode { shape, dtype, .. } = &body.nodes[node];
        if self.by_row[node] { shape.numel() / self.rows * dtype.size() } else { 0 }
    }
}

/// For each node whether it is by row; or the captured port that would have to be, or nothing if it cannot be had.
fn labels(inside: &Loop, rows: usize, captured_rows: &[usize]) -> Result<Vec<bool>, Option<usize>> {
    let nodes = &inside.body.nodes;
    let mut by_row: Vec<bool> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let label = match &node.op {
            GraphOp::Literal(_) => false,
            GraphOp::Port(port) if *port < inside.carries => {
                if node.shape.first() != Some(&rows) {
                    return Err(None);
                }
                true
            }
            GraphOp::Port(port) if *port < inside.carries + inside.items => node.shape.first() == Some(&rows),
            GraphOp::Port(port) => captured_rows.contains(port),
            GraphOp::Op(op) => {
                // A shared operand of which the operation needs row by row: possible for what is captured whole.
                if let Some(input) = needs_rows(op, node, nodes, &by_row, rows) {
                    return Err(match nodes[input].op {
                        GraphOp::Port(port) if port >= inside.carries + inside.items => Some(port),
                        _ => None,
                    });
                }
                let first = nodes[*node.inputs.first().ok_or(None)?].shape.rank();
                let inputs_by_row: Vec<bool> = node.inputs.iter().map(|input| by_row[*input]).collect();
                let leads = node.shape.first() == Some(&rows);
                match op {
                    // A value of all rows alike, spread over them.
                    Op::Expand(_) if !inputs_by_row[0] => leads && node.shape.rank() > 1,
                    _ if !inputs_by_row.contains(&true) => match op {
                        Op::Map(_) | Op::Matmul(_) | Op::Reduce(_) | Op::Reshape(_) | Op::Permute(_) => false,
                        Op::Slice(_) | Op::Concat(_) | Op::Cast | Op::StopGradient | Op::Fence => false,
                        _ => return Err(None),
                    },
                    Op::Map(_) | Op::Expand(_) | Op::Cast | Op::StopGradient | Op::Fence | Op::Reshape(_) if leads => {
                        // Rows stay the first axis.
                        let same_rank = |input: &usize| {
                            !by_row[*input] || nodes[*input].shape.rank() == node.shape.rank() || is_reshape(op)
                        };
                        if !node.inputs.iter().all(same_rank) {
                            return Err(None);
                        }
                        true
                    }
                    Op::Matmul(_) => {
                        let right = nodes[node.inputs[1]].shape.rank();
                        // Rows of the left matrix, or one product a row.
                        let fits = match inputs_by_row[..] {
                            [true, false] => right == 2 || first > right,
                            [true, true] => first == right && right > 2,
                            [false, true] => right > 2 && right > first,
                            _ => false,
                        };
                        if !fits || !leads {
                            return Err(None);
                        }
                        true
                    }
                    Op::Reduce(reduce) if reduce.first > 0 => true,
                    Op::Along(along) if along.axis > 0 => true,
                    Op::Permute(permute) if permute.order[0] == 0 => true,
                    Op::Slice(slice) if slice.axis > 0 => true,
                    Op::Concat(concat) if concat.axis > 0 => true,
                    _ => return Err(None),
                }
            }
            _ => return Err(None),
        };
        by_row.push(label);
    }
    Ok(by_row)
}

fn is_reshape(op: &Op) -> bool {
    matches!(op, Op::Reshape(_))
}

/// A shared input whose first axis is that of the rows in an operation on rows.
fn needs_rows(op: &Op, node: &GraphNode, nodes: &[GraphNode], by_row: &[bool], rows: usize) -> Option<usize> {
    let on_rows = node.inputs.iter().any(|input| by_row[*input]);
    let aligned = match op {
        Op::Map(_) | Op::Concat(_) => on_rows,
        Op::Matmul(_) => on_rows && node.shape.rank() > 2,
        _ => false,
    };
    let rank = node.shape.rank();
    node.inputs.iter().copied().find(|input| {
        let shape = &nodes[*input].shape;
        aligned && !by_row[*input] && shape.rank() == rank && shape[0] == rows
    })
}
