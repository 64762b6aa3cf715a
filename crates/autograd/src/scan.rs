//! `scan`: a loop over time, recorded once.
//!
//! The closure is recorded on a *body*. A node belongs to the innermost body whose values it depends on, so what does
//! not change over time is recorded outside of the loop by construction. Outer values that a body uses
//! become inputs of the scan node (captures). Every value of a body can be read from outside as a
//! *tap*: its values at all steps, stacked.

mod options;

pub use options::{Checkpoint, ScanOptions};

use crate::dtype::DType;
use crate::node::{BodyId, Inputs, Node, NodeId, NumberMap, Op, Port, StructureHasher, structure};
use crate::param::Path;
use crate::record::{Fault, Recorded};
use crate::shape::Shape;
use crate::tape::Tape;
use crate::tree::Tree;
use crate::var::Var;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::rc::Rc;

/// The name of one of several values, by number; asked for only where there is something to report.
pub(crate) type NameOf<'n> = &'n dyn Fn(usize) -> String;

/// What a value is, with its name in a tree, if it is not the whole tree.
#[derive(Clone, Copy)]
struct Called<'n>(&'static str, NameOf<'n>, usize);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Called(what, name_of, at) = self;
        let name = name_of(*at);
        if name.is_empty() { f.write_str(what) } else { write!(f, "{what} '{name}'") }
    }
}

/// The name of a leaf.
fn name_in<'t>(tree: &impl Tree<'t>, leaf: usize) -> String {
    tree.named_leaves().swap_remove(leaf).0
}

/// A recorded loop. The scan node's inputs are the initial carries, the scanned values, the captures.
#[derive(Clone, Debug)]
pub(crate) struct ScanDef {
    pub body: BodyId,
    /// The range of tape indices in which the body's nodes lie.
    pub nodes: std::ops::Range<NodeId>,
    pub length: usize,
    pub reverse: bool,
    pub checkpoint: Checkpoint,
    /// Ports of the carries, and what each becomes.
    pub carries: Vec<NodeId>,
    pub next: Vec<NodeId>,
    /// Ports of the scanned values.
    pub items: Vec<NodeId>,
    /// Outer values used in the body.
    pub captures: Vec<NodeId>,
}

impl ScanDef {
    /// Whether carry component `k` is returned unchanged: then it is the initial value at every step.
    pub(crate) fn is_invariant(&self, k: usize) -> bool {
        self.next[k] == self.carries[k]
    }

    /// The number of the invariant carry component whose port `id` is.
    pub(crate) fn invariant_port(&self, id: NodeId) -> Option<usize> {
        self.carries.iter().position(|port| *port == id).filter(|k| self.is_invariant(*k))
    }
}

impl Tape {
    /// Runs `step` over the leading axis of `xs`, carrying a state: `(state, y_t) = step(state, x_t)`.
    ///
    /// `init`, `xs` and the outputs are [trees](Tree) of values; each leaf of `xs` is `[T, ..]`, and the step sees `[..]`.
    /// Returns the last state and the outputs stacked to `[T, ..]`. The closure runs once; it may use any outer value.
    /// No steps (`T = 0`) give the initial state.
    ///
    /// ```
    /// use wengert_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::from_slice(&[1.0f64, 2.0, 3.0], [3])?);
    /// let (sum, partial) = tape.scan(tape.constant(0.0f64), x, |sum, x| (sum + x, sum + x));
    /// assert_eq!(partial.value()?.to_vec::<f64>()?, [1.0, 3.0, 6.0]);
    /// let [dx] = sum.square().grad([x]);
    /// assert_eq!(dx.value()?.to_vec::<f64>()?, [12.0, 12.0, 12.0]);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn scan<'t, S: Tree<'t>, X: Tree<'t>, Y: Tree<'t>>(
        &'t self,
        init: S,
        xs: X,
        step: impl FnOnce(S, X) -> (S, Y),
    ) -> (S, Y) {
        let _named = self.composition("scan");
        self.scan_own(ScanOptions::default(), init, xs, |s, x| self.given(|| step(s, x)))
    }

    /// As [`scan`](Tape::scan), with options.
    #[track_caller]
    pub fn scan_with<'t, S: Tree<'t>, X: Tree<'t>, Y: Tree<'t>>(
        &'t self,
        options: ScanOptions,
        init: S,
        xs: X,
        step: impl FnOnce(S, X) -> (S, Y),
    ) -> (S, Y) {
        let _named = self.composition("scan_with");
        self.scan_own(options, init, xs, |s, x| self.given(|| step(s, x)))
    }

    /// A scan that is part of the composition in force, as is what its step records.
    pub(crate) fn scan_own<'t, S: Tree<'t>, X: Tree<'t>, Y: Tree<'t>>(
        &'t self,
        options: ScanOptions,
        init: S,
        xs: X,
        step: impl FnOnce(S, X) -> (S, Y),
    ) -> (S, Y) {
        let sources = xs.leaves();
        let length = self.scan_length(&sources, &|at| name_in(&xs, at), options.length);
        let starts = init.leaves();
        // Before the body is open: what the tape does not see now, the loop cannot be given.
        let unplaced = self.any_misplaced("the initial carry", &|at| name_in(&init, at), &starts);
        let mut body =
            Body::open(self, *length.as_ref().unwrap_or(&1), options.reverse).checkpointed(options.checkpoint);
        let carries: Vec<Var<'t>> = starts.iter().map(|v| body.carry(*v)).collect();
        let items: Vec<Var<'t>> = sources.iter().map(|v| body.item(*v)).collect();
        let (next, ys) = step(init.with_leaves(&carries), xs.with_leaves(&items));
        let name_of = |at| name_in(&next, at);
        let after = next.leaves();
        let broken = length.err().or_else(|| self.any_misplaced("the carry that the step returned", &name_of, &after));
        let closed = broken.or(unplaced).map_or_else(|| body.close(&after, &name_of), Err);
        let scan = match closed {
            Ok(scan) => scan,
            Err(broken) => {
                let root = &mut Path::unnamed();
                return (init.map_vars(root, &mut |_, _| broken), ys.map_vars(root, &mut |_, _| broken));
            }
        };
        let mut index = 0;
        let last = init.map_vars(&mut Path::unnamed(), &mut |_, _| {
            index += 1;
            self.final_carry(scan, index - 1)
        });
        let mut index = 0;
        let stacked = ys.map_vars(&mut Path::unnamed(), &mut |_, y| {
            index += 1;
            self.stacked_output(scan, Called("the output", &|at| name_in(&ys, at), index - 1), y)
        });
        (last, stacked)
    }

    /// An invalid value in place of the first that is [misplaced](Tape::misplaced).
    fn any_misplaced<'t>(&'t self, what: &'static str, name_of: NameOf<'_>, values: &[Var<'t>]) -> Option<Var<'t>> {
        values.iter().enumerate().find_map(|(at, v)| self.misplaced(Called(what, name_of, at), *v))
    }

    /// An invalid value in place of one of another tape, or of a body that has ended.
    fn misplaced<'t>(&'t self, what: Called<'_>, value: Var<'t>) -> Option<Var<'t>> {
        if !std::ptr::eq(value.tape, self) {
            let found = format!("{what} is recorded on another tape");
            return Some(self.fail("scan", Fault::scope(found, "bring it over with tape.constant(other.value()?)")));
        }
        let (body, at) = value.node(|n| (n.body, n.at));
        if self.inner.borrow().open.contains(&body) {
            return None;
        }
        let (file, line) = (at.file(), at.line());
        let found = format!("{what} (recorded at {file}:{line}) belongs to a scan body that has ended");
        Some(self.fail("scan", Fault::scope(found, "return it from the body's closure as a carry or an output")))
    }

    /// `f` of every slice of `xs` along its leading axis, stacked: a [`scan`](Tape::scan) without state. With a gradient in
    /// `f`, it gives gradients by sample.
    ///
    /// ```
    /// use wengert_autograd::{Param, Tape, Tensor};
    /// let w = Param::new(Tensor::from_slice(&[1.0f64, -1.0], [2])?);
    /// let tape = Tape::new();
    /// let x = tape.constant(Tensor::from_slice(&[1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 2])?);
    /// let y = tape.constant(Tensor::from_slice(&[0.0f64, 1.0, 2.0], [3])?);
    /// // One gradient for each of the three samples, `[3, 2]`.
    /// let [by_sample] = tape.map((x, y), |(x, y)| ((x * &w).sum() - y).square().grad([&w]));
    /// assert_eq!(by_sample.value()?.to_vec::<f64>()?, [-2.0, -4.0, -12.0, -16.0, -30.0, -36.0]);
    /// // Their mean, with each clipped to length 1 before: what private training does.
    /// let length = by_sample.square().sum_axes(1).sqrt().unsqueeze(1);
    /// let clipped = (by_sample / length.maximum(1.0)).mean_axes(0);
    /// assert_eq!(clipped.shape()?[..], [2]);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn map<'t, X: Tree<'t>, Y: Tree<'t>>(&'t self, xs: X, f: impl FnOnce(X) -> Y) -> Y {
        let _named = self.composition("map");
        let ((), ys) = self.scan_own(ScanOptions::default(), (), xs, |(), x| ((), self.given(|| f(x))));
        ys
    }

    /// The common leading extent of the scanned values.
    fn scan_length<'t>(&'t self, xs: &[Var<'t>], name_of: NameOf<'_>, asked: Option<usize>) -> Result<usize, Var<'t>> {
        let mut length = asked;
        // The value that the number of steps was taken from, if it was not asked for.
        let mut first = None;
        for (at, source) in xs.iter().enumerate() {
            let name = Called("the scanned value", name_of, at);
            if let Some(broken) = self.misplaced(name, *source) {
                return Err(broken);
            }
            let Ok(shape) = source.shape() else { return Err(*source) };
            let Some(extent) = shape.first().copied() else {
                let found = format!("{name} is a scalar, expected a leading time axis");
                return Err(self.fail("scan", Fault::shape(found, "capture it in the closure instead")));
            };
            match length {
                Some(length) if length != extent => {
                    let first = match first {
                        Some((name, shape)) => format!("{name} is {shape}:"),
                        None => "the options ask for".to_string(),
                    };
                    let found = format!("{name} is {shape}: {extent} steps, but {first} {length}");
                    return Err(self.fail("scan", Fault::shape(found, "give all scanned values one leading extent")));
                }
                Some(_) => {}
                None => {
                    length = Some(extent);
                    first = Some((name, shape));
                }
            }
        }
        match length {
            Some(length) => Ok(length),
            None => {
                let found = "nothing is scanned over, so the number of steps is unknown";
                let remedy = "name it: scan_with(ScanOptions::default().length(n), ..)";
                Err(self.fail("scan", Fault::shape(found, remedy)))
            }
        }
    }

    /// Carry component `index` after the last step of a scan.
    pub(crate) fn final_carry<'t>(&'t self, scan: Var<'t>, index: usize) -> Var<'t> {
        let def = self.scan_def(scan.id);
        let (shape, dtype) = {
            let inner = self.inner.borrow();
            let port = &inner.nodes[def.carries[index] as usize];
            (port.shape.clone(), port.dtype)
        };
        self.op("scan", &[scan], |_| Ok(Some(Recorded { op: Op::Final(index as u32), shape, dtype })))
    }

    /// An output of a step, stacked over time: a tap, or a value from outside of the body, repeated.
    fn stacked_output<'t>(&'t self, scan: Var<'t>, name: Called<'_>, y: Var<'t>) -> Var<'t> {
        let def = self.scan_def(scan.id);
        let mine = std::ptr::eq(y.tape, self) && y.node(|n| n.body == def.body);
        if let Some(broken) = (!mine).then(|| self.misplaced(name, y)).flatten() {
            return broken;
        }
        match y.shape() {
            Err(_) => y,
            Ok(_) if mine => self.tap(scan, y.id),
            Ok(shape) => y.expand(shape.with_front(def.length)),
        }
    }

    /// All values over time of `node`, which lies in the scan's body or in one nested in it: `[T, .., shape]`.
    pub(crate) fn tap<'t>(&'t self, scan: Var<'t>, node: NodeId) -> Var<'t> {
        let inner = &mut *self.inner.borrow_mut();
        let Op::Scan(number) = inner.nodes[scan.id as usize].op else { unreachable!("taps read scans") };
        let def = inner.scans[number as usize].clone();
        if let Some(item) = def.items.iter().position(|port| *port == node) {
            let id = inner.nodes[scan.id as usize].inputs[def.carries.len() + item];
            return Var { tape: self, id };
        }
        let target = &inner.nodes[node as usize];
        let (mut shape, dtype, at) = (target.shape.clone(), target.dtype, target.at);
        let mut body = target.body;
        while body != def.body {
            let info = inner.bodies[body as usize];
            shape = shape.with_front(info.length);
            body = info.parent;
        }
        let shape = match shape.with_front(def.length).bounded() {
            Ok(shape) => shape,
            Err(found) => {
                let at = inner.nodes[scan.id as usize].at;
                let recorder = self.recorder.get();
                let error = recorder.error(recorder.name("scan"), Fault::shape(found, "scan over parts of it"), at);
                return Var { tape: self, id: inner.push_error(error) };
            }
        };
        let mut hasher = StructureHasher::new();
        hasher.write_u32(0x746170);
        hasher.write_hash(inner.nodes[scan.id as usize].hash);
        hasher.write_hash(target.hash);
        let body = inner.nodes[scan.id as usize].body;
        let inputs = Inputs::from_slice(&[scan.id]);
        let node = Node { op: Op::Tap(node), inputs, shape, dtype, body, hash: hasher.finish128(), at };
        Var { tape: self, id: inner.push(node) }
    }

    pub(crate) fn scan_def(&self, scan: NodeId) -> Rc<ScanDef> {
        let inner = self.inner.borrow();
        match inner.nodes[scan as usize].op {
            Op::Scan(number) => inner.scans[number as usize].clone(),
            _ => unreachable!("the node is a scan"),
        }
    }
}

/// Where a body stands: what it is nested in, and its number of steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyInfo {
    pub parent: BodyId,
    pub length: usize,
    /// The scan node, once the body has ended.
    pub scan: Option<NodeId>,
}

/// A scan body being recorded.
pub(crate) struct Body<'t> {
    tape: &'t Tape,
    id: BodyId,
    start: NodeId,
    length: usize,
    reverse: bool,
    checkpoint: Checkpoint,
    /// Initial values and ports.
    carries: Vec<(Var<'t>, Var<'t>)>,
    /// Scanned values and ports.
    items: Vec<(Var<'t>, Var<'t>)>,
    at: &'static Location<'static>,
    open: bool,
}

impl<'t> Body<'t> {
    #[track_caller]
    pub(crate) fn open(tape: &'t Tape, length: usize, reverse: bool) -> Body<'t> {
        let mut inner = tape.inner.borrow_mut();
        let id = inner.bodies.len() as BodyId;
        let parent = *inner.open.last().expect("the tape itself is always open");
        inner.bodies.push(BodyInfo { parent, length, scan: None });
        inner.open.push(id);
        let at = tape.recorder.get().at(Location::caller());
        let start = inner.nodes.len() as NodeId;
        let (carries, items) = (Vec::new(), Vec::new());
        Body { tape, id, start, length, reverse, checkpoint: Checkpoint::None, carries, items, at, open: true }
    }

    pub(crate) fn checkpointed(mut self, checkpoint: Checkpoint) -> Body<'t> {
        self.checkpoint = checkpoint;
        self
    }

    pub(crate) fn id(&self) -> BodyId {
        self.id
    }

    /// A component of the carry, starting as `init`. An invalid value is its own port.
    pub(crate) fn carry(&mut self, init: Var<'t>) -> Var<'t> {
        let port = match init.shape() {
            Ok(shape) => self.port(Port::Carry, self.carries.len(), shape, init.node(|n| n.dtype)),
            Err(_) => init,
        };
        self.carries.push((init, port));
        port
    }

    /// A scanned value `[T, ..]`.
    pub(crate) fn item(&mut self, source: Var<'t>) -> Var<'t> {
        let port = match source.shape() {
            Ok(shape) if shape.rank() > 0 => {
                self.port(Port::Item, self.items.len(), shape[1..].into(), source.node(|n| n.dtype))
            }
            _ => source,
        };
        self.items.push((source, port));
        port
    }

    fn port(&self, kind: Port, index: usize, shape: Shape, dtype: DType) -> Var<'t> {
        let op = Op::Placeholder { body: self.id, kind, index: index as u32 };
        let hash = structure(&op, std::iter::empty(), &shape, dtype);
        let node = Node { op, inputs: Inputs::new(), shape, dtype, body: self.id, hash, at: self.at };
        Var { tape: self.tape, id: self.tape.inner.borrow_mut().push(node) }
    }

    /// Ends the body; `next` are the carry components for the next step, with their names.
    /// Gives the scan node, or the invalid value that broke the body.
    pub(crate) fn close(mut self, next: &[Var<'t>], name_of: NameOf<'_>) -> Result<Var<'t>, Var<'t>> {
        self.end();
        let tape = self.tape;
        let invalid = |v: &Var<'t>| tape.owned(*v).is_err();
        let given = self.carries.iter().chain(&self.items).map(|(outer, _)| *outer);
        if let Some(broken) = given.chain(next.iter().copied()).find(invalid) {
            return Err(broken);
        }
        if next.len() != self.carries.len() {
            let found =
                format!("the initial state has {} components, the step returned {}", self.carries.len(), next.len());
            return Err(self.fail(Fault::shape(found, "return a state of the same structure as the initial one")));
        }
        for (at, ((init, _), after)) in self.carries.iter().zip(next).enumerate() {
            if !init.is_like(*after) {
                let kind = |v: Var<'_>| v.node(|n| (n.shape.clone(), n.dtype));
                let (before, now) = (kind(*init), kind(*after));
                let site = after.node(|n| n.at);
                let found = format!(
                    "{} starts as {} {} and returns from the step as {} {} (recorded at {}:{})",
                    Called("the carry", name_of, at),
                    before.1,
                    before.0,
                    now.1,
                    now.0,
                    site.file(),
                    site.line()
                );
                let remedy = "make the initial state and the step agree";
                let same = before.0 == now.0;
                return Err(self.fail(if same { Fault::dtype(found, remedy) } else { Fault::shape(found, remedy) }));
            }
        }
        Ok(self.finish(next))
    }

    fn finish(&self, next: &[Var<'t>]) -> Var<'t> {
        let inner = &mut *self.tape.inner.borrow_mut();
        let nodes = self.start..inner.nodes.len() as NodeId;
        let mut captures: Vec<NodeId> = Vec::new();
        let mut known: NumberMap<NodeId, ()> = NumberMap::default();
        let mut capture = |id: NodeId, inner: &crate::tape::Inner| {
            if inner.nodes[id as usize].body != self.id && known.insert(id, ()).is_none() {
                captures.push(id);
            }
        };
        for node in &inner.nodes[nodes.start as usize..] {
            if node.body == self.id {
                node.inputs.iter().for_each(|id| capture(*id, inner));
            }
        }
        next.iter().for_each(|v| capture(v.id, inner));
        let def = ScanDef {
            body: self.id,
            nodes,
            length: self.length,
            reverse: self.reverse,
            checkpoint: self.checkpoint,
            carries: self.carries.iter().map(|(_, port)| port.id).collect(),
            next: next.iter().map(|v| v.id).collect(),
            items: self.items.iter().map(|(_, port)| port.id).collect(),
            captures,
        };
        let outer = self.carries.iter().chain(&self.items).map(|(outer, _)| outer.id);
        let inputs: Inputs = outer.chain(def.captures.iter().copied()).collect();
        let depth = |id: &NodeId| inner.open.iter().rposition(|b| *b == inner.nodes[*id as usize].body).unwrap_or(0);
        let body = inner.open[inputs.iter().map(depth).max().unwrap_or(0)];
        let mut hasher = StructureHasher::new();
        (0x7363616e_u32, self.length, self.reverse, self.checkpoint, def.carries.len(), def.items.len())
            .hash(&mut hasher);
        for id in inputs.iter().chain(&def.carries).chain(&def.items).chain(&def.next) {
            hasher.write_hash(inner.nodes[*id as usize].hash);
        }
        let op = Op::Scan(inner.scans.len() as u32);
        inner.scans.push(Rc::new(def));
        let hash = hasher.finish128();
        let node = Node { op, inputs, shape: Shape::scalar(), dtype: DType::Bool, body, hash, at: self.at };
        let id = inner.push(node);
        // A loop that depends on nothing of the body in which it stands is recorded outside of it, and so are its values.
        let info = &mut inner.bodies[self.id as usize];
        (info.scan, info.parent) = (Some(id), body);
        Var { tape: self.tape, id }
    }

    fn fail(&self, fault: Fault) -> Var<'t> {
        let inner = &mut *self.tape.inner.borrow_mut();
        let recorder = self.tape.recorder.get();
        let error = recorder.error(recorder.name("scan"), fault, self.at);
        Var { tape: self.tape, id: inner.push_error(error) }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            let mut inner = self.tape.inner.borrow_mut();
            let depth = inner.open.iter().rposition(|b| *b == self.id);
            inner.open.truncate(depth.expect("a body stays open until it ends"));
        }
    }
}

impl Drop for Body<'_> {
    /// A closure that panics leaves the tape usable.
    fn drop(&mut self) {
        self.end();
    }
}
