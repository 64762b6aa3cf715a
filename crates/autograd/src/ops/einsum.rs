//! Sums of products over named axes.

use super::reduce::bool_fault;
use crate::dtype::DType;
use crate::error::ErrorKind;
use crate::operand::Operand;
use crate::record::Fault;
use crate::tape::Tape;
use crate::var::Var;
use smallvec::SmallVec;

/// The name of an axis: a letter, or the place of an ellipsis axis, counted from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// Axes of `...` come first in an implicit result, outermost first.
    Ellipsis(std::cmp::Reverse<usize>),
    Letter(char),
}

type Labels = SmallVec<[Label; 6]>;

/// A value whose axes have names.
#[derive(Clone)]
struct Named<'t> {
    value: Var<'t>,
    labels: Labels,
}

impl Tape {
    /// Products of the operands, summed over the axes that the result does not name (Einstein's convention, as `torch.einsum`).
    ///
    /// Before `->` stands a group of letters for each operand, one letter an axis, behind it the letters of the result. Axes with the
    /// same letter run together; twice in one group it takes the diagonal. `...` stands for any axes, which broadcast. Without `->`,
    /// the result has `...` and then, in alphabetical order, the letters that occur once. An axis of extent 1 broadcasts.
    ///
    /// Products are taken from left to right, each as one matrix product where axes are summed; what one operand alone names is
    /// summed first.
    ///
    /// ```
    /// use wengert_autograd::{Tape, Tensor};
    /// let tape = Tape::new();
    /// let a = tape.var(Tensor::from_slice(&[1.0f64, 2.0, 3.0, 4.0], [2, 2])?);
    /// let b = tape.var(Tensor::from_slice(&[5.0f64, 6.0], [2])?);
    /// assert_eq!(tape.einsum("ij,j->i", [a, b]).value()?.to_f64_vec(), [17.0, 39.0]);
    /// assert_eq!(tape.einsum("ii", [a]).item()?, 5.0, "the trace");
    /// # Ok::<(), wengert_autograd::Error>(())
    /// ```
    #[track_caller]
    pub fn einsum<'t, R: Operand<'t>>(&'t self, formula: &str, operands: impl IntoIterator<Item = R>) -> Var<'t> {
        let _named = self.composition("einsum");
        let operands: Vec<Var<'t>> = operands.into_iter().map(|operand| operand.resolve(self, None)).collect();
        if let Some(invalid) = operands.iter().find(|operand| operand.shape().is_err()) {
            return *invalid;
        }
        match named(formula, &operands) {
            Ok((operands, result)) => contract(operands, &result),
            Err(fault) => self.fail("einsum", fault),
        }
    }
}

fn fault(found: String, remedy: &str) -> Fault {
    Fault { kind: ErrorKind::Value, found, remedy: remedy.into() }
}

/// One group of a formula: letters before and behind an ellipsis, if it has one.
struct Group {
    before: Vec<char>,
    behind: Option<Vec<char>>,
}

impl Group {
    fn parse(text: &str, formula: &str) -> Result<Group, Fault> {
        let letters = |part: &str| {
            let letters: Vec<char> = part.chars().filter(|c| !c.is_whitespace()).collect();
            match letters.iter().find(|c| !c.is_ascii_alphabetic()) {
                None => Ok(letters),
                Some(other) => Err(fault(
                    format!("'{formula}' contains '{other}', expected letters, commas, '...' and one '->'"),
                    "name each axis by one letter: \"bij,bjk->bik\"",
                )),
            }
        };
        match text.split_once("...") {
            None => Ok(Group { before: letters(text)?, behind: None }),
            Some((before, behind)) => Ok(Group { before: letters(before)?, behind: Some(letters(behind)?) }),
        }
    }

    fn len(&self) -> usize {
        self.before.len() + self.behind.as_ref().map_or(0, Vec::len)
    }

    /// The labels, with `wide` axes for the ellipsis.
    fn labels(&self, wide: usize) -> Labels {
        let letter = |c: &char| Label::Letter(*c);
        let mut labels: Labels = self.before.iter().map(letter).collect();
        if let Some(behind) = &self.behind {
            labels.extend((0..wide).rev().map(|place| Label::Ellipsis(std::cmp::Reverse(place))));
            labels.extend(behind.iter().map(letter));
        }
        labels
    }
}

/// The operands under their names, and the names of the result.
fn named<'t>(formula: &str, operands: &[Var<'t>]) -> Result<(Vec<Named<'t>>, Labels), Fault> {
    let (left, right) = match formula.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (formula, None),
    };
    let groups: Vec<Group> = left.split(',').map(|text| Group::parse(text, formula)).collect::<Result<_, _>>()?;
    let result = right.map(|text| Group::parse(text, formula)).transpose()?;
    if groups.len() != operands.len() {
        let found = format!("'{formula}' has groups for {} operands, {} are given", groups.len(), operands.len());
        return Err(fault(found, "write one group of letters for each operand, with commas between them"));
    }
    let mut all = Vec::with_capacity(operands.len());
    let mut extents: Vec<(Label, usize, usize)> = Vec::new();
    let (mut wide, dtype) = (0, operands[0].node(|n| n.dtype));
    if dtype == DType::Bool {
        return Err(bool_fault());
    }
    for (i, (group, value)) in groups.iter().zip(operands).enumerate() {
        let (shape, own) = value.node(|n| (n.shape.clone(), n.dtype));
        if own != dtype {
            let found = format!("operand 0 is {dtype}, operand {i} is {own}");
            return Err(Fault::dtype(found, format!("convert one of them: .cast(DType::{:?})", dtype.max(own))));
        }
        let more = shape.rank().checked_sub(group.len()).filter(|more| *more == 0 || group.behind.is_some());
        let Some(more) = more else {
            let found = format!("operand {i} is {shape}, its group in '{formula}' names {} axes", group.len());
            return Err(Fault::shape(found, "name every axis by one letter, or the others by '...'"));
        };
        wide = wide.max(more);
        let labels = group.labels(more);
        for (axis, label) in labels.iter().enumerate() {
            if let Some(first) = labels[..axis].iter().position(|other| other == label)
                && shape[first] != shape[axis]
            {
                let found = format!("{} is {} and {} in operand {i} {shape}", label.text(), shape[first], shape[axis]);
                return Err(Fault::shape(found, "a diagonal needs axes of one extent: narrow the longer one"));
            }
            match extents.iter_mut().find(|(known, ..)| known == label) {
                None => extents.push((*label, shape[axis], i)),
                Some((_, extent, at)) if *extent == 1 => (*extent, *at) = (shape[axis], i),
                Some((_, extent, at)) if shape[axis] != *extent && shape[axis] != 1 => {
                    let found = format!("{} is {extent} in operand {at}, {} in operand {i}", label.text(), shape[axis]);
                    return Err(Fault::shape(found, "axes with the same letter have one extent, or 1"));
                }
                Some(_) => {}
            }
        }
        all.push(Named { value: *value, labels });
    }
    let result = match result {
        Some(group) => group.labels(wide),
        None => implicit(&all),
    };
    for (at, label) in result.iter().enumerate() {
        if result[..at].contains(label) {
            return Err(fault(format!("the result of '{formula}' names {} twice", label.text()), "name it once"));
        }
        if !extents.iter().any(|(known, ..)| known == label) {
            let found = format!("the result of '{formula}' names {}, which no operand has", label.text());
            return Err(fault(found, "name axes of the operands; unsqueeze adds new ones"));
        }
    }
    let operands = all.into_iter().map(|operand| operand.simplified(&extents)).collect();
    Ok((operands, result))
}

/// What a formula without `->` means: ellipsis axes, then the letters that occur once, in order.
fn implicit(operands: &[Named<'_>]) -> Labels {
    let all: Vec<Label> = operands.iter().flat_map(|operand| operand.labels.iter().copied()).collect();
    let once = |label: &Label| all.iter().filter(|other| *other == label).count() == 1;
    let mut result: Labels =
        all.iter().copied().filter(|label| matches!(label, Label::Ellipsis(_)) || once(label)).collect();
    result.sort_unstable();
    result.dedup();
    result
}

impl Label {
    fn text(self) -> String {
        match self {
            Label::Letter(letter) => format!("'{letter}'"),
            Label::Ellipsis(place) => format!("axis -{} of '...'", place.0 + 1),
        }
    }
}

impl<'t> Named<'t> {
    fn axis(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|own| *own == label)
    }

    /// Every name once, and no axes that only broadcast.
    fn simplified(mut self, extents: &[(Label, usize, usize)]) -> Named<'t> {
        let mut axis = 0;
        while axis < self.labels.len() {
            let label = self.labels[axis];
            let extent = self.value.node(|n| n.shape[axis]);
            if extent == 1 && extents.iter().any(|(known, wide, _)| *known == label && *wide != 1) {
                self.labels.remove(axis);
                self.value = self.value.squeeze(axis as isize);
                continue;
            }
            match self.labels[..axis].iter().position(|own| *own == label) {
                Some(first) => {
                    self = self.diagonal(first, axis);
                    axis = 0;
                }
                None => axis += 1,
            }
        }
        self
    }

    /// Two axes of extent `n` as one, which goes to the end: every `n + 1`-th entry of the two read as one axis.
    fn diagonal(mut self, first: usize, second: usize) -> Named<'t> {
        let shape = self.value.node(|n| n.shape.clone());
        let n = shape[first];
        let mut order: Vec<usize> = (0..shape.rank()).filter(|axis| ![first, second].contains(axis)).collect();
        let mut merged: Vec<usize> = order.iter().map(|axis| shape[*axis]).collect();
        order.extend([first, second]);
        merged.push(n * n);
        let axis = merged.len() - 1;
        self.value = self.value.permute(&order).reshape(merged).every(axis, n + 1);
        self.labels.remove(second);
        let label = self.labels.remove(first);
        self.labels.push(label);
        self
    }

    /// The value summed over the axes that `kept` does not hold.
    fn summed(mut self, kept: impl Fn(Label) -> bool) -> Named<'t> {
        let gone: Vec<isize> = (0..self.labels.len()).filter(|i| !kept(self.labels[*i])).map(|i| i as isize).collect();
        if !gone.is_empty() {
            self.value = self.value.sum_axes(gone.as_slice());
            self.labels.retain(|label| kept(*label));
        }
        self
    }

    /// The axes in the order of `labels`, of which those that the value lacks have extent 1.
    fn arranged(&self, labels: &[Label]) -> Var<'t> {
        let order: Vec<usize> = labels.iter().filter_map(|label| self.axis(*label)).collect();
        let value = self.value.permute(&order);
        let mut axes = value.node(|n| n.shape.clone()).to_vec().into_iter();
        let shape: Vec<usize> =
            labels.iter().map(|label| if self.axis(*label).is_some() { axes.next().unwrap_or(1) } else { 1 }).collect();
        value.reshape(shape)
    }

    /// The number of entries under some labels.
    fn extent(&self, labels: &[Label]) -> usize {
        self.value.node(|n| labels.iter().filter_map(|label| self.axis(*label)).map(|axis| n.shape[axis]).product())
    }
}

/// The product of all operands, from left to right, summed over what the result does not name.
fn contract<'t>(operands: Vec<Named<'t>>, result: &Labels) -> Var<'t> {
    let mut rest: std::collections::VecDeque<Named<'t>> = operands.into();
    let mut product: Option<Named<'t>> = None;
    while let Some(next) = rest.pop_front() {
        let later = |label: Label| result.contains(&label) || rest.iter().any(|other| other.axis(label).is_some());
        product = Some(match product {
            None => next.summed(later),
            Some(before) => {
                let next = next.summed(|label| later(label) || before.axis(label).is_some());
                multiply(before, next, later)
            }
        });
    }
    let product = product.expect("a formula has at least one group");
    product.arranged(result)
}

/// The product of two values, summed over what `kept` does not hold, which both have.
fn multiply<'t>(a: Named<'t>, b: Named<'t>, kept: impl Fn(Label) -> bool) -> Named<'t> {
    let (shared, rows): (Vec<Label>, Vec<Label>) = a.labels.iter().partition(|label| b.axis(**label).is_some());
    let (both, summed): (Vec<Label>, Vec<Label>) = shared.into_iter().partition(|label| kept(*label));
    let columns: Vec<Label> = b.labels.iter().copied().filter(|label| a.axis(*label).is_none()).collect();
    let labels: Labels = both.iter().chain(&rows).chain(&columns).copied().collect();
    if summed.is_empty() {
        return Named { value: a.arranged(&labels) * b.arranged(&labels), labels };
    }
    if !a.value.node(|n| n.dtype.is_float()) {
        // Integers have no matrix product.
        let all: Labels = labels.iter().chain(&summed).copied().collect();
        let product = Named { value: a.arranged(&all) * b.arranged(&all), labels: all };
        return product.summed(|label| !summed.contains(&label));
    }
    let (m, k, n) = (a.extent(&rows), a.extent(&summed), b.extent(&columns));
    let order = |parts: [&[Label]; 3]| parts.concat();
    let left = a.arranged(&order([&both, &rows, &summed]));
    let right = b.arranged(&order([&both, &summed, &columns]));
    let batch: Vec<usize> = left.node(|node| node.shape[..both.len()].to_vec());
    let shape = |tail: &[usize]| [&batch[..], tail].concat();
    let product = left.reshape(shape(&[m, k])).matmul(right.reshape(shape(&[k, n])));
    let extents = |of: &Named<'t>, labels: &[Label]| labels.iter().map(|l| of.extent(&[*l])).collect::<Vec<usize>>();
    let value = product.reshape(shape(&[extents(&a, &rows), extents(&b, &columns)].concat()));
    Named { value, labels }
}
