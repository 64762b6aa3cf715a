//! A recording as readable text.

use crate::node::Op;
use crate::tape::Tape;
use std::fmt;

impl fmt::Debug for Tape {
    /// One line a node: `%id = op(%inputs) 'name' : dtype[shape]  at file:line`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.borrow();
        for (id, node) in inner.nodes.iter().enumerate() {
            let indent = "  ".repeat(inner.depth(node.body));
            write!(f, "{indent}%{id} = {}(", inner.label(&node.op))?;
            for (i, input) in node.inputs.iter().enumerate() {
                write!(f, "{}%{input}", if i > 0 { ", " } else { "" })?;
            }
            if let Op::Tap(target) = node.op {
                write!(f, " of %{target}")?;
            }
            match node.op {
                Op::Literal(bits) => write!(f, "{}", f64::from_bits(bits))?,
                Op::Error(number) => write!(f, "{}", inner.errors[number as usize])?,
                _ => {}
            }
            let name = inner.names.get(&(id as u32)).map_or(String::new(), |name| format!(" '{name}'"));
            writeln!(f, "){name} : {}{}  at {}:{}", node.dtype, node.shape, node.at.file(), node.at.line())?;
        }
        Ok(())
    }
}
