//! Where forward values are found while a derivative is being recorded.

use crate::dtype::DType;
use crate::node::{BodyId, NodeId};
use crate::scan::{Body, ScanDef};
use crate::shape::Shape;
use crate::tape::{Inner, Tape};
use crate::var::Var;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Translates nodes of the forward recording to values of the derivative's recording.
///
/// On the tape itself they are the same. In the derivative of a scan, a value of the forward body is
/// the item of its tap: the stacked forward values are scanned over, and only those that a rule asks for exist.
pub(super) struct Scope<'a, 't> {
    tape: &'t Tape,
    frame: Option<Frame<'a, 't>>,
    copies: RefCell<HashMap<(usize, NodeId), Var<'t>>>,
}

struct Frame<'a, 't> {
    parent: &'a Scope<'a, 't>,
    /// The forward scan.
    scan: NodeId,
    def: Rc<ScanDef>,
    /// The derivative's body.
    body: RefCell<Body<'t>>,
    items: RefCell<HashMap<NodeId, Var<'t>>>,
}

impl<'a, 't> Scope<'a, 't> {
    pub(super) fn root(tape: &'t Tape) -> Scope<'a, 't> {
        Scope { tape, frame: None, copies: RefCell::default() }
    }

    /// The scope of the derivative `body` of the forward `scan`.
    pub(super) fn inside(parent: &'a Scope<'a, 't>, scan: NodeId, def: Rc<ScanDef>, body: Body<'t>) -> Scope<'a, 't> {
        let frame = Frame { parent, scan, def, body: RefCell::new(body), items: RefCell::default() };
        Scope { tape: parent.tape, frame: Some(frame), copies: RefCell::default() }
    }

    pub(super) fn tape(&self) -> &'t Tape {
        self.tape
    }

    /// The derivative's body, to be closed.
    pub(super) fn into_body(self) -> Option<Body<'t>> {
        self.frame.map(|frame| frame.body.into_inner())
    }

    /// Whether the node is of this scope's level, and not of an outer one.
    pub(super) fn is_own(&self, id: NodeId) -> bool {
        self.is_own_of(&self.tape.inner.borrow(), id)
    }

    pub(super) fn is_own_of(&self, inner: &Inner, id: NodeId) -> bool {
        self.frame.as_ref().is_none_or(|frame| inner.nodes[id as usize].body == frame.def.body)
    }

    /// Whether a body is the one that this scope differentiates; on the tape itself, those that are open.
    pub(super) fn is_level(&self, inner: &Inner, body: BodyId) -> bool {
        self.frame.as_ref().map_or_else(|| inner.open.contains(&body), |frame| body == frame.def.body)
    }

    /// What has been recorded again, by region and node.
    pub(super) fn copies(&self) -> &RefCell<HashMap<(usize, NodeId), Var<'t>>> {
        &self.copies
    }

    /// The forward value of node `id`, as the forward pass left it.
    pub(super) fn kept(&self, id: NodeId) -> Var<'t> {
        let Some(frame) = &self.frame else { return Var { tape: self.tape, id } };
        if !self.is_own(id) {
            return frame.parent.value(frame.scan, id);
        }
        if let Some(k) = frame.def.invariant_port(id) {
            let init = self.tape.inner.borrow().nodes[frame.scan as usize].inputs[k];
            return frame.parent.value(frame.scan, init);
        }
        frame.item(id)
    }

    /// The values of `node` (of the body of the forward `scan`) at all its steps, as the forward pass left them.
    pub(super) fn kept_steps(&self, scan: NodeId, node: NodeId) -> Var<'t> {
        match &self.frame {
            None => self.tape.tap(Var { tape: self.tape, id: scan }, node),
            Some(frame) if !self.is_own(scan) => frame.parent.stacked(scan, node),
            Some(frame) => frame.item(node),
        }
    }
}

impl<'t> Frame<'_, 't> {
    /// The value of a node of the forward body (or of one nested in it, then stacked) at the present step.
    fn item(&self, node: NodeId) -> Var<'t> {
        if let Some(item) = self.items.borrow().get(&node) {
            return *item;
        }
        let source = self.parent.stacked(self.scan, node);
        let item = self.body.borrow_mut().item(source);
        self.items.borrow_mut().insert(node, item);
        item
    }
}

/// A node as its derivative rule sees it.
pub(crate) struct Local<'a, 't> {
    scope: &'a Scope<'a, 't>,
    node: NodeId,
    inputs: &'a [NodeId],
    wants: &'a [bool],
}

impl<'a, 't> Local<'a, 't> {
    pub(super) fn new(scope: &'a Scope<'a, 't>, node: NodeId, inputs: &'a [NodeId], wants: &'a [bool]) -> Self {
        Local { scope, node, inputs, wants }
    }

    /// The tape.
    pub(crate) fn tape(&self) -> &'t Tape {
        self.scope.tape
    }

    /// The number of inputs.
    pub(crate) fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether a derivative with respect to input `i` is asked for.
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.wants[i]
    }

    /// The value of input `i`.
    pub(crate) fn input(&self, i: usize) -> Var<'t> {
        self.scope.value(self.node, self.inputs[i])
    }

    /// The value of the node itself.
    pub(crate) fn output(&self) -> Var<'t> {
        self.scope.value(self.node, self.node)
    }

    /// A number of the node's element type, part of the structure.
    pub(crate) fn lit(&self, value: f64) -> Var<'t> {
        let dtype = self.forward(self.node).node(|n| n.dtype);
        self.scope.tape.literal(value, dtype)
    }

    /// The shape of input `i`.
    pub(crate) fn shape(&self, i: usize) -> Shape {
        self.forward(self.inputs[i]).node(|n| n.shape.clone())
    }

    /// The element type of input `i`.
    pub(crate) fn dtype(&self, i: usize) -> DType {
        self.forward(self.inputs[i]).node(|n| n.dtype)
    }

    /// The shape of the node itself.
    pub(crate) fn own_shape(&self) -> Shape {
        self.forward(self.node).node(|n| n.shape.clone())
    }

    /// The element type of the node itself.
    pub(crate) fn own_dtype(&self) -> DType {
        self.forward(self.node).node(|n| n.dtype)
    }

    fn forward(&self, id: NodeId) -> Var<'t> {
        Var { tape: self.scope.tape, id }
    }
}
