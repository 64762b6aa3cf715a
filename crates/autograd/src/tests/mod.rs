//! Properties of every operation, found by walking the registries: the elementwise table and the variants of `Op`.

mod cases;
mod checkpoint;
mod compositions;
mod elementwise;
mod facts;
mod fuzz;
mod generate;
mod own;
mod selections;
mod special;
mod structural;
mod support;
