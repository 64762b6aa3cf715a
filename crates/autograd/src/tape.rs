//! The tape: a define-by-run recording of operations.

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::node::{BodyId, Node, NodeId, NumberMap, Op};
use crate::ops::{Function, Region, UserRule};
use crate::origin::Origin;
use crate::param::{Param, ParamId};
use crate::program::Watching;
use crate::record::{Failure, Fault, Recorded};
use crate::recorder::Recorder;
use crate::scan::{BodyInfo, ScanDef};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::var::Var;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A recording of operations.
///
/// Every operation on a [`Var`] of the tape appends a node; nothing is computed until a value is
/// asked for. Derivatives are recorded on the same tape. A tape is cheap to make: use one for each
/// training step and drop it before the optimizer's step, so that parameters are updated in place.
///
/// ```
/// use wengert_autograd::Tape;
/// let tape = Tape::new();
/// let x = tape.var(3.0f64);
/// let y = x * x + 2.0 * x;
/// let [dy] = y.grad([x]);
/// let [d2y] = dy.grad([x]);
/// assert_eq!(y.item()?, 15.0);
/// assert_eq!(dy.item()?, 8.0);
/// assert_eq!(d2y.item()?, 2.0);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
pub struct Tape {
    pub(crate) inner: RefCell<Inner>,
    pub(crate) recorder: Cell<Recorder>,
    differentiable: bool,
    /// Who looks on when its programs run.
    pub(crate) watching: Watching,
    /// Tells tapes apart when values outlive them.
    pub(crate) serial: u64,
}

/// What a leaf is bound to when a program runs.
#[derive(Clone)]
pub(crate) enum LeafValue {
    Tensor(Tensor),
    Number(f64),
    /// A function of the user's.
    Function(Arc<Function>),
}

pub(crate) struct Inner {
    pub nodes: Vec<Node>,
    pub leaves: Vec<LeafValue>,
    pub errors: Vec<Error>,
    pub scans: Vec<Rc<ScanDef>>,
    /// The bodies being recorded, outermost first; the tape itself is body 0.
    pub open: SmallVec<[BodyId; 4]>,
    /// Every body, the tape itself first.
    pub bodies: Vec<BodyInfo>,
    /// Leaves made by [`Tape::var`].
    pub variables: Vec<NodeId>,
    /// Derivatives given by the user.
    pub rules: Vec<Rc<UserRule>>,
    /// The leaves that hold the user's functions.
    pub functions: HashMap<*const Function, u32>,
    /// Regions whose values derivatives recompute, by first node.
    pub regions: Vec<Region>,
    /// How many values have been fenced off for recomputations.
    pub fences: u32,
    pub params: NumberMap<ParamId, NodeId>,
    bindings: Vec<(ParamId, NodeId)>,
    /// Nodes whose value is held: later uses read the held copy.
    pub kept: HashMap<NodeId, NodeId>,
    /// Nodes to be computed and held by the next program.
    pub marked: Vec<NodeId>,
    pub names: HashMap<NodeId, String>,
    /// What derivatives recorded, by first node.
    pub origins: Vec<Origin>,
    /// Nodes whose values may be infinite or NaN.
    pub allowed: HashSet<NodeId>,
    /// How many keys each random key has handed out.
    pub keys_taken: HashMap<NodeId, i64>,
    /// Names of parameters, for listings.
    pub param_names: HashMap<ParamId, String>,
}

/// Something a leaf can be made of: a tensor or a number.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a recorded value",
    label = "not a tensor or a number",
    note = "make a tensor first: `Tensor::from_slice(&data, shape)?`"
)]
pub trait IntoTensor {
    /// The tensor.
    fn into_tensor(self) -> Tensor;
}

impl IntoTensor for Tensor {
    fn into_tensor(self) -> Tensor {
        self
    }
}

impl IntoTensor for &Tensor {
    fn into_tensor(self) -> Tensor {
        self.clone()
    }
}

impl<T: Element> IntoTensor for T {
    fn into_tensor(self) -> Tensor {
        Tensor::scalar(self)
    }
}

impl Default for Tape {
    fn default() -> Self {
        Tape::new()
    }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Tape {
        Tape::with(true)
    }

    /// An empty tape for evaluation only: asking it for a gradient is an error.
    pub fn inference() -> Tape {
        Tape::with(false)
    }

    fn with(differentiable: bool) -> Tape {
        let inner = Inner {
            nodes: RECYCLED.with(|kept| kept.take()),
            leaves: Vec::new(),
            errors: Vec::new(),
            scans: Vec::new(),
            open: SmallVec::from_slice(&[0]),
            bodies: vec![BodyInfo { parent: 0, length: 1, scan: None }],
            variables: Vec::new(),
            rules: Vec::new(),
            functions: HashMap::new(),
            regions: Vec::new(),
            fences: 0,
            params: NumberMap::default(),
            bindings: Vec::new(),
            kept: HashMap::new(),
            marked: Vec::new(),
            names: HashMap::new(),
            origins: Vec::new(),
            allowed: HashSet::new(),
            keys_taken: HashMap::new(),
            param_names: HashMap::new(),
        };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        Tape {
            inner: RefCell::new(inner),
            recorder: Cell::default(),
            differentiable,
            watching: Watching::Nothing,
            serial,
        }
    }

    /// Whether gradients may be asked of this tape.
    pub fn is_differentiable(&self) -> bool {
        self.differentiable
    }

    /// The number of recorded nodes.
    pub fn len(&self) -> usize {
        self.inner.borrow().nodes.len()
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A leaf that gradients can be taken with respect to; [`Var::backward`] reports its gradient.
    #[track_caller]
    pub fn var(&self, value: impl IntoTensor) -> Var<'_> {
        let var = self.leaf("var", value.into_tensor());
        self.inner.borrow_mut().variables.push(var.id);
        var
    }

    /// A leaf for data: inputs, targets, masks.
    #[track_caller]
    pub fn constant(&self, value: impl IntoTensor) -> Var<'_> {
        self.leaf("constant", value.into_tensor())
    }

    /// Zeros of a shape and element type.
    #[track_caller]
    pub fn zeros(&self, shape: impl Into<Shape>, dtype: DType) -> Var<'_> {
        let _named = self.composition("zeros");
        self.full(shape, 0.0, dtype)
    }

    /// Ones of a shape and element type.
    #[track_caller]
    pub fn ones(&self, shape: impl Into<Shape>, dtype: DType) -> Var<'_> {
        let _named = self.composition("ones");
        self.full(shape, 1.0, dtype)
    }

    /// A constant with `value` in every element. The value is bound when the program runs.
    #[track_caller]
    pub fn full(&self, shape: impl Into<Shape>, value: f64, dtype: DType) -> Var<'_> {
        let _named = self.composition("full");
        self.number(value, dtype).expand(shape)
    }

    /// The value of `param` on this tape: its binding if one is in force, else a snapshot taken at
    /// first use.
    #[track_caller]
    pub fn param(&self, param: &Param) -> Var<'_> {
        let known = {
            let inner = self.inner.borrow();
            let bound = inner.bindings.iter().rev().find(|(id, _)| *id == param.id()).map(|(_, node)| *node);
            bound.or_else(|| inner.params.get(&param.id()).copied())
        };
        if let Some(id) = known {
            return Var { tape: self, id };
        }
        let leaf = self.leaf("param", param.value());
        self.inner.borrow_mut().params.insert(param.id(), leaf.id);
        leaf
    }

    /// Runs `f` with every use of `param` on this tape replaced by `value`: weight-drop, unrolled
    /// optimizers, and gradient checks over parameters rest on this.
    ///
    /// A value of another shape or element type than the parameter's is an error carried by the replaced uses.
    #[track_caller]
    pub fn bind<'t, R>(&'t self, param: &Param, value: Var<'t>, f: impl FnOnce() -> R) -> R {
        let present = param.value();
        let bound = self.op("bind", &[value], |inputs| {
            let [node] = inputs else { unreachable!("one input was given") };
            if node.shape != *present.shape() || node.dtype != present.dtype() {
                return Err(Fault::shape(
                    format!(
                        "the parameter is {} {}, the value bound to it {} {}",
                        present.dtype(),
                        present.shape(),
                        node.dtype,
                        node.shape
                    ),
                    "bind a value of the parameter's shape and element type",
                ));
            }
            Ok(None)
        });
        /// Ends the binding, also if the closure panics.
        struct Bound<'t>(&'t Tape);
        impl Drop for Bound<'_> {
            fn drop(&mut self) {
                self.0.inner.borrow_mut().bindings.pop();
            }
        }
        self.inner.borrow_mut().bindings.push((param.id(), bound.id));
        let _bound = Bound(self);
        f()
    }

    /// Computes several values in one program.
    ///
    /// # Errors
    /// The first error among the operations they depend on.
    #[track_caller]
    pub fn eval<'t, const N: usize>(&'t self, vars: [Var<'t>; N]) -> Result<[Tensor; N]> {
        let _named = self.composition("eval");
        let values = self.eval_all(&vars)?;
        Ok(values.try_into().expect("one value for each variable"))
    }

    /// As [`eval`](Tape::eval), for a slice.
    ///
    /// # Errors
    /// The first error among the operations they depend on.
    #[track_caller]
    pub fn eval_all<'t>(&'t self, vars: &[Var<'t>]) -> Result<Vec<Tensor>> {
        let _named = self.composition("eval_all");
        for var in vars {
            self.computable("eval_all", *var)?;
        }
        let mut ids: Vec<NodeId> = vars.iter().map(|v| v.id).collect();
        let marked = std::mem::take(&mut self.inner.borrow_mut().marked);
        ids.extend(marked.into_iter().filter(|id| self.held(*id).is_none() && self.valid(*id)));
        let mut values = crate::program::evaluate(self, &ids)?;
        for (id, value) in ids.iter().zip(&values) {
            self.hold(*id, value);
        }
        values.truncate(vars.len());
        Ok(values)
    }

    /// Checks that `var` is of this tape, valid, and has one value.
    #[track_caller]
    pub(crate) fn computable(&self, name: &str, var: Var<'_>) -> Result<()> {
        self.owned(var)?;
        let Some(at) = var.node(|n| (n.body != 0).then_some(n.at)) else { return Ok(()) };
        let (file, line) = (at.file(), at.line());
        let found =
            format!("the value (recorded at {file}:{line}) belongs to a scan body: it has one value for each step");
        Err(self.refused(name, Fault::scope(found, "return it from the body's closure as an output")))
    }

    /// The first error recorded on this tape, if any.
    pub fn error(&self) -> Option<Error> {
        self.inner.borrow().errors.first().cloned()
    }

    /// The parameters used on this tape (not bound), with their leaves.
    pub(crate) fn used_params(&self) -> Vec<(ParamId, NodeId)> {
        let inner = self.inner.borrow();
        let mut all: Vec<_> = inner.params.iter().map(|(id, node)| (*id, *node)).collect();
        all.sort_by_key(|(_, node)| *node);
        all
    }

    pub(crate) fn name(&self, id: NodeId, name: &str) {
        self.inner.borrow_mut().names.insert(id, name.to_string());
    }

    pub(crate) fn name_of(&self, id: NodeId) -> Option<String> {
        self.inner.borrow().names.get(&id).cloned()
    }

    /// Whether what is recorded follows from the structure of its inputs alone: no derivative of the user's own, no held
    /// value (which hides what it was computed from), none that waits to be held, and nobody who looks on.
    pub(crate) fn is_plain(&self) -> bool {
        let inner = self.inner.borrow();
        let unwatched = matches!(self.watching, Watching::Nothing);
        unwatched && inner.rules.is_empty() && inner.kept.is_empty() && inner.marked.is_empty()
    }

    /// Lets later operations read `value` instead of computing node `id` again.
    pub(crate) fn hold(&self, id: NodeId, value: &Tensor) {
        let inner = &mut *self.inner.borrow_mut();
        let leaf = matches!(inner.nodes[id as usize].op, Op::Leaf(_) | Op::Scalar(_) | Op::Literal(_));
        if leaf || inner.kept.contains_key(&id) {
            return;
        }
        let source = &inner.nodes[id as usize];
        let (dtype, at) = (source.dtype, source.at);
        let held = inner.push_leaf(LeafValue::Tensor(value.contiguous()), value.shape().clone(), dtype, at);
        // The link to the source keeps derivatives flowing through the held copy.
        inner.nodes[held as usize].inputs.push(id);
        inner.kept.insert(id, held);
    }

    /// The held value of a node, if it has one.
    pub(crate) fn held(&self, id: NodeId) -> Option<Tensor> {
        let inner = self.inner.borrow();
        let leaf = inner.kept.get(&id).unwrap_or(&id);
        match inner.nodes[*leaf as usize].op {
            Op::Leaf(ordinal) => match &inner.leaves[ordinal as usize] {
                LeafValue::Tensor(tensor) => Some(tensor.clone()),
                LeafValue::Number(_) | LeafValue::Function(_) => None,
            },
            _ => None,
        }
    }

    #[track_caller]
    fn leaf(&self, name: &str, value: Tensor) -> Var<'_> {
        let value = value.contiguous();
        let dtype = value.dtype();
        let shape = match value.shape().clone().bounded() {
            Ok(shape) => shape,
            Err(found) => return self.fail(name, Fault::shape(found, "")),
        };
        let mut inner = self.inner.borrow_mut();
        let at = self.recorder.get().at(Location::caller());
        let id = inner.push_leaf(LeafValue::Tensor(value), shape, dtype, at);
        Var { tape: self, id }
    }

    /// Records an operation: checks tape, scope and earlier errors, lets `build` decide on shape
    /// and type from the inputs, and appends the node. `build` may answer `None`: the first input as it is.
    #[track_caller]
    pub(crate) fn op<'t>(
        &'t self,
        name: &str,
        inputs: &[Var<'t>],
        build: impl FnOnce(&[&Node]) -> Result<Option<Recorded>, Fault>,
    ) -> Var<'t> {
        let recorder = self.recorder.get();
        let at = recorder.at(Location::caller());
        let inner = &mut *self.inner.borrow_mut();
        let id = match inner.try_op(self, inputs, at, build) {
            Ok(id) => id,
            Err(Failure::Earlier(id)) => id,
            Err(Failure::New(fault)) => {
                let error = recorder.error(recorder.name(name), fault, at);
                inner.push_error(error)
            }
        };
        Var { tape: self, id }
    }

    /// An invalid value with a new error, at the caller's address.
    #[track_caller]
    pub(crate) fn fail(&self, name: &str, fault: Fault) -> Var<'_> {
        self.op(name, &[], |_| Err(fault))
    }

    /// An error of the operation in force, else of `name`, that is not recorded.
    #[track_caller]
    pub(crate) fn refused(&self, name: &str, fault: Fault) -> Error {
        let recorder = self.recorder.get();
        recorder.error(recorder.name(name), fault, recorder.at(Location::caller()))
    }

    /// The first of some values that cannot be used here, as an invalid value of this tape: it carries an error, is of another
    /// tape, or of a scan body that has ended.
    #[track_caller]
    pub(crate) fn unusable<'t>(&'t self, name: &str, vars: &[Var<'t>]) -> Option<Var<'t>> {
        for var in vars {
            let checked = self.op(name, &[*var], |_| Ok(None));
            if !self.valid(checked.id) {
                return Some(checked);
            }
        }
        None
    }

    fn valid(&self, id: NodeId) -> bool {
        !matches!(self.inner.borrow().nodes[id as usize].op, Op::Error(_))
    }

    /// Checks that `var` is of this tape and valid.
    #[track_caller]
    pub(crate) fn owned(&self, var: Var<'_>) -> Result<()> {
        if !std::ptr::eq(self, var.tape) {
            return Err(
                self.refused("eval", Fault::scope("the value is of another tape", "ask the tape that recorded it"))
            );
        }
        let inner = self.inner.borrow();
        match inner.nodes[var.id as usize].op {
            Op::Error(number) => Err(inner.errors[number as usize].clone()),
            _ => Ok(()),
        }
    }
}

thread_local! {
    /// The emptied node list of the last tape dropped on this thread: a training loop records into warm memory.
    static RECYCLED: RefCell<Vec<Node>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Tape {
    fn drop(&mut self) {
        /// Longer lists go back to the system.
        const LONGEST: usize = 1 << 16;
        let mut nodes = std::mem::take(&mut self.inner.get_mut().nodes);
        if nodes.capacity() <= LONGEST {
            nodes.clear();
            // While the thread ends there is nowhere to keep it.
            let _ = RECYCLED.try_with(|kept| *kept.borrow_mut() = nodes);
        }
    }
}
