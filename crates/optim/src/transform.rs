//! Gradient transforms: what an optimizer does to a gradient, in recorded operations.

use wengert_autograd::{Result, Tree, Var};

/// The parameter that an update is for.
#[derive(Clone, Copy, Debug)]
pub struct At<'t> {
    /// Its value before the update.
    pub param: Var<'t>,
    /// The learning rate (no axes, the parameter's element type).
    pub lr: Var<'t>,
    /// The number of the parameter's update, from 1: parameters without a gradient are left out and do not count.
    pub step: u64,
    /// The factor of its [group](crate::Group) for every kind of weight decay.
    pub decay: f64,
}

impl<'t> At<'t> {
    /// A value of the parameter's shape and element type with one number in every element.
    #[track_caller]
    pub fn full(&self, value: f64) -> Var<'t> {
        let zeros = self.param.shape().and_then(|shape| Ok((shape, self.param.dtype()?)));
        match zeros {
            Ok((shape, dtype)) => self.param.tape().full(shape, value, dtype),
            Err(_) => self.param,
        }
    }

    /// Zeros of the parameter's shape and element type, the usual state before the first step.
    #[track_caller]
    pub fn zeros(&self) -> Var<'t> {
        self.full(0.0)
    }
}

/// A map from gradients to updates with a state for each parameter, written like a cell: `(u, s') = update(g, s)`.
///
/// An [`Optimizer`](crate::Optimizer) subtracts `lr·u` from the parameter. Transforms chain: a tuple `(a, b, c)` is the
/// transform that applies `a`, then `b`, then `c`. What they record is run as one program by
/// [`Optimizer::step`](crate::Optimizer::step), and can be differentiated: [`Optimizer::unroll`](crate::Optimizer::unroll).
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor, Var};
/// use wengert_optim::{At, Optimizer, Transform};
///
/// /// m ← β·m + g,  u = sign(m)
/// struct SignOfMomentum { beta: f64 }
///
/// impl Transform for SignOfMomentum {
///     type State<'t> = Var<'t>;
///     fn init<'t>(&self, at: &At<'t>) -> Var<'t> {
///         at.zeros()
///     }
///     fn update<'t>(&self, _at: &At<'t>, g: Var<'t>, m: Var<'t>) -> (Var<'t>, Var<'t>) {
///         let m = m * self.beta + g;
///         (m.sign(), m)
///     }
/// }
///
/// let p = Param::new(Tensor::from_slice(&[1.0f64, -2.0], [2])?);
/// let mut optimizer = Optimizer::chain(0.5, SignOfMomentum { beta: 0.9 });
/// let tape = Tape::new();
/// let gradients = tape.param(&p).square().sum().backward()?;
/// drop(tape);
/// optimizer.step(&p, &gradients)?;
/// assert_eq!(p.value().to_vec::<f64>()?, [0.5, -1.5]);
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
pub trait Transform {
    /// What is kept for a parameter from one step to the next: a tree of values, whose paths name them in
    /// [`Optimizer::state`](crate::Optimizer::state).
    type State<'t>: Tree<'t>;

    /// The name in errors.
    fn name(&self) -> &'static str {
        "Optimizer"
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If one is not in its range.
    #[track_caller]
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The settings by name, for checkpoints, which find one that has changed. None unless given: those of a function, as in
    /// [`ScaleBy`](crate::ScaleBy), have no text.
    fn settings(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The state before the first step.
    fn init<'t>(&self, at: &At<'t>) -> Self::State<'t>;

    /// The update of one parameter, of the gradient's shape, and the state after it.
    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>);

    /// The updates of all parameters, one by one unless a transform sees them together, as clipping by a common norm does.
    fn update_all<'t>(
        &self,
        at: &[At<'t>],
        gradients: Vec<Var<'t>>,
        states: Vec<Self::State<'t>>,
    ) -> (Vec<Var<'t>>, Vec<Self::State<'t>>) {
        at.iter().zip(gradients).zip(states).map(|((at, g), state)| self.update(at, g, state)).unzip()
    }
}

macro_rules! chain {
    ($($name:ident $state:ident $index:tt),*) => {
        impl<$($name: Transform),*> Transform for ($($name,)*) {
            type State<'t> = ($($name::State<'t>,)*);

            #[track_caller]
            fn check(&self) -> Result<()> {
                $(self.$index.check()?;)*
                Ok(())
            }

            fn settings(&self) -> Vec<(String, String)> {
                let mut all = Vec::new();
                $(all.extend(self.$index.settings().into_iter().map(|(name, value)| (format!("{}.{name}", $index), value)));)*
                all
            }

            fn init<'t>(&self, at: &At<'t>) -> Self::State<'t> {
                ($(self.$index.init(at),)*)
            }

            fn update<'t>(&self, at: &At<'t>, g: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
                let ($($state,)*) = state;
                $(let (g, $state) = self.$index.update(at, g, $state);)*
                (g, ($($state,)*))
            }

            fn update_all<'t>(
                &self,
                at: &[At<'t>],
                gradients: Vec<Var<'t>>,
                states: Vec<Self::State<'t>>,
            ) -> (Vec<Var<'t>>, Vec<Self::State<'t>>) {
                $(let mut $state = Vec::with_capacity(states.len());)*
                for state in states {
                    $($state.push(state.$index);)*
                }
                $(
                    let (gradients, $state) = self.$index.update_all(at, gradients, $state);
                    let mut $state = $state.into_iter();
                )*
                // Every member gives as many states as it was given.
                let states = std::iter::from_fn(|| Some(($($state.next()?,)*))).collect();
                (gradients, states)
            }
        }
    };
}
chain!(A a 0);
chain!(A a 0, B b 1);
chain!(A a 0, B b 1, C c 2);
chain!(A a 0, B b 1, C c 2, D d 3);
chain!(A a 0, B b 1, C c 2, D d 3, E e 4);
chain!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);

/// `√x`, with derivative 0 at 0: a second moment that is 0 belongs to a gradient that is 0, and the slope of the root would
/// make NaN of it when an update is differentiated.
#[track_caller]
pub(crate) fn root(x: Var<'_>) -> Var<'_> {
    if !x.tape().is_differentiable() {
        return x.sqrt();
    }
    let zero = x.eq(0.0);
    zero.select(0.0, zero.select(1.0, x).sqrt())
}

/// `rate·average + (1 − rate)·x`.
#[track_caller]
pub(crate) fn average<'t>(average: Var<'t>, rate: f64, x: Var<'t>) -> Var<'t> {
    average * rate + x * (1.0 - rate)
}

/// `rate·average + (1 − rate)·x²`, in two kernel calls where the [`average`] of a square takes three.
#[track_caller]
pub(crate) fn average_square<'t>(average: Var<'t>, rate: f64, x: Var<'t>) -> Var<'t> {
    average * rate + x * (1.0 - rate) * x
}
