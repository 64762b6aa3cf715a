//! `backward`: the gradients of a loss with respect to every parameter and variable it depends on.

use super::vjp;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{NodeId, StructureHasher};
use crate::param::{Param, ParamId};
use crate::program::Step;
use crate::tensor::Tensor;
use crate::var::Var;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The value of a loss and its gradients, computed by one program.
///
/// It owns its tensors and outlives the tape.
#[derive(Clone, Debug)]
pub struct Gradients {
    loss: Tensor,
    params: HashMap<ParamId, Tensor>,
    variables: HashMap<NodeId, Tensor>,
    /// The tape of the variables.
    tape: u64,
}

impl Gradients {
    /// A loss without gradients yet, for such as were computed elsewhere: [`insert`](Gradients::insert) takes them.
    pub fn new(loss: Tensor) -> Gradients {
        // Without variables the number of the tape says nothing.
        Gradients { loss, params: HashMap::new(), variables: HashMap::new(), tape: 0 }
    }

    /// The gradient of a parameter; `None` if the loss does not depend on it.
    pub fn get(&self, param: &Param) -> Option<&Tensor> {
        self.params.get(&param.id())
    }

    /// The gradient of a variable made by [`Tape::var`](crate::Tape::var); `None` if the loss does not depend on it.
    pub fn wrt(&self, var: Var<'_>) -> Option<&Tensor> {
        self.variables.get(&var.id).filter(|_| var.tape.serial == self.tape)
    }

    /// The value of the loss.
    pub fn loss(&self) -> &Tensor {
        &self.loss
    }

    /// Replaces the gradient of a parameter: clipping, accumulation.
    pub fn insert(&mut self, param: &Param, gradient: Tensor) {
        self.params.insert(param.id(), gradient);
    }

    /// The gradients of parameters, to be changed, in no particular order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParamId, &mut Tensor)> {
        self.params.iter_mut().map(|(id, gradient)| (*id, gradient))
    }

    /// The number of parameters that have a gradient.
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// Whether no parameter has a gradient.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }
}

impl<'t> Var<'t> {
    /// Computes this scalar and its gradients with respect to every parameter used on the tape and
    /// every variable made by [`Tape::var`](crate::Tape::var), in one program. Those that no gradient flows to have none:
    /// [`Gradients::get`] says `None`, and [`grad`](Var::grad) says why.
    ///
    /// # Errors
    /// If the value is not a float scalar or depends on none of them, the tape is for inference or holds an error, or the program fails (an index out of range).
    #[track_caller]
    pub fn backward(self) -> Result<Gradients> {
        let _named = self.tape().composition("backward");
        let tape = self.tape();
        let Pass { params, variables, step, found } = self.pass()?;
        let (present, values) = match step {
            Some(step) => {
                let values = step.run(tape, self.id)?;
                tape.hold(self.id, &values[0]);
                (step.present.clone(), values)
            }
            None => {
                let asked: Vec<Var<'t>> = std::iter::once(self).chain(found.iter().flatten().copied()).collect();
                (found.iter().map(Option::is_some).collect(), tape.eval_all(&asked)?)
            }
        };
        let mut values = values.into_iter();
        let loss = values.next().expect("the loss is the first value asked");
        let mut next = |present: &bool| if *present { values.next() } else { None };
        let (of_params, of_variables) = present.split_at(params.len());
        let params = params.iter().zip(of_params).filter_map(|((id, _), g)| Some((*id, next(g)?))).collect();
        let variables = variables.iter().zip(of_variables).filter_map(|(id, g)| Some((*id, next(g)?))).collect();
        Ok(Gradients { loss, params, variables, tape: tape.serial })
    }

    /// Plans what [`backward`](Var::backward) of this scalar runs, and runs nothing: a first step then takes as long as those
    /// after it, and the time of planning can be told from that of computing. What is planned is kept
    /// for every recording of the same structure.
    ///
    /// A tape with derivatives of the user's own, with held values, or one that is watched is planned by `backward` itself.
    ///
    /// ```
    /// use wengert_autograd::Tape;
    /// let cubed = |x: f64| {
    ///     let tape = Tape::new();
    ///     let x = tape.var(x);
    ///     (x * x * x).backward()?.loss().item()
    /// };
    /// let tape = Tape::new();
    /// let x = tape.var(1.0f64);
    /// (x * x * x).plan_backward()?;
    /// // Planned above, on another tape and for another number.
    /// assert_eq!(cubed(2.0)?, 8.0);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `backward` that do not come from running.
    #[track_caller]
    pub fn plan_backward(self) -> Result<()> {
        let _named = self.tape().composition("plan_backward");
        self.pass().map(drop)
    }

    /// What `backward` runs, found or planned.
    #[track_caller]
    fn pass(self) -> Result<Pass<'t>> {
        let tape = self.tape();
        tape.computable("backward", self)?;
        let mark = tape.mark();
        let seed = match self.check_scalar() {
            Ok(seed) => seed,
            Err(broken) => {
                tape.owned(broken)?;
                unreachable!("an invalid value carries an error");
            }
        };
        let params = tape.used_params();
        let variables = tape.inner.borrow().variables.clone();
        let leaves = params.iter().map(|(_, node)| *node).chain(variables.iter().copied());
        let wrt: Vec<Var<'t>> = leaves.map(|id| Var { tape, id }).collect();
        let key = tape.is_plain().then(|| step_key(self, &wrt));
        let mut step = key.and_then(Step::known);
        let mut found = Vec::new();
        if step.is_none() {
            found = vjp(&[(self, seed)], &wrt);
            if found.iter().all(Option::is_none) {
                let called = "any parameter or variable of the tape";
                let (found, remedy) = self.why_unreached("the value", called, &wrt, "use a Param or a tape.var");
                return Err(Error::new(ErrorKind::Gradient, "backward", found, remedy));
            }
            // A number that a rule has bound is not part of the structure.
            if let Some(key) = key.filter(|_| !tape.has_leaves_since(&mark)) {
                let found: Vec<_> = found.iter().map(|gradient| gradient.map(|v| v.id)).collect();
                step = Some(Step::remember(key, tape, self.id, &found)?);
            }
        }
        if step.is_some() {
            // What was recorded since follows from the loss, and nobody has seen it.
            tape.forget(&mark);
        }
        Ok(Pass { params, variables, step, found })
    }
}

/// The leaves of a backward pass, and what computes their gradients: a step, or recorded gradients.
struct Pass<'t> {
    params: Vec<(ParamId, NodeId)>,
    variables: Vec<NodeId>,
    step: Option<Arc<Step>>,
    found: Vec<Option<Var<'t>>>,
}

/// The structure of a loss and of the leaves that its gradients are asked for.
fn step_key(loss: Var<'_>, wrt: &[Var<'_>]) -> u128 {
    let mut hasher = StructureHasher::new();
    hasher.write_hash(loss.node(|n| n.hash));
    wrt.iter().for_each(|v| hasher.write_hash(v.node(|n| n.hash)));
    // Checkpoints change no value, but what the backward pass computes again.
    for region in &loss.tape().inner.borrow().regions {
        region.nodes.hash(&mut hasher);
    }
    hasher.finish128()
}
