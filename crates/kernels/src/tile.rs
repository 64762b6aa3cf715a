//! The tile interpreter: fused elementwise programs, a few hundred elements at a time.
//!
//! A program is a list of kernel calls over registers of [`TILE`] elements. For each tile the
//! inputs that are not adjacent in memory are gathered into registers, every kernel runs once, and
//! the results are stored; intermediate values never leave the first-level cache.

use crate::lane::Num;
use crate::map::Kernel;
use crate::memory::Pod;
use crate::strided::MAX_AXES;

/// Elements of a register.
pub const TILE: usize = 256;

/// Where a kernel finds an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel has no such operand.
    None,
    /// The result of an earlier kernel.
    Register(u16),
    /// An input of the program.
    Input(u16),
}

/// One kernel call.
#[derive(Clone, Copy)]
pub struct TileOp<E> {
    /// The kernel.
    pub kernel: Kernel<E>,
    /// The register written; not one of the sources.
    pub dst: u16,
    /// The operands.
    pub src: [Source; 3],
}

/// A result that leaves the program.
#[derive(Clone, Debug)]
pub struct Store {
    /// The register or input stored.
    pub source: Source,
    /// Which of the output buffers.
    pub buffer: usize,
    /// Element offset in the buffer.
    pub offset: usize,
    /// Element strides, one an axis of the index space.
    pub strides: Vec<usize>,
}

/// A checked program over lanes of type `E`.
pub struct TileProgram<E> {
    ops: Vec<TileOp<E>>,
    stores: Vec<Store>,
    registers: usize,
    inputs: usize,
    dims: Vec<usize>,
    /// Elements from which on a run along the last axis is worth a tile of its own.
    row_mode: bool,
}

/// The elements of an input.
#[derive(Clone, Copy)]
pub enum InputData<'a, E> {
    /// Lanes.
    Lanes(&'a [E]),
    /// Truth values, read as 1 and 0.
    Bools(&'a [u8]),
    /// The same value everywhere.
    Splat(E),
}

/// An input of one run.
#[derive(Clone, Copy)]
pub struct Input<'a, E> {
    /// The elements; the first is the input's element 0.
    pub data: InputData<'a, E>,
    /// Element strides, one an axis of the index space.
    pub strides: &'a [usize],
}

/// An output buffer of one run.
pub enum Output<'a, E> {
    /// Lanes.
    Lanes(&'a mut [E]),
    /// Truth values, stored as 1 and 0.
    Bools(&'a mut [u8]),
}

impl<E: Num + Pod> TileProgram<E> {
    /// A program over the index space `dims` (adjacent axes merged by the caller where it can).
    ///
    /// # Panics
    /// If an operation reads a register before it is written, or in place: a planner's bug.
    pub fn new(ops: Vec<TileOp<E>>, stores: Vec<Store>, inputs: usize, dims: Vec<usize>) -> Self {
        let mut written = Vec::new();
        for op in &ops {
            for source in op.src {
                check(source, &written, inputs);
                assert!(source != Source::Register(op.dst), "kernels do not run in place");
            }
            let dst = op.dst as usize;
            if written.len() <= dst {
                written.resize(dst + 1, false);
            }
            written[dst] = true;
        }
        for store in &stores {
            check(store.source, &written, inputs);
            assert_eq!(store.strides.len(), dims.len());
        }
        assert!(dims.len() <= MAX_AXES, "at most {MAX_AXES} axes");
        let inner = dims.last().copied().unwrap_or(1);
        let row_mode = inner >= TILE / 4 || dims.len() <= 1;
        TileProgram { ops, stores, registers: written.len(), inputs, dims, row_mode }
    }

    /// The number of kernel calls a tile.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether the program only copies.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Runs the program. `scratch` is grown to what the registers need and can be kept between runs.
    ///
    /// # Panics
    /// If an operand is too short for its strides.
    pub fn run<'a>(&self, scratch: &mut Vec<E>, inputs: &[Input<'a, E>], outputs: &mut [Output<'a, E>]) {
        assert_eq!(inputs.len(), self.inputs);
        let n: usize = self.dims.iter().product();
        if n == 0 {
            return;
        }
        let width = TILE.min(n);
        let needed = (self.registers + self.inputs) * width;
        if scratch.len() < needed {
            scratch.resize(needed, E::ZERO);
        }
        let (registers, gathered) = scratch.split_at_mut(self.registers * width);
        for (input, slot) in inputs.iter().zip(gathered.chunks_exact_mut(width)) {
            if let Some(value) = input.constant() {
                slot.fill(value);
            }
        }
        let mut run = Run { program: self, registers, gathered, width, inputs, outputs };
        if self.row_mode {
            run.rows();
        } else {
            run.flat(n);
        }
    }
}

fn check(source: Source, written: &[bool], inputs: usize) {
    match source {
        Source::None => {}
        Source::Register(r) => assert!(written.get(r as usize) == Some(&true), "register read before it is written"),
        Source::Input(i) => assert!((i as usize) < inputs, "no such input"),
    }
}

impl<E: Num> Input<'_, E> {
    fn constant(&self) -> Option<E> {
        let same = self.strides.iter().all(|s| *s == 0);
        match self.data {
            InputData::Splat(value) => Some(value),
            InputData::Lanes(data) if same => Some(data[0]),
            InputData::Bools(data) if same => Some(truth(data[0])),
            _ => None,
        }
    }
}

fn truth<E: Num>(bit: u8) -> E {
    if bit != 0 { E::ONE } else { E::ZERO }
}

struct Run<'r, 'd, E> {
    program: &'r TileProgram<E>,
    registers: &'r mut [E],
    gathered: &'r mut [E],
    width: usize,
    inputs: &'r [Input<'d, E>],
    outputs: &'r mut [Output<'d, E>],
}

/// A position of the tile in the index space.
struct Position<'p> {
    /// Index along each axis.
    index: &'p [usize; MAX_AXES],
    /// The same as a linear index.
    linear: usize,
    /// Elements of the tile.
    len: usize,
}

impl<E: Num + Pod> Run<'_, '_, E> {
    /// Tiles along the last axis, one outer position after another.
    fn rows(&mut self) {
        let dims = &self.program.dims;
        let outer = dims.len().saturating_sub(1);
        let inner = dims.last().copied().unwrap_or(1);
        let mut index = [0usize; MAX_AXES];
        let mut row = 0;
        loop {
            let mut at = 0;
            while at < inner {
                let len = self.width.min(inner - at);
                if !dims.is_empty() {
                    index[outer] = at;
                }
                self.tile(&Position { index: &index, linear: row * inner + at, len });
                at += len;
            }
            row += 1;
            let mut axis = outer;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                if index[axis] < dims[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
    }

    /// Tiles across rows, for short rows.
    fn flat(&mut self, n: usize) {
        let dims = &self.program.dims;
        let mut linear = 0;
        while linear < n {
            let mut index = [0usize; MAX_AXES];
            let mut rest = linear;
            for axis in (0..dims.len()).rev() {
                index[axis] = rest % dims[axis];
                rest /= dims[axis];
            }
            let len = self.width.min(n - linear);
            self.tile(&Position { index: &index, linear, len });
            linear += len;
        }
    }

    #[inline]
    fn tile(&mut self, at: &Position<'_>) {
        for (i, input) in self.inputs.iter().enumerate() {
            if input.constant().is_none() && self.direct(i, at).is_none() {
                let slot = &mut self.gathered[i * self.width..][..at.len];
                gather(&self.program.dims, input, at, slot);
            }
        }
        for op in &self.program.ops {
            let dst = op.dst as usize * self.width;
            let (head, tail) = self.registers.split_at_mut(dst);
            let (dst, tail) = tail.split_at_mut(self.width);
            let (head, tail) = (&*head, &*tail);
            let (width, after) = (self.width, op.dst);
            let find = |source: Source| -> &[E] {
                match source {
                    Source::None => &[],
                    Source::Register(r) if r < after => &head[r as usize * width..][..at.len],
                    Source::Register(r) => &tail[(r - after - 1) as usize * width..][..at.len],
                    Source::Input(i) => operand(self.inputs, self.gathered, width, self.program, i as usize, at),
                }
            };
            (op.kernel)(&mut dst[..at.len], find(op.src[0]), find(op.src[1]), find(op.src[2]));
        }
        for store in &self.program.stores {
            let values = match store.source {
                Source::Register(r) => &self.registers[r as usize * self.width..][..at.len],
                Source::Input(i) => operand(self.inputs, self.gathered, self.width, self.program, i as usize, at),
                Source::None => continue,
            };
            match &mut self.outputs[store.buffer] {
                Output::Lanes(out) => scatter(&self.program.dims, store, at, values, out, |v| v),
                Output::Bools(out) => scatter(&self.program.dims, store, at, values, out, |v| (v != E::ZERO) as u8),
            }
        }
    }

    fn direct(&self, i: usize, at: &Position<'_>) -> Option<&[E]> {
        direct(&self.inputs[i], self.program, at)
    }
}

/// The tile's elements of an input where they lie, if they are adjacent.
#[inline]
fn direct<'d, E: Num>(input: &Input<'d, E>, program: &TileProgram<E>, at: &Position<'_>) -> Option<&'d [E]> {
    let InputData::Lanes(data) = input.data else { return None };
    let start = if program.row_mode {
        if input.strides.last().is_some_and(|s| *s != 1) {
            return None;
        }
        offset(input.strides, at.index)
    } else {
        let mut step = 1;
        for (extent, stride) in program.dims.iter().zip(input.strides).rev() {
            if *stride != step {
                return None;
            }
            step *= extent;
        }
        at.linear
    };
    Some(&data[start..start + at.len])
}

#[inline]
fn operand<'r, 'd: 'r, E: Num>(
    inputs: &[Input<'d, E>],
    gathered: &'r [E],
    width: usize,
    program: &TileProgram<E>,
    i: usize,
    at: &Position<'_>,
) -> &'r [E] {
    if inputs[i].constant().is_none()
        && let Some(slice) = direct(&inputs[i], program, at)
    {
        return slice;
    }
    &gathered[i * width..][..at.len]
}

#[inline]
fn offset(strides: &[usize], index: &[usize; MAX_AXES]) -> usize {
    strides.iter().zip(index).map(|(s, i)| s * i).sum()
}

/// Splits the tile into runs along the last axis: `visit(first element of the run in the tile, offset, elements)`.
#[inline]
fn runs(dims: &[usize], strides: &[usize], at: &Position<'_>, mut visit: impl FnMut(usize, usize, usize)) {
    let Some(last) = dims.len().checked_sub(1) else {
        visit(0, 0, 1);
        return;
    };
    let mut index = *at.index;
    let mut done = 0;
    loop {
        let len = (dims[last] - index[last]).min(at.len - done);
        visit(done, offset(strides, &index), len);
        done += len;
        if done == at.len {
            return;
        }
        index[last] = 0;
        let mut axis = last;
        while axis > 0 {
            axis -= 1;
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

fn gather<E: Num>(dims: &[usize], input: &Input<'_, E>, at: &Position<'_>, slot: &mut [E]) {
    let step = input.strides.last().copied().unwrap_or(0);
    runs(dims, input.strides, at, |first, from, len| {
        let slot = &mut slot[first..first + len];
        match input.data {
            InputData::Lanes(data) => match step {
                1 => slot.copy_from_slice(&data[from..from + len]),
                0 => slot.fill(data[from]),
                _ => slot.iter_mut().enumerate().for_each(|(i, s)| *s = data[from + i * step]),
            },
            InputData::Bools(data) => {
                slot.iter_mut().enumerate().for_each(|(i, s)| *s = truth(data[from + i * step]));
            }
            InputData::Splat(value) => slot.fill(value),
        }
    });
}

#[inline]
fn scatter<E: Num, T: Copy>(
    dims: &[usize],
    store: &Store,
    at: &Position<'_>,
    values: &[E],
    out: &mut [T],
    convert: impl Fn(E) -> T,
) {
    let step = store.strides.last().copied().unwrap_or(1);
    runs(dims, &store.strides, at, |first, to, len| {
        let to = store.offset + to;
        let values = &values[first..first + len];
        if step == 1 {
            out[to..to + len].iter_mut().zip(values).for_each(|(o, v)| *o = convert(*v));
        } else {
            values.iter().enumerate().for_each(|(i, v)| out[to + i * step] = convert(*v));
        }
    });
}
