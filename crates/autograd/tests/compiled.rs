//! Recordings that are kept and run with other inputs.

use wengert_autograd::{Compiled, DType, Error, Param, Result, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n = shape.iter().product::<usize>();
    let values: Vec<f64> = (0..n).map(|i| ((i * 7919 + seed * 31) % 101) as f64 / 50.0 - 1.0).collect();
    Tensor::from_slice(&values, shape).expect("as many values as the shape holds")
}

#[test]
fn other_inputs_give_the_bits_of_a_tape() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let w = Param::new(data(&[5, 37], 1).cast(dtype));
        let u = Param::new(data(&[37, 5], 2).cast(dtype));
        for rows in [1, 3, 20] {
            let example = data(&[rows, 5], 3).cast(dtype);
            let mut compiled = Compiled::new(&[&example], |_, x| {
                let h = x[0].matmul(&w).tanh();
                vec![h.matmul(&u), h, h.matmul(x[0].t().matmul(h).t())]
            })?;
            for seed in 4..7 {
                let x = data(&[rows, 5], seed).cast(dtype);
                let found = compiled.run(&[&x])?;
                let tape = Tape::new();
                let v = tape.constant(&x);
                let h = v.matmul(&w).tanh();
                let expected = tape.eval([h.matmul(&u), h, h.matmul(v.t().matmul(h).t())])?;
                for (found, expected) in found.iter().zip(&expected) {
                    assert!(found.bit_eq(expected), "{dtype} {rows}");
                }
            }
        }
    }
    Ok(())
}

/// Products that follow one another, of which some read what those before have computed or lie where their operands were.
#[test]
fn products_in_a_row_have_the_bits_of_a_tape() -> Result<()> {
    fn values<'t>(x: Var<'t>, weights: &[Param; 3]) -> Vec<Var<'t>> {
        let [w, u, v] = weights;
        let apart = [x.matmul(w), x.matmul(u), x.matmul(v)];
        let chain = x.matmul(u).matmul(v).matmul(u);
        let tied = x.matmul(w) + x.matmul(w).matmul(u);
        apart.into_iter().chain([chain, tied, chain.matmul(w), x.matmul(u).matmul(w).matmul(v)]).collect()
    }
    for (width, dtype) in [(40, DType::F32), (200, DType::F32), (200, DType::F64)] {
        let weights = [1, 2, 3].map(|seed| Param::new(data(&[width, width], seed).cast(dtype)));
        for rows in [1, 3] {
            let example = data(&[rows, width], 4).cast(dtype);
            let mut compiled = Compiled::new(&[&example], |_, x| values(x[0], &weights))?;
            for seed in 5..25 {
                let x = data(&[rows, width], seed).cast(dtype);
                let tape = Tape::new();
                let expected = tape.eval_all(&values(tape.constant(&x), &weights))?;
                for (found, expected) in compiled.run(&[&x])?.iter().zip(&expected) {
                    assert!(found.bit_eq(expected), "{dtype} {width} {rows}");
                }
            }
        }
    }
    Ok(())
}

/// More than one instruction may write.
#[test]
fn as_many_heads_as_one_likes() -> Result<()> {
    let heads: Vec<Param> = (0..150).map(|seed| Param::new(data(&[6, 3], seed))).collect();
    let x = data(&[1, 6], 7);
    let mut compiled = Compiled::new(&[&x], |_, x| heads.iter().map(|w| x[0].matmul(w)).collect())?;
    let tape = Tape::new();
    let v = tape.constant(&x);
    for (found, w) in compiled.run(&[&x])?.iter().zip(&heads) {
        assert!(found.bit_eq(&v.matmul(w).value()?));
    }
    Ok(())
}

#[test]
fn gradients_and_loops_compile() -> Result<()> {
    let w = Param::new(data(&[3, 3], 1));
    let (xs, h) = (data(&[6, 2, 3], 2), data(&[2, 3], 3));
    let loss = |tape: &Tape, xs: &Tensor, h: &Tensor| {
        let (_, ys) = tape.scan(tape.constant(h), tape.constant(xs), |h, x| {
            let h = (x + h.matmul(&w)).tanh();
            (h, h)
        });
        let loss = ys.square().sum();
        let [g] = loss.grad([tape.param(&w)]);
        tape.eval([loss, g])
    };
    let mut compiled = Compiled::new(&[&xs, &h], |tape, inputs| {
        let (_, ys) = tape.scan(inputs[1], inputs[0], |h, x| {
            let h = (x + h.matmul(&w)).tanh();
            (h, h)
        });
        let loss = ys.square().sum();
        let [g] = loss.grad([tape.param(&w)]);
        vec![loss, g]
    })?;
    for seed in 5..8 {
        let xs = data(&[6, 2, 3], seed);
        let found = compiled.run(&[&xs, &h])?;
        for (found, expected) in found.iter().zip(&loss(&Tape::new(), &xs, &h)?) {
            assert!(found.bit_eq(expected));
        }
    }
    Ok(())
}

#[test]
fn parameters_keep_the_values_of_the_moment() -> Result<()> {
    let w = Param::new(data(&[2, 2], 1));
    let x = data(&[1, 2], 2);
    let mut compiled = Compiled::new(&[&x], |_, x| vec![x[0].matmul(&w)])?;
    let before = compiled.run(&[&x])?;
    w.set(data(&[2, 2], 9))?;
    assert!(compiled.run(&[&x])?[0].bit_eq(&before[0]));
    Ok(())
}

#[test]
fn an_input_is_not_held_on_to() -> Result<()> {
    let x = data(&[2, 2], 1);
    let mut compiled = Compiled::new(&[&x], |_, x| vec![x[0] + 1.0])?;
    let y = compiled.run(&[&x])?;
    // An output that is an input of the next run: nothing of the earlier run may reach it.
    let z = compiled.run(&[&y[0]])?;
    assert_eq!(y[0].to_f64_vec(), x.to_f64_vec().iter().map(|v| v + 1.0).collect::<Vec<_>>());
    assert_eq!(z[0].to_f64_vec(), x.to_f64_vec().iter().map(|v| v + 1.0 + 1.0).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn other_kinds_of_inputs_are_refused() {
    let x = data(&[2, 2], 1);
    let mut compiled = Compiled::new(&[&x], |_, x| vec![x[0] + 1.0]).expect("a valid recording");
    let text = |result: Result<Vec<Tensor>, Error>| {
        let text = result.expect_err("it is refused").to_string();
        let (what, at) = text.split_once(" (at ").expect("it has an address");
        assert!(at.contains("tests/compiled.rs"), "{text}");
        what.to_string()
    };
    assert_eq!(
        text(compiled.run(&[&data(&[2, 3], 1)])),
        "run: input 0 is f64 [2, 3], the example was f64 [2, 2]; give inputs like the examples, or compile for these"
    );
    assert_eq!(
        text(compiled.run(&[&x.cast(DType::F32)])),
        "run: input 0 is f32 [2, 2], the example was f64 [2, 2]; give inputs like the examples, or compile for these"
    );
    assert_eq!(
        text(compiled.run(&[])),
        "run: expected 1 inputs, found 0; give inputs like the examples, or compile for these"
    );
    let wrong = Compiled::new(&[&x], |tape, x| vec![x[0].matmul(tape.constant(data(&[3, 2], 1)))]);
    assert!(wrong.expect_err("the shapes do not fit").to_string().contains("tests/compiled.rs"));
}
