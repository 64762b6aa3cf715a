//! Properties of every operation, found by walking the registries: the elementwise table and the variants of `Op`.

mod budgets;
mod cases;
mod checkpoint;
mod compositions;
mod cut;
mod dual;
mod elementwise;
mod every;
mod facts;
mod families;
mod fuzz;
mod joined;
mod own;
mod packs;
mod passes;
mod recipe;
mod segments;
mod selections;
mod special;
mod strips;
mod structural;
mod support;
