//! Which tensors of a file a module's parameters are, under whose names and in whose layout.

use std::collections::HashMap;
use std::ops::Range;
use wengert_autograd::{DType, Param, ParamTree, Path, Shape, Tensor};

/// Whose names and layouts a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Names {
    /// wengert's: the paths of the parameters, matrices as they are.
    #[default]
    Own,
    /// Those of PyTorch's modules for the same formulas.
    PyTorch,
}

/// A parameter and what of a file it is made of: the sum of its pieces.
pub(super) struct Place {
    /// The parameter's path.
    pub(super) own: String,
    pub(super) param: Param,
    pub(super) pieces: Vec<Piece>,
}

/// Rows of one tensor of a file.
pub(super) struct Piece {
    pub(super) name: String,
    /// The shape of the tensor in the file.
    pub(super) shape: Shape,
    transposed: bool,
    /// These rows of the tensor belong to the parameter's first rows.
    rows: Range<usize>,
    /// Whether saving writes the parameter there. The others are zero in a file of ours: of two biases that are added one suffices.
    written: bool,
}

/// All parameters of a module, each under each of its paths.
pub(super) fn places(module: &impl ParamTree, names: Names) -> Vec<Place> {
    let mut all = Vec::new();
    module.visit_params(&mut Path::root(), &mut |path, param| {
        let shape = param.value().shape().clone();
        let pieces = match names {
            Names::Own => None,
            Names::PyTorch => pytorch(path, &shape),
        };
        let own = path.as_str().to_string();
        let pieces = pieces.unwrap_or_else(|| vec![Piece::whole(own.clone(), shape)]);
        all.push(Place { own, param: param.clone(), pieces });
    });
    all
}

impl Piece {
    fn whole(name: String, shape: Shape) -> Piece {
        let rows = 0..shape.first().copied().unwrap_or(1);
        Piece { name, shape, transposed: false, rows, written: true }
    }

    /// A matrix `[in, out]`, which PyTorch has as `[out, in]`.
    fn transposed(name: String, shape: &Shape) -> Piece {
        Piece { transposed: true, ..Piece::whole(name, shape.iter().rev().copied().collect()) }
    }

    /// Rows of a vector.
    fn rows(name: String, of: usize, rows: Range<usize>, written: bool) -> Piece {
        Piece { name, shape: Shape::from([of]), transposed: false, rows, written }
    }

    /// Whether the piece is the parameter, value for value.
    fn is_whole(&self, param: &Shape) -> bool {
        !self.transposed && self.shape == *param && self.written
    }
}

/// The pieces of a parameter of a module whose kind PyTorch knows.
fn pytorch(path: &Path, shape: &Shape) -> Option<Vec<Piece>> {
    let (module, kind) = path.kinds().next_back()?;
    let field = path.as_str()[module.len()..].trim_start_matches('.');
    let plain = |name: &str| if module.is_empty() { name.to_string() } else { format!("{module}.{name}") };
    let matrix = |name: String| (shape.rank() == 2).then(|| vec![Piece::transposed(name, shape)]);
    let extent = (shape.rank() == 1).then(|| shape[0]);
    if (kind, field) == ("linear", "weight") {
        return matrix(plain("weight"));
    }
    let gates = match kind {
        "lstm" | "elman" => 1,
        "gru" => 3,
        "projected" if field == "p" => 1,
        _ => return None,
    };
    let (start, end) = layer(path);
    let name = |part: &str| format!("{start}{part}{end}");
    let [ih, hh] = ["bias_ih", "bias_hh"].map(name);
    match field {
        "w" => matrix(name("weight_ih")),
        "u" => matrix(name("weight_hh")),
        "p" => matrix(name("weight_hr")),
        // Gates r, z, n: the bias of n inside of the reset is a parameter of its own.
        "b" if kind == "gru" => {
            let (all, two) = (extent?, extent? / gates * 2);
            Some(vec![Piece::rows(ih, all, 0..all, true), Piece::rows(hh, all, 0..two, false)])
        }
        "b_u" => extent.map(|n| vec![Piece::rows(hh, 3 * n, 2 * n..3 * n, true)]),
        "b" => extent.map(|n| vec![Piece::rows(ih, n, 0..n, true), Piece::rows(hh, n, 0..n, false)]),
        _ => None,
    }
}

/// What stands before and after `weight_ih` in the name of a cell's matrix: `rnn.` and `_l0_reverse` for layer 0 of the driver
/// `rnn`, backwards. A cell outside of a driver is PyTorch's `LSTMCell`, without a number.
fn layer(path: &Path) -> (String, String) {
    let dotted = |path: &str| if path.is_empty() { String::new() } else { format!("{path}.") };
    let (cell, _) = path.kinds().next_back().unwrap_or_default();
    for (driver, kind) in path.kinds().rev() {
        if kind != "rnn" {
            continue;
        }
        let mut parts = cell[driver.len()..].trim_start_matches('.').split('.');
        let (Some("layers"), Some(number)) = (parts.next(), parts.next()) else { break };
        let mut end = format!("_l{number}");
        let known = parts.all(|part| {
            if part == "backward" {
                end.push_str("_reverse");
            }
            // A cell within a wrapper is the layer's cell.
            ["forward", "backward", "cell"].contains(&part)
        });
        if known {
            return (dotted(driver), end);
        }
    }
    let wrapped = path.kinds().any(|(_, kind)| kind == "projected");
    let cell = cell.strip_suffix("cell").filter(|_| wrapped).map_or(cell, |outer| outer.trim_end_matches('.'));
    (dotted(cell), String::new())
}

/// A parameter's value out of the tensors of its pieces, which have their shapes and one element type.
pub(super) fn assemble(shape: &Shape, dtype: DType, pieces: &[(&Piece, Tensor)]) -> wengert_autograd::Result<Tensor> {
    if let [(piece, tensor)] = pieces
        && piece.shape.rank() == 2
        && piece.transposed
    {
        return Ok(tensor.transpose(0, 1)?.contiguous());
    }
    if let [(piece, tensor)] = pieces
        && piece.is_whole(shape)
    {
        return Ok(tensor.clone());
    }
    // Rows of vectors. A sum of two singles, rounded from the sum in double precision, is their sum in single precision.
    let mut values: Vec<Option<f64>> = vec![None; shape.numel()];
    for (piece, tensor) in pieces {
        let given = &tensor.to_f64_vec()[piece.rows.clone()];
        for (value, given) in values.iter_mut().zip(given) {
            *value = Some(value.map_or(*given, |value| value + given));
        }
    }
    let values: Vec<f64> = values.into_iter().map(Option::unwrap_or_default).collect();
    Ok(Tensor::from_vec(values, shape)?.cast(dtype))
}

/// The tensors of a file that holds a module, in the order of its parameters.
pub(super) fn tensors(module: &impl ParamTree, names: Names) -> Vec<(String, Tensor)> {
    let mut order: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<(String, Tensor)> = Vec::new();
    for Place { param, pieces, .. } in places(module, names) {
        let value = param.value();
        for piece in pieces {
            let at = *order.entry(piece.name.clone()).or_insert(all.len());
            if at == all.len() {
                all.push((piece.name.clone(), Tensor::zeros(&piece.shape, value.dtype())));
            }
            if piece.written {
                all[at].1 = piece.write(&value, &all[at].1);
            }
        }
    }
    all
}

impl Piece {
    /// The tensor of the file, `before`, with the parameter's value written to this piece.
    fn write(&self, value: &Tensor, before: &Tensor) -> Tensor {
        if self.is_whole(value.shape()) {
            return value.clone();
        }
        // A transposed piece was made of a matrix; rows are of vectors and as many as the parameter has.
        if self.transposed {
            return value.transpose(0, 1).unwrap_or_else(|_| value.clone());
        }
        let mut all = before.to_f64_vec();
        all[self.rows.clone()].copy_from_slice(&value.to_f64_vec());
        Tensor::from_vec(all, &self.shape).map_or_else(|_| before.clone(), |all| all.cast(value.dtype()))
    }
}
