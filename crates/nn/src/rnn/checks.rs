//! States as trees, and mistakes in what a network is given.

use wengert_autograd::{DType, ParamTree, Path, Tree, Var};

/// The same state.
pub(super) fn copied<'t, S: Tree<'t>>(state: &S) -> S {
    state.map_vars(&mut Path::unnamed(), &mut |_, v| v)
}

/// A state of `f` of each value and the one in its place in another state. A state of another structure is reported by the loop.
pub(super) fn each_with<'t, S: Tree<'t>>(state: &S, other: &[Var<'t>], f: impl Fn(Var<'t>, Var<'t>) -> Var<'t>) -> S {
    let mut other = other.iter();
    state.map_vars(&mut Path::unnamed(), &mut |_, v| other.next().map_or(v, |other| f(v, *other)))
}

/// A layer's output and state. An error that arose in them says which layer it was and where the network was called;
/// one that came in with the layer's input has said so already.
#[track_caller]
pub(super) fn placed<'t, S: Tree<'t>>(layer: usize, input: Var<'t>, y: Var<'t>, state: S) -> (Var<'t>, S) {
    if y.dtype().is_ok() {
        return (y, state);
    }
    let arose = input.dtype().is_ok();
    let broken = if arose { y.within(format_args!("layer {layer} of the network")) } else { y };
    (broken, spoil(&state, broken))
}

/// An invalid value if a step changed the shape or element type of a component of its state: then `x` was not one step's input.
#[track_caller]
pub(super) fn grown<'t, S: Tree<'t>>(layer: usize, x: Var<'t>, before: &[Var<'t>], after: &S) -> Option<Var<'t>> {
    let kind = |v: Var<'t>| Some((v.dtype().ok()?, v.shape().ok()?));
    let mut pairs = before.iter().enumerate();
    let mut changed = None;
    after.map_vars(&mut Path::unnamed(), &mut |_, new| {
        let pair = pairs.next().filter(|(_, old)| changed.is_none() && !old.is_like(new));
        changed = changed.or_else(|| pair.map(|(at, old)| (at, *old, new)));
        new
    });
    let (at, old, new) = changed?;
    let ((old_type, old), (new_type, new), (dtype, shape)) = (kind(old)?, kind(new)?, kind(x)?);
    let name = match after.named_leaves().get(at) {
        Some((name, _)) if !name.is_empty() => format!(" '{name}'"),
        _ => String::new(),
    };
    let found = format!(
        "the input {dtype} {shape} turns the state{name} of layer {layer} from {old_type} {old} to {new_type} {new}"
    );
    Some(x.invalid("rnn", found, "give one step [B, I] and a state of B rows; forward takes a sequence"))
}

/// A state whose every value is the invalid value `broken`.
pub(super) fn spoil<'t, S: Tree<'t>>(state: &S, broken: Var<'t>) -> S {
    state.map_vars(&mut Path::unnamed(), &mut |_, _| broken)
}

/// As many spoilt states as there are.
pub(super) fn spoiled<'t, S: Tree<'t>>(states: &[S], broken: Var<'t>) -> Vec<S> {
    states.iter().map(|state| spoil(state, broken)).collect()
}

/// The element type of the first float parameter.
pub(crate) fn float_type(module: &impl ParamTree) -> Option<DType> {
    let mut found = None;
    module.visit_params(&mut Path::root(), &mut |_, param| {
        found = found.or_else(|| Some(param.value().dtype()).filter(|dtype| dtype.is_float()));
    });
    found
}
