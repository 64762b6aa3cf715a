//! Matrices of derivatives: scans over basis vectors, with the derivative in the body.

use crate::operand::Operand;
use crate::record::Fault;
use crate::scan::ScanOptions;
use crate::shape::Shape;
use crate::var::Var;

impl<'t> Var<'t> {
    /// The Jacobian `∂self/∂x`, shape `[self.., x..]`, by rows: one reverse pass for each element of this value.
    ///
    /// If no derivative flows it is an error; [`jacobian_or_none`](Var::jacobian_or_none) gives `None` instead.
    ///
    /// ```
    /// use wengert_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let x = tape.var(Tensor::from_slice(&[1.0f64, 2.0], [2])?);
    /// let y = x.square();
    /// assert_eq!(y.jacobian(x).value()?.to_vec::<f64>()?, [2.0, 0.0, 0.0, 4.0]);
    /// assert_eq!(y.jacobian_forward(x).value()?.to_vec::<f64>()?, [2.0, 0.0, 0.0, 4.0]);
    /// assert_eq!(y.sum().hessian(x).value()?.to_vec::<f64>()?, [2.0, 0.0, 0.0, 2.0]);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn jacobian(self, x: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("jacobian");
        let x = x.resolve(self.tape(), None);
        let found = self.jacobian_or_none(x);
        found.unwrap_or_else(|| self.unreached("jacobian", "the value", &[x], &[0]))
    }

    /// As [`jacobian`](Var::jacobian), with `None` if no derivative flows.
    #[track_caller]
    pub fn jacobian_or_none(self, x: impl Operand<'t>) -> Option<Var<'t>> {
        let _named = self.tape().composition("jacobian_or_none");
        let x = x.resolve(self.tape(), None);
        let (own, wrt) = match self.both_shapes(x) {
            Ok(shapes) => shapes,
            Err(broken) => return Some(broken),
        };
        let step = |(), u: Var<'t>| {
            let [row] = self.vjp_or_none(u.reshape(own.clone()), [x]);
            ((), row)
        };
        let ((), rows) = self.tape().scan_own(ScanOptions::default(), (), self.basis(&own), step);
        Some(rows?.reshape(own.iter().chain(wrt.iter()).copied().collect::<Shape>()))
    }

    /// The Jacobian `∂self/∂x`, shape `[self.., x..]`, by columns: one forward pass for each element of `x`.
    ///
    /// If no derivative flows it is an error; [`jacobian_forward_or_none`](Var::jacobian_forward_or_none) gives `None` instead.
    #[track_caller]
    pub fn jacobian_forward(self, x: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("jacobian_forward");
        let x = x.resolve(self.tape(), None);
        let found = self.jacobian_forward_or_none(x);
        found.unwrap_or_else(|| self.unreached("jacobian_forward", "the value", &[x], &[0]))
    }

    /// As [`jacobian_forward`](Var::jacobian_forward), with `None` if no derivative flows.
    #[track_caller]
    pub fn jacobian_forward_or_none(self, x: impl Operand<'t>) -> Option<Var<'t>> {
        let _named = self.tape().composition("jacobian_forward_or_none");
        let x = x.resolve(self.tape(), None);
        let (own, wrt) = match self.both_shapes(x) {
            Ok(shapes) => shapes,
            Err(broken) => return Some(broken),
        };
        let step = |(), v: Var<'t>| ((), self.jvp_or_none([(x, v.reshape(wrt.clone()))]));
        let ((), columns) = self.tape().scan_own(ScanOptions::default(), (), x.basis(&wrt), step);
        let columns = columns?;
        // [x, self..] to [self.., x].
        let order: Vec<usize> = (1..=own.rank()).chain([0]).collect();
        Some(columns.permute(&order).reshape(own.iter().chain(wrt.iter()).copied().collect::<Shape>()))
    }

    /// The Hessian `∂²self/∂x²` of a scalar, shape `[x.., x..]`: forward over reverse.
    ///
    /// If no second derivative flows, as for a value that is linear in `x`, it is an error;
    /// [`hessian_or_none`](Var::hessian_or_none) gives `None` instead.
    #[track_caller]
    pub fn hessian(self, x: impl Operand<'t>) -> Var<'t> {
        let _named = self.tape().composition("hessian");
        let x = x.resolve(self.tape(), None);
        self.second("hessian", x, |gradient| gradient.jacobian_forward_or_none(x))
    }

    /// As [`hessian`](Var::hessian), with `None` if no second derivative flows.
    #[track_caller]
    pub fn hessian_or_none(self, x: impl Operand<'t>) -> Option<Var<'t>> {
        let _named = self.tape().composition("hessian_or_none");
        let x = x.resolve(self.tape(), None);
        let [gradient] = self.grad_or_none([x]);
        gradient?.jacobian_forward_or_none(x)
    }

    /// The product of a scalar's Hessian with `v`, forward over reverse: a few gradients' work, and no Hessian is built.
    ///
    /// If no second derivative flows it is an error; [`hvp_or_none`](Var::hvp_or_none) gives `None` instead.
    #[track_caller]
    pub fn hvp(self, x: impl Operand<'t>, v: Var<'t>) -> Var<'t> {
        let _named = self.tape().composition("hvp");
        let x = x.resolve(self.tape(), None);
        self.second("hvp", x, |gradient| gradient.jvp_or_none([(x, v)]))
    }

    /// As [`hvp`](Var::hvp), with `None` if no second derivative flows.
    #[track_caller]
    pub fn hvp_or_none(self, x: impl Operand<'t>, v: Var<'t>) -> Option<Var<'t>> {
        let _named = self.tape().composition("hvp_or_none");
        let x = x.resolve(self.tape(), None);
        let [gradient] = self.grad_or_none([x]);
        gradient?.jvp_or_none([(x, v)])
    }

    /// `of` the gradient with respect to `x`, or an error that says which of both derivatives does not flow.
    #[track_caller]
    fn second(self, op: &str, x: Var<'t>, of: impl FnOnce(Var<'t>) -> Option<Var<'t>>) -> Var<'t> {
        let [gradient] = self.grad_or_none([x]);
        match gradient {
            None => self.unreached(op, "the value", &[x], &[0]),
            Some(gradient) => match of(gradient) {
                Some(found) => found,
                None => gradient.unreached(op, "the gradient", &[x], &[0]),
            },
        }
    }

    #[track_caller]
    fn both_shapes(self, x: Var<'t>) -> Result<(Shape, Shape), Var<'t>> {
        if let Some(broken) = self.tape().unusable("jacobian", &[self, x]) {
            return Err(broken);
        }
        let own = self.shape().map_err(|_| self)?;
        let wrt = x.shape().map_err(|_| x)?;
        let kinds = (self.dtype().map_err(|_| self)?, x.dtype().map_err(|_| x)?);
        if !kinds.0.is_float() || kinds.0 != kinds.1 {
            let found = format!("the value is {}, the input {}", kinds.0, kinds.1);
            return Err(self.tape().fail(
                "jacobian",
                Fault::dtype(found, "derivatives are between values of one float type; cast one side"),
            ));
        }
        Ok((own, wrt))
    }

    /// The unit vectors of a space of a shape, flat: `[n, n]`, of this value's element type.
    #[track_caller]
    fn basis(self, shape: &Shape) -> Var<'t> {
        let places = self.tape().arange(shape.numel());
        places.unsqueeze(1).eq(places).cast(self.node(|node| node.dtype))
    }
}
