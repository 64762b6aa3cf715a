//! Kernels of wengert: slices in, slices out.
//!
//! Vector maths over a [`Lane`], drivers that compile it for every instruction set, the tile interpreter for
//! fused elementwise programs, matrix products, reductions, running sums, sorts, indexing and copies, behind one
//! [runtime dispatch](isa). All `unsafe` code of the workspace lives here.
//!
//! Every result is a function of the operands' values and extents alone: not of alignment, layout, thread count
//! or position in a batch.

mod ahead;
mod blocks;
mod cumulate;
mod extremum;
pub mod gemm;
mod index;
mod isa;
mod lane;
mod lines;
mod map;
mod math;
mod memory;
mod random;
mod reduce;
mod script;
mod sort;
mod strided;
mod threads;
mod tile;

pub use ahead::about_to_write;
pub use blocks::Blocks;
pub use cumulate::cumsum;
pub use extremum::arg_extremum;
pub use index::{IndexShape, OutOfRange, gather, scatter_add};
pub use isa::{Isa, available, isa};
pub use lane::{Lane, Num, Unfused};
pub use lines::{LineOp, LineResult, Lines};
pub use map::{
    Arith, Kernel, LaneMap, MAX_SOURCES, NumMap, Slope, arith_kernel, lane_kernel, lane_kernel_for, num_kernel,
    num_kernel_for, pair_kernel, products_kernel, quotient_kernel, root_kernel, sigmoid_of_sum_kernel,
    sigmoid_of_sums_kernel, slope_kernel, slope_of_product_kernel, square_kernel, tanh_of_sum_kernel,
    tanh_of_sums_kernel,
};
pub use memory::{Access, Arena, Memory, Pod, Span, large_pages};
pub use random::{fold_in, uniform_f32, uniform_f64};
pub use reduce::{ReduceShape, Reduction, reduce, reduce_block, reduce_shared};
pub use script::{BatchShape, Call, GemmShape, Line, Operand, Path, Script, Slot, run_scripts};
pub use sort::{SortKey, argsort};
pub use strided::{MAX_AXES, copy, for_each_row};
pub use threads::{for_each, set_threads, threads};
pub use tile::{InputData, Load, Output, Scratch, Source, Store, TILE, TileCode, TileLane, TileOp, TileProgram};
