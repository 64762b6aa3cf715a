//! A failing case as text: the report, and a test that keeps it.

use super::assert::Site;
use crate::check::CheckFailure;
use crate::check::layout::Layout;
use crate::tensor::Tensor;
use std::fmt::Write;

/// A failing case, and how it was found.
pub(super) struct Found {
    pub failure: CheckFailure,
    pub inputs: Vec<Tensor>,
    pub case: u32,
    pub cases: u32,
    /// How many smaller cases were tried.
    pub steps: usize,
}

/// The message of a failed `assert_gradients!`.
pub(super) fn report(site: &Site, found: &Found) -> String {
    let Found { failure, inputs, case, cases, steps } = found;
    let names = site.inputs.join(", ");
    let body = site.body;
    let mut text = format!("assert_gradients!(|{names}| {body}) failed\n{failure}\n");
    let number = case + 1;
    let _ = write!(text, "\nfound in case {number} of {cases}, and made smaller in {steps} attempts:\n");
    for (name, input) in site.inputs.iter().zip(inputs) {
        let strides = if input.is_contiguous() { String::new() } else { format!(", strides {:?}", input.strides()) };
        let _ = writeln!(text, "  {name} = {input:?}{strides}");
    }
    // Writing to a string cannot fail, here and above.
    let _ = write!(text, "\nto keep this case, add a test:\n\n{}", test(site, inputs));
    text
}

/// A test of one case.
fn test(site: &Site, inputs: &[Tensor]) -> String {
    let stem = site.file.rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(".rs");
    let stem: String = stem.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let mut text = format!("#[test]\nfn gradients_of_{stem}_{}() {{\n", site.line);
    for (name, input) in site.inputs.iter().zip(inputs) {
        text += &format!("    let {name} = {};\n", tensor(input));
    }
    let names = site.inputs.join(", ");
    let params = site.params.map_or(String::new(), |params| format!(", params: {params}"));
    text + &format!("    assert_gradients!(|{names}| {}, [{names}]{params});\n}}\n", site.body)
}

/// A tensor as the expression that makes it, with its layout.
fn tensor(tensor: &Tensor) -> String {
    let (values, layout) = Layout::split(tensor);
    let Some(layout) = layout else { return literal(&values) };
    let (run, calls) = layout.code(&values);
    literal(&run) + &calls
}

fn literal(tensor: &Tensor) -> String {
    let number = |x: &f64| match x {
        x if x.is_nan() => "f64::NAN".to_string(),
        x if x.is_infinite() => if *x > 0.0 { "f64::INFINITY" } else { "f64::NEG_INFINITY" }.to_string(),
        x => format!("{x:?}"),
    };
    let values: Vec<String> = tensor.to_f64_vec().iter().map(number).collect();
    let values = values.join(", ");
    match tensor.shape().rank() {
        0 => format!("Tensor::scalar({values})"),
        _ if values.is_empty() => format!("Tensor::zeros({:?}, DType::F64)", tensor.shape()),
        _ => format!("Tensor::from_vec(vec![{values}], {:?}).unwrap()", tensor.shape()),
    }
}
