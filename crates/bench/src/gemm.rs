//! The matrix products that a recurrent layer needs, and its training step, as shares of the processor's peak in fused
//! multiply-adds.

use crate::Outcome;
use crate::options::{Options, Precision};
use crate::report::{Report, Row};
use crate::shapes::Shape;
use crate::timing::{Timing, timed};
use crate::train;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::convert::Infallible;
use wengert_kernels::gemm::{GemmElem, Mat, MatMut, PackedB, gemm_packed, gemm_shared, peak_fma};
use wengert_kernels::{Blocks, for_each};

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome {
    match options.dtype {
        Precision::F32 => all::<f32>(options, report),
        Precision::F64 => all::<f64>(options, report),
    }
}

fn all<E: GemmElem + From<f32>>(options: &Options, report: &mut Report) -> Outcome {
    let threads = usize::from(options.threads);
    for shape in options.shapes("small64,mid128,ptb200,wide512,ptb650")? {
        // In the same run as what it is compared with.
        let peak = peak_fma::<E>(0.1) * threads as f64 / 1e9;
        let mut say = |op: &str, size: &str, flops: f64, timing: &Timing| {
            let rate = flops / timing.median / 1e6;
            let row = Row::new("wengert").text("shape", &shape.name).text("op", op).text("MxKxN", size);
            let row = row.count("threads", threads).text("dtype", &options.dtype.dtype().to_string());
            let row = row.timing(timing).real("gflops", rate);
            report.row(&row.real("peak_gflops", peak).real("share", rate / peak));
        };
        for product in PRODUCTS {
            let size = product.size(&shape);
            let text = size.map(|n| n.to_string()).join("x");
            say(product.name(), &text, flops(size), &product.time::<E>(size, options));
        }
        let mut trainee = train::make("wengert_lstm", &shape, options.dtype.dtype())?;
        let timing = timed(options.budget, options.runs, || trainee.step())?;
        say("train_step", "", needed(&shape), &timing);
    }
    Ok(())
}

fn flops([m, k, n]: [usize; 3]) -> f64 {
    2.0 * (m * k * n) as f64
}

/// The FLOPs of the matrix products that a training step of an LSTM cannot do without: for each layer those with input and state
/// forward, of the cotangents backward, and of the weights' gradients; the gradient of the lowest input is not needed.
pub(crate) fn needed(shape: &Shape) -> f64 {
    let Shape { t, b, i, h, l, .. } = *shape;
    let layer = |inputs: usize, of_input: usize| 2 * inputs + of_input + 3 * h;
    let columns: usize = (0..l).map(|n| if n == 0 { layer(i, 0) } else { layer(h, h) }).sum();
    2.0 * (t * b * 4 * h * columns) as f64
}

#[derive(Clone, Copy)]
enum Product {
    /// `x·W` of all steps at once.
    Input,
    /// `h·U` of one step.
    Recurrent(Packing),
    /// `dz·Uᵀ` of one step.
    RecurrentBack(Packing),
    /// `hᵀ·dz` over all steps: the gradient of `U`.
    WeightGradient,
}

/// When a product's right matrix is packed, and its rows are divided over threads.
#[derive(Clone, Copy)]
enum Packing {
    /// Once before all products, untimed, as a loop over time does before its first step.
    Before,
    /// For each product, as one call to a library of matrix products does.
    EachTime,
}

const PRODUCTS: [Product; 6] = [
    Product::Input,
    Product::Recurrent(Packing::Before),
    Product::Recurrent(Packing::EachTime),
    Product::RecurrentBack(Packing::Before),
    Product::RecurrentBack(Packing::EachTime),
    Product::WeightGradient,
];

impl Product {
    fn name(self) -> &'static str {
        match self {
            Product::Input => "input",
            Product::Recurrent(Packing::Before) => "recurrent",
            Product::Recurrent(Packing::EachTime) => "recurrent_packing",
            Product::RecurrentBack(Packing::Before) => "recurrent_back",
            Product::RecurrentBack(Packing::EachTime) => "recurrent_back_packing",
            Product::WeightGradient => "weight_gradient",
        }
    }

    /// M, K, N.
    fn size(self, shape: &Shape) -> [usize; 3] {
        let Shape { t, b, i, h, .. } = *shape;
        match self {
            Product::Input => [t * b, i, 4 * h],
            Product::Recurrent(_) => [b, h, 4 * h],
            Product::RecurrentBack(_) => [b, 4 * h, h],
            Product::WeightGradient => [h, t * b, 4 * h],
        }
    }

    fn time<E: GemmElem + From<f32>>(self, [m, k, n]: [usize; 3], options: &Options) -> Timing {
        let mut rng = StdRng::seed_from_u64(0);
        let mut draw = |len: usize| -> Vec<E> { (0..len).map(|_| E::from(rng.random_range(-1.0f32..1.0))).collect() };
        let (a, b, mut c) = (draw(m * k), draw(k * n), draw(m * n));
        // Small products are repeated, so that the clock is not what is measured.
        let repeats = (1e7 / flops([m, k, n])).clamp(1.0, 1000.0) as usize;
        let rows = Mat::row_major(&a, m, k);
        let timing = match self {
            Product::Input | Product::WeightGradient => {
                let left = if matches!(self, Product::Input) { rows } else { Mat::row_major(&a, k, m).t() };
                timed(options.budget, options.runs, || {
                    for _ in 0..repeats {
                        gemm_shared(
                            vec![(left, MatMut::row_major(&mut c, m, n))],
                            Mat::row_major(&b, k, n),
                            Blocks::default(),
                        );
                    }
                    Ok::<_, Infallible>(())
                })
            }
            Product::Recurrent(packing) | Product::RecurrentBack(packing) => {
                let right = match self {
                    Product::Recurrent(_) => Mat::row_major(&b, k, n),
                    _ => Mat::row_major(&b, n, k).t(),
                };
                let mut products = |packed: &PackedB<E>, repeats: usize| {
                    by_rows(rows, MatMut::row_major(&mut c, m, n), options.threads.into(), |rows, mut c| {
                        for _ in 0..repeats {
                            gemm_packed(rows, packed, c.reborrow(), false);
                        }
                    });
                };
                let packed = PackedB::pack(right);
                timed(options.budget, options.runs, || {
                    match packing {
                        Packing::Before => products(&packed, repeats),
                        Packing::EachTime => (0..repeats).for_each(|_| products(&PackedB::pack(right), 1)),
                    }
                    Ok(())
                })
            }
        };
        timing.unwrap_or_else(|never| match never {}).per(repeats)
    }
}

/// `f` on equal parts of the rows, one for each thread: as a loop over time divides a batch, once for all steps.
fn by_rows<'a, E: GemmElem + Sync>(
    a: Mat<'a, E>,
    c: MatMut<'a, E>,
    threads: usize,
    f: impl Fn(Mat<'a, E>, MatMut<'a, E>) + Sync,
) {
    let rows = a.rows();
    let mut parts = Vec::with_capacity(threads);
    let mut rest = c;
    for part in 0..threads {
        let (from, to) = (rows * part / threads, rows * (part + 1) / threads);
        let (own, after) = rest.split_at_row(to - from);
        parts.push((a.row_range(from, to - from), own));
        rest = after;
    }
    for_each(parts, |(a, c)| f(a, c));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counted one by one: forward x·W and h·U, backward dz·Uᵀ and (above the lowest layer) dz·Wᵀ, gradients xᵀ·dz and hᵀ·dz.
    #[test]
    fn the_needed_products_of_two_layers() {
        let shape = Shape { name: String::new(), t: 7, b: 3, i: 5, h: 2, l: 2 };
        let (tb, gates) = (7.0 * 3.0, 8.0);
        let low = [5.0, 2.0, 2.0, 5.0, 2.0];
        let high = [2.0, 2.0, 2.0, 2.0, 2.0, 2.0];
        let expected: f64 = low.iter().chain(&high).map(|n| 2.0 * tb * gates * n).sum();
        assert_eq!(needed(&shape), expected);
    }

    #[test]
    fn sizes_of_products() {
        let shape = Shape { name: String::new(), t: 7, b: 3, i: 5, h: 2, l: 1 };
        let sizes = PRODUCTS.map(|product| product.size(&shape));
        assert_eq!(sizes, [[21, 5, 8], [3, 2, 8], [3, 2, 8], [3, 8, 2], [3, 8, 2], [2, 21, 8]]);
    }
}
