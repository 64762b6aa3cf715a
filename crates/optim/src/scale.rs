//! Small members of chains.

use crate::optimizer::decayed;
use crate::schedule::Schedule;
use crate::settings;
use crate::transform::{At, Transform};
use wengert_autograd::{Result, Var};

/// Adds `rate·p`: ahead of what scales gradients an L2 penalty, behind it decoupled weight decay.
///
/// [`Optimizer::l2`](crate::Optimizer::l2) and [`Optimizer::decoupled_decay`](crate::Optimizer::decoupled_decay) put it first and last; as a
/// member of a chain it stands where it is wanted, such as behind [`ClipNorm`](crate::ClipNorm).
#[derive(Clone, Copy, Debug)]
pub struct AddDecay(pub f64);

impl Transform for AddDecay {
    type State<'t> = ();

    fn settings(&self) -> Vec<(String, String)> {
        vec![("rate".into(), self.0.to_string())]
    }

    #[track_caller]
    fn check(&self) -> Result<()> {
        settings::from_zero("AddDecay", &[("rate", self.0)])
    }

    fn init<'t>(&self, _: &At<'t>) {}

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, _: ()) -> (Var<'t>, ()) {
        (decayed(g, at, self.0), ())
    }
}

/// Multiplies by a [`Schedule`] of the parameter's step, from 0.
#[derive(Clone, Debug)]
pub struct ScaleBy<S>(pub S);

impl<S: Schedule> Transform for ScaleBy<S> {
    type State<'t> = ();

    fn init<'t>(&self, _: &At<'t>) {}

    fn update<'t>(&self, at: &At<'t>, g: Var<'t>, _: ()) -> (Var<'t>, ()) {
        (g * self.0.at((at.step - 1) as usize), ())
    }
}
