//! The driver of a transform: one step on all parameters of a module.

use crate::fitting;
use crate::group::{self, Group, Groups};
use crate::settings;
use crate::transform::{At, Transform};
use std::collections::HashMap;
use wengert_autograd::{
    DType, Error, ErrorKind, Gradients, Param, ParamId, ParamTree, Place, Result, Tape, Tensor, Tree, Var,
};

/// A [`Transform`] with a learning rate, weight decay, groups of parameters, and the state of each parameter:
///
/// ```text
/// g ← g + l2·p                                     (L2 penalty: in the gradient, so the transform scales it too)
/// u, s ← transform(g, s)
/// p ← p − lr·(u + decay·p)                         (decoupled decay: past the transform)
/// ```
///
/// The two decays are one for plain gradient descent and differ for all that scale a gradient (Loshchilov & Hutter 2019,
/// "Decoupled weight decay regularization"): Adam with [`decoupled_decay`](Optimizer::decoupled_decay) is AdamW.
///
/// ```
/// use wengert_autograd::{Param, Tape, Tensor};
/// use wengert_optim::{Adam, AdamRule, ClipNorm, Group, Optimizer};
///
/// let net = (Param::new(Tensor::from_slice(&[1.0f64, -2.0], [2])?), Param::new(Tensor::scalar(0.5f64)));
/// // AdamW without decay for the parameter named "1".
/// let mut adamw = Adam::new(0.1).decoupled_decay(1e-2).group("1", Group { decay: 0.0, ..Default::default() });
/// // A chain of transforms.
/// let mut chain = Optimizer::chain(0.1, (ClipNorm(1.0), AdamRule::default()));
/// for _ in 0..100 {
///     let tape = Tape::new();
///     let loss = tape.param(&net.0).square().sum() + tape.param(&net.1).square();
///     let gradients = loss.backward()?;
///     drop(tape);
///     adamw.step(&net, &gradients)?;
///     chain.step(&net, &gradients)?;
///     chain.lr *= 0.98;
/// }
/// assert!(net.0.value().to_vec::<f64>()?.iter().all(|v| v.abs() < 0.1));
/// # Ok::<(), wengert_autograd::Error>(())
/// ```
///
/// All of a step runs as one program. The rate and the number of the step are bound when it runs: the next step plans
/// nothing. The state belongs to the optimizer, by parameter; a clone has its own.
#[derive(Clone, Debug)]
pub struct Optimizer<R> {
    /// The learning rate; may be changed between steps.
    pub lr: f64,
    /// The transform, whose numbers may be changed between steps: `sgd.rule.momentum = 0.95`. What adds to the state, such as a
    /// first momentum, belongs before the first step.
    pub rule: R,
    /// Transforms of groups of their own, under their patterns, in the order in which they were given.
    own: Vec<(String, R)>,
    l2: f64,
    decay: f64,
    groups: Groups,
    non_finite: NonFinite,
    pub(crate) skipped: u64,
    pub(crate) slots: HashMap<ParamId, Slot>,
}

/// What is kept for a parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub steps: u64,
    /// The leaves of the transform's state.
    pub state: Vec<Tensor>,
}

/// What happens to gradients with infinities or NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
enum NonFinite {
    Allow,
    Refuse,
    Skip,
}

impl<R: Transform> Optimizer<R> {
    /// An optimizer that subtracts `lr` times what a transform gives; a tuple is a chain of transforms.
    pub fn chain(lr: f64, transform: R) -> Optimizer<R> {
        Optimizer {
            lr,
            rule: transform,
            own: Vec::new(),
            l2: 0.0,
            decay: 0.0,
            groups: Groups::default(),
            non_finite: NonFinite::Allow,
            skipped: 0,
            slots: HashMap::new(),
        }
    }

    /// With an L2 penalty: `l2·p` is added to the gradient. It is what PyTorch calls `weight_decay`, except in AdamW.
    #[doc(alias = "weight_decay")]
    pub fn l2(self, l2: f64) -> Self {
        Optimizer { l2, ..self }
    }

    /// With decoupled weight decay: `lr·decay·p` is subtracted from the parameter, whatever the transform does.
    #[doc(alias = "weight_decay")]
    #[doc(alias = "AdamW")]
    pub fn decoupled_decay(self, decay: f64) -> Self {
        Optimizer { decay, ..self }
    }

    /// With other settings for the parameters whose name is of `pattern`, in which `*` stands for any characters:
    /// `"*.b"`, `"layers.0.*"`. The last pattern that matches a name counts.
    pub fn group(mut self, pattern: &str, group: Group) -> Self {
        self.groups.push(pattern, group);
        self
    }

    /// With a transform of their own for the parameters whose name is of `pattern`: other betas, another eps or momentum, as PyTorch's
    /// groups of parameters have them. It is independent of [`group`](Optimizer::group); here as well the last pattern that matches
    /// counts.
    ///
    /// ```
    /// use wengert_optim::{Adam, AdamRule, Group};
    /// let slow = AdamRule { betas: (0.9, 0.9999), eps: 1e-6, ..Default::default() };
    /// let adam = Adam::new(1e-3)
    ///     .group("*.embedding", Group { lr: 0.1, ..Default::default() })
    ///     .group_rule("*.embedding", slow);
    /// ```
    ///
    /// The parameters of one pattern are transformed together: the norm of a [`ClipNorm`](crate::ClipNorm) in a chain is that of
    /// their gradients alone.
    pub fn group_rule(mut self, pattern: &str, transform: R) -> Self {
        self.own.push((pattern.to_string(), transform));
        self
    }

    /// Leaves the parameters whose name is of `pattern` as they are. `freeze("*")` and then a
    /// [`group`](Optimizer::group) updates nothing but that group, so that two optimizers can share a module.
    pub fn freeze(self, pattern: &str) -> Self {
        self.group(pattern, Group { frozen: true, ..Default::default() })
    }

    /// Leaves out a step whose gradients hold an infinity or NaN: neither parameters nor state change.
    /// [`skipped`](Optimizer::skipped) counts them. Without this and [`refuse_non_finite`](Optimizer::refuse_non_finite) they are
    /// used as they are.
    pub fn skip_non_finite(self) -> Self {
        Optimizer { non_finite: NonFinite::Skip, ..self }
    }

    /// Makes a step whose gradients hold an infinity or NaN an error that names the parameter.
    pub fn refuse_non_finite(self) -> Self {
        Optimizer { non_finite: NonFinite::Refuse, ..self }
    }

    /// What was set, by name: the two decays, groups, what happens to gradients that are not finite, and the settings of the transform (in a
    /// chain behind their place). The learning rate changes, and is not among them.
    ///
    /// ```
    /// use wengert_optim::{AdamRule, ClipNorm, Optimizer};
    /// let settings = Optimizer::chain(0.1, (ClipNorm(1.0), AdamRule::default())).settings();
    /// assert!(settings.contains(&("0.greatest norm".into(), "1".into())));
    /// assert!(settings.contains(&("1.betas".into(), "(0.9, 0.999)".into())));
    /// ```
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut all = self.rule.settings();
        all.push(("rule".into(), self.rule.name().into()));
        all.extend([("l2", self.l2), ("decay", self.decay)].map(|(name, value)| (name.into(), value.to_string())));
        all.push(("groups".into(), self.groups.to_string()));
        for (pattern, own) in &self.own {
            all.extend(own.settings().into_iter().map(|(name, value)| (format!("'{pattern}' {name}"), value)));
        }
        all.push(("non-finite".into(), format!("{:?}", self.non_finite)));
        all
    }

    /// How many steps were left out since the optimizer was made; part of the [state](Optimizer::state).
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Updates every parameter of `module` that has a gradient and is not frozen. Drop the tape before: it holds the values
    /// that are replaced here.
    ///
    /// # Errors
    /// If no parameter has a gradient, a setting is not in its range, a pattern matches nothing, or a gradient (or an earlier
    /// state) does not fit its parameter; nothing is updated then.
    #[track_caller]
    pub fn step(&mut self, module: &impl ParamTree, gradients: &Gradients) -> Result<()> {
        let op = self.rule.name();
        self.check(&module.params())?;
        let mut all = fitting(op, module, gradients)?;
        if all.is_empty() && module.num_params() > 0 {
            let found = "no parameter of the module has a gradient";
            let remedy = "give the module and the gradients of one backward pass";
            return Err(Error::new(ErrorKind::Value, op, found, remedy));
        }
        all.retain(|(name, ..)| !self.groups.of(name).frozen);
        let tape = Tape::inference();
        let (mut at, mut states, mut cotangents) = (Vec::new(), Vec::new(), Vec::new());
        let rules: Vec<usize> = all.iter().map(|(name, ..)| self.rule_index(name)).collect();
        for ((name, param, gradient), rule) in all.iter().zip(&rules) {
            let p = tape.constant(param.value());
            let slot = self.slots.get(&param.id());
            let place = self.at(name, p, None, slot.map_or(0, |slot| slot.steps) + 1);
            let start = self.rule_at(*rule).init(&place);
            states.push(match slot {
                Some(slot) => resumed(op, name, &tape, start, &slot.state)?,
                None => start,
            });
            at.push(place);
            cotangents.push(tape.constant(gradient));
        }
        if self.non_finite != NonFinite::Allow {
            // 0 for a finite gradient, else NaN.
            let checks: Vec<_> = cotangents.iter().map(|g| (*g * 0.0).sum().cast(DType::F64)).collect();
            let checks = tape.eval_all(&checks)?;
            let broken = checks.iter().position(|check| check.item().is_ok_and(|check| check != 0.0));
            match broken {
                None => {}
                Some(_) if self.non_finite == NonFinite::Skip => {
                    self.skipped += 1;
                    return Ok(());
                }
                Some(at) => {
                    let found = format!("the gradient of '{}' is not finite", all[at].0);
                    let remedy =
                        "look for its origin with Tape::detect_anomaly, or leave such steps out: .skip_non_finite()";
                    return Err(Error::new(ErrorKind::NonFinite, op, found, remedy));
                }
            }
        }
        let mut asked = Vec::new();
        let (params, states) = self.advance(&at, &rules, cotangents, states);
        let lengths: Vec<usize> = states.iter().map(|state| state.leaves().len()).collect();
        for ((p, state), (name, ..)) in params.iter().zip(&states).zip(&all) {
            asked.push(p.within(format_args!("the update of '{name}'")));
            asked.extend(state.leaves());
        }
        let last = tape.last(&asked)?;
        drop((asked, params, states, at));
        let mut slots: Vec<Slot> =
            all.iter().map(|(_, param, _)| self.slots.remove(&param.id()).unwrap_or_default()).collect();
        // The place of a state that is not there yet.
        let place = || Tensor::zeros([0], DType::F64);
        let mut fresh: Vec<Vec<Tensor>> =
            slots.iter().zip(&lengths).map(|(slot, n)| (slot.state.len()..*n).map(|_| place()).collect()).collect();
        let mut places = Vec::with_capacity(lengths.iter().sum::<usize>() + all.len());
        for (((_, param, _), slot), fresh) in all.iter().zip(&mut slots).zip(&mut fresh) {
            places.push(Place::Param(param));
            places.extend(slot.state.iter_mut().chain(fresh).map(Place::Tensor));
        }
        let done = tape.replace(&last, &mut places);
        for (((_, param, _), mut slot), fresh) in all.iter().zip(slots).zip(fresh) {
            if done.is_ok() {
                slot.steps += 1;
                slot.state.extend(fresh);
            }
            if slot.steps > 0 {
                self.slots.insert(param.id(), slot);
            }
        }
        done
    }

    /// Checks all settings.
    #[track_caller]
    pub(crate) fn check(&self, params: &[(String, Param)]) -> Result<()> {
        let op = self.rule.name();
        let settings = [("learning rate", self.lr), ("L2 penalty", self.l2), ("decoupled decay", self.decay)];
        settings::from_zero(op, &settings)?;
        self.rule.check()?;
        for (pattern, rule) in &self.own {
            rule.check()?;
            group::known(op, pattern, params)?;
        }
        self.groups.check(op, params)
    }

    /// Which transform a parameter has: 0 for that of all, `i + 1` for the one of group `i`.
    pub(crate) fn rule_index(&self, name: &str) -> usize {
        self.own.iter().rposition(|(pattern, _)| group::matches(pattern, name)).map_or(0, |i| i + 1)
    }

    pub(crate) fn rule_at(&self, index: usize) -> &R {
        index.checked_sub(1).and_then(|i| self.own.get(i)).map_or(&self.rule, |(_, rule)| rule)
    }

    pub(crate) fn is_frozen(&self, name: &str) -> bool {
        self.groups.of(name).frozen
    }

    /// What the transform is told of a parameter; without `lr` it is a number, bound when the program runs.
    #[track_caller]
    pub(crate) fn at<'t>(&self, name: &str, param: Var<'t>, lr: Option<Var<'t>>, step: u64) -> At<'t> {
        let group = self.groups.of(name);
        let dtype = param.dtype().unwrap_or(DType::F32);
        let lr = match lr {
            Some(lr) if lr.dtype().ok() == Some(dtype) => lr * group.lr,
            Some(lr) => lr.cast(dtype) * group.lr,
            None => param.tape().full([], self.lr * group.lr, dtype),
        };
        At { param, lr, step, decay: group.decay }
    }

    /// Records one step: parameters and states after it. `rules` says which transform each parameter has.
    #[track_caller]
    pub(crate) fn advance<'t>(
        &self,
        at: &[At<'t>],
        rules: &[usize],
        mut gradients: Vec<Var<'t>>,
        states: Vec<R::State<'t>>,
    ) -> (Vec<Var<'t>>, Vec<R::State<'t>>) {
        for (g, at) in gradients.iter_mut().zip(at) {
            *g = decayed(*g, at, self.l2);
        }
        let (updates, states) = match self.own.is_empty() {
            true => self.rule.update_all(at, gradients, states),
            false => self.updates_by_rule(at, rules, gradients, states),
        };
        // One product with the rate for both: a product of rate and decay would be a value of its own, and a second pass.
        let moved = at.iter().zip(updates).map(|(at, u)| at.param - decayed(u, at, self.decay) * at.lr);
        (moved.collect(), states)
    }

    /// The updates of all parameters, those of each transform together.
    #[track_caller]
    fn updates_by_rule<'t>(
        &self,
        at: &[At<'t>],
        rules: &[usize],
        gradients: Vec<Var<'t>>,
        states: Vec<R::State<'t>>,
    ) -> (Vec<Var<'t>>, Vec<R::State<'t>>) {
        let mut given: Vec<_> = gradients.into_iter().zip(states).map(Some).collect();
        let mut done: Vec<_> = given.iter().map(|_| None).collect();
        for rule in 0..=self.own.len() {
            let places: Vec<usize> = (0..rules.len()).filter(|i| rules[*i] == rule).collect();
            let own: Vec<At<'t>> = places.iter().map(|i| at[*i]).collect();
            let (gradients, states): (Vec<_>, Vec<_>) = places.iter().filter_map(|i| given[*i].take()).unzip();
            let (updates, states) = self.rule_at(rule).update_all(&own, gradients, states);
            for (i, result) in places.into_iter().zip(updates.into_iter().zip(states)) {
                done[i] = Some(result);
            }
        }
        // Every parameter has one transform.
        done.into_iter().flatten().unzip()
    }
}

/// `g + rate·p`, with the factor of the parameter's group.
#[track_caller]
pub(crate) fn decayed<'t>(g: Var<'t>, at: &At<'t>, rate: f64) -> Var<'t> {
    let rate = rate * at.decay;
    if rate == 0.0 { g } else { g + at.param * rate }
}

/// The state of an earlier step, in the form that the present settings give it.
#[track_caller]
fn resumed<'t, S: Tree<'t>>(op: &str, name: &str, tape: &'t Tape, start: S, kept: &[Tensor]) -> Result<S> {
    let leaves = start.named_leaves();
    if leaves.len() != kept.len() {
        let found = format!("the state of '{name}' has {} values, expected {}", kept.len(), leaves.len());
        return Err(Error::new(
            ErrorKind::Value,
            op,
            found,
            "settings that change the state belong before the first step",
        ));
    }
    for ((path, leaf), kept) in leaves.iter().zip(kept) {
        let (shape, dtype) = (leaf.shape()?, leaf.dtype()?);
        if *kept.shape() != shape || kept.dtype() != dtype {
            let found = format!(
                "the state '{path}' of '{name}' is {} {}, expected {dtype} {shape}",
                kept.dtype(),
                kept.shape()
            );
            let remedy = "make a new optimizer after the parameters have changed";
            return Err(Error::new(ErrorKind::Shape, op, found, remedy));
        }
    }
    let kept: Vec<Var<'t>> = kept.iter().map(|tensor| tape.constant(tensor)).collect();
    Ok(start.with_leaves(&kept))
}
