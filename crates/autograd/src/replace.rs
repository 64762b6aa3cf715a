//! Values that take the place of others, in their memory.

use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::node::NodeId;
use crate::param::{Param, check};
use crate::program;
use crate::shape::Shape;
use crate::tape::Tape;
use crate::tensor::Tensor;
use crate::var::Var;
use std::sync::RwLockWriteGuard;

/// What a value replaces; see [`Tape::replace`].
#[derive(Debug)]
pub enum Place<'a> {
    /// The value of a parameter.
    Param(&'a Param),
    /// A tensor: the state of an optimizer.
    Tensor(&'a mut Tensor),
}

/// The values that are computed last on a tape; see [`Tape::replace`].
#[derive(Clone, Debug)]
pub struct Last {
    ids: Vec<NodeId>,
    tape: u64,
}

impl Tape {
    /// Notes what [`replace`](Tape::replace) will compute: that ends the tape, and variables must have ended before.
    ///
    /// # Errors
    /// If a value carries an error, is of another tape, or of the inside of a loop.
    #[track_caller]
    pub fn last(&self, values: &[Var<'_>]) -> Result<Last> {
        let _named = self.composition("replace");
        values.iter().try_for_each(|var| self.computable("replace", *var))?;
        Ok(Last { ids: values.iter().map(|var| var.id).collect(), tape: self.serial })
    }

    /// Computes values by one program, sets each place to its value, and ends the tape: an update. A place whose present value
    /// is a constant of this tape, and which nobody else holds, is overwritten where it lies if the program allows it, as that of
    /// an elementwise rule does. Older recordings, snapshots and clones keep what they saw.
    ///
    /// ```
    /// use wengert_autograd::{Param, Place, Tape, Tensor};
    /// let w = Param::new(Tensor::from_slice(&[1.0f32, 2.0], [2])?);
    /// let tape = Tape::inference();
    /// let half = tape.last(&[tape.constant(w.value()) * 0.5])?;
    /// tape.replace(&half, &mut [Place::Param(&w)])?;
    /// assert_eq!(w.value().to_vec::<f32>()?, [0.5, 1.0]);
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// If `last` is of another tape, there is not one place for each value, a parameter is given twice or its value has
    /// another shape or element type, and errors of running. No place is set then.
    #[track_caller]
    pub fn replace(mut self, last: &Last, places: &mut [Place<'_>]) -> Result<()> {
        if last.tape != self.serial {
            return Err(refused("the values are of another tape"));
        }
        if last.ids.len() != places.len() {
            return Err(refused(&format!("{} values for {} places", last.ids.len(), places.len())));
        }
        program::replace(&mut self, &last.ids, places)
    }
}

#[track_caller]
fn refused(found: &str) -> Error {
    Error::new(ErrorKind::Value, "replace", found, "give one place for each value of this tape")
}

/// Places that nobody else sees: the parameters among them are locked.
pub(crate) struct Locked<'a, 'p> {
    places: Vec<Open<'a, 'p>>,
}

enum Open<'a, 'p> {
    Param(RwLockWriteGuard<'a, Tensor>),
    Tensor(&'a mut &'p mut Tensor),
}

impl<'a, 'p> Locked<'a, 'p> {
    /// Locks the parameters, in the order of their identities: two updates never wait for each other. `kinds` are the
    /// shapes and element types of the values to come.
    pub(crate) fn new(places: &'a mut [Place<'p>], kinds: &[(Shape, DType)]) -> Result<Locked<'a, 'p>> {
        let mut order: Vec<(usize, &mut Place<'p>)> = places.iter_mut().enumerate().collect();
        let id = |place: &Place<'_>| match place {
            Place::Param(param) => Some(param.id()),
            Place::Tensor(_) => None,
        };
        order.sort_by_key(|(_, place)| id(place));
        if order.windows(2).any(|two| id(two[0].1).is_some() && id(two[0].1) == id(two[1].1)) {
            return Err(refused("a parameter is given twice"));
        }
        let mut open = Vec::with_capacity(order.len());
        for (at, place) in order {
            let place = match place {
                Place::Param(param) => {
                    let value = param.lock();
                    check(&value, &kinds[at].0, kinds[at].1)?;
                    Open::Param(value)
                }
                Place::Tensor(tensor) => Open::Tensor(tensor),
            };
            open.push((at, place));
        }
        open.sort_by_key(|(at, _)| *at);
        Ok(Locked { places: open.into_iter().map(|(_, place)| place).collect() })
    }

    /// The present values.
    pub(crate) fn tensors(&mut self) -> impl Iterator<Item = &mut Tensor> {
        self.places.iter_mut().map(|place| match place {
            Open::Param(value) => &mut **value,
            Open::Tensor(tensor) => &mut ***tensor,
        })
    }
}
