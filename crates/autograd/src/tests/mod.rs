//! Properties of every operation, found by walking the registries: the elementwise table and the variants of `Op`.

mod cases;
mod compositions;
mod elementwise;
mod facts;
mod fuzz;
mod generate;
mod selections;
mod special;
mod structural;
mod support;
