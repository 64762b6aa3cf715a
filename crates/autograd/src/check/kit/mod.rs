//! Property tests of gradients: strategies for inputs, graphs and cells, and the macro that runs them.

mod assert;
mod cell;
mod floats;
mod graph;
mod inputs;
mod paste;
mod shapes;

pub use assert::GradientOptions;
#[doc(hidden)]
pub use assert::{Site, run};
pub use cell::{RandomCell, cells};
pub use floats::{Floats, Values, floats};
pub use graph::{Graph, graphs};
pub use inputs::Inputs;
pub use shapes::{Shapes, broadcastable};

pub use crate::assert_gradients;
pub use proptest;
