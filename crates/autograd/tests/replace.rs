//! Values that take the place of others: in their memory if nobody else holds it, and with the same bits in any case.

use wengert_autograd::{DType, Param, Place, Result, Tape, Tensor, Var};

fn data(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (((i + 1) * (seed * 7 + 13)) % 97) as f64 / 97.0 - 0.5).collect();
    Tensor::from_vec(values, shape).unwrap()
}

fn address(tensor: &Tensor) -> *const f64 {
    tensor.as_slice::<f64>().unwrap().as_ptr()
}

type Update = for<'t> fn(Var<'t>, Var<'t>) -> [Var<'t>; 2];

/// A parameter and a tensor after an update, and whether each kept its memory.
fn updated(update: Update, hold: bool) -> Result<([Tensor; 2], [bool; 2])> {
    let (p, mut s) = (Param::new(data(&[20, 51], 1)), data(&[20, 51], 2));
    let before = [address(&p.value()), address(&s)];
    let kept = hold.then(|| (p.value(), s.clone()));
    let copies = [p.value().to_vec::<f64>()?, s.to_vec::<f64>()?];
    let tape = Tape::inference();
    let last = tape.last(&update(tape.constant(p.value()), tape.constant(&s)))?;
    tape.replace(&last, &mut [Place::Param(&p), Place::Tensor(&mut s)])?;
    if let Some((old_p, old_s)) = kept {
        assert_eq!([old_p.to_vec::<f64>()?, old_s.to_vec::<f64>()?], copies, "a clone does not change");
    }
    let inside = [address(&p.value()) == before[0], address(&s) == before[1]];
    Ok(([p.value(), s], inside))
}

#[test]
fn memory_is_reused_where_nobody_else_reads_it() -> Result<()> {
    fn both<'t>(p: Var<'t>, s: Var<'t>) -> [Var<'t>; 2] {
        let s = s * 0.9 + p.square();
        [p - s * 0.1 / (s.square() + 1.0).sqrt(), s]
    }
    fn swapped<'t>(p: Var<'t>, s: Var<'t>) -> [Var<'t>; 2] {
        [s * 2.0, p * 3.0]
    }
    fn read_later<'t>(p: Var<'t>, s: Var<'t>) -> [Var<'t>; 2] {
        // The product reads p and comes after the elementwise program, or before: no matter.
        let next = p * 0.5 + s;
        [next, p.matmul(next.t()).matmul(s)]
    }
    // The second program is the last to read both, and p in another order.
    fn turned<'t>(p: Var<'t>, s: Var<'t>) -> [Var<'t>; 2] {
        [p + s.reshape([51, 20]).t(), s + p.reshape([51, 20]).t()]
    }
    fn reversed<'t>(p: Var<'t>, s: Var<'t>) -> [Var<'t>; 2] {
        [p + p.narrow(0, 0, 1), s + s.sum_keep(&[0][..])]
    }
    fn same<'t>(p: Var<'t>, s: Var<'t>) -> [Var<'t>; 2] {
        [p, s + p]
    }
    let cases: [(&str, Update, Option<[bool; 2]>); 6] = [
        ("both", both, Some([true, true])),
        ("swapped", swapped, None),
        ("read later", read_later, Some([false, false])),
        ("turned", turned, Some([false, true])),
        ("part", reversed, None),
        ("same", same, None),
    ];
    for (name, update, inside) in cases {
        let tape = Tape::inference();
        let apart = tape.eval_all(&update(tape.constant(data(&[20, 51], 1)), tape.constant(data(&[20, 51], 2))))?;
        for hold in [false, true] {
            let (found, kept) = updated(update, hold)?;
            assert!(found.iter().zip(&apart).all(|(a, b)| a.bit_eq(b)), "{name}, held: {hold}");
            let expected = if hold && name != "same" { Some([false, false]) } else { inside };
            assert!(expected.is_none_or(|expected| expected == kept), "{name}, held: {hold}: in place: {kept:?}");
        }
    }
    Ok(())
}

#[test]
fn an_older_recording_keeps_its_snapshot() -> Result<()> {
    let p = Param::new(data(&[300], 1));
    let older = Tape::new();
    let y = older.param(&p) * 2.0;
    let tape = Tape::inference();
    let last = tape.last(&[tape.constant(p.value()) + 1.0])?;
    tape.replace(&last, &mut [Place::Param(&p)])?;
    let expected: Vec<f64> = data(&[300], 1).to_f64_vec().iter().map(|v| v * 2.0).collect();
    assert_eq!(y.value()?.to_f64_vec(), expected);
    Ok(())
}

#[test]
fn one_memory_in_two_places_is_not_overwritten() -> Result<()> {
    let (mut a, expected) = (data(&[300], 1), data(&[300], 1).to_f64_vec());
    let mut b = a.clone();
    let tape = Tape::inference();
    let last = tape.last(&[tape.constant(&a) + 1.0, tape.constant(&b) + 2.0])?;
    tape.replace(&last, &mut [Place::Tensor(&mut a), Place::Tensor(&mut b)])?;
    let plus = |by: f64| expected.iter().map(|v| v + by).collect::<Vec<_>>();
    assert_eq!((a.to_f64_vec(), b.to_f64_vec()), (plus(1.0), plus(2.0)));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_set() -> Result<()> {
    let (p, q) = (Param::new(data(&[300], 1)), Param::new(data(&[4], 2)));
    let refuses = |places: &mut [Place<'_>], part: &str| -> Result<()> {
        let tape = Tape::inference();
        let (x, y) = (tape.constant(p.value()), tape.constant(q.value()));
        let last = tape.last(&[x * 2.0, y * 2.0])?;
        let error = tape.replace(&last, places).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        Ok(())
    };
    refuses(&mut [Place::Param(&p), Place::Param(&p)], "a parameter is given twice")?;
    refuses(&mut [Place::Param(&q), Place::Param(&p)], "give it the parameter's shape")?;
    refuses(&mut [Place::Param(&p)], "2 values for 1 places")?;
    let (one, other) = (Tape::inference(), Tape::inference());
    let last = one.last(&[one.zeros([2], DType::F64)])?;
    assert!(other.replace(&last, &mut [Place::Param(&q)]).is_err(), "another tape's");
    assert!(p.value().bit_eq(&data(&[300], 1)) && q.value().bit_eq(&data(&[4], 2)));
    Ok(())
}

#[test]
fn a_program_that_fails_leaves_all_places_as_they_were() -> Result<()> {
    let p = Param::new(data(&[300], 1));
    let tape = Tape::inference();
    let past = tape.constant(Tensor::from_slice(&[0i64, 7], [2])?);
    let picked = tape.constant(data(&[4, 1], 2)).index_select(0, past).sum();
    let last = tape.last(&[tape.constant(p.value()) * 0.5, picked])?;
    let mut sum = data(&[], 3);
    let error = tape.replace(&last, &mut [Place::Param(&p), Place::Tensor(&mut sum)]).unwrap_err().to_string();
    assert!(error.contains('7'), "{error}");
    assert!(p.value().bit_eq(&data(&[300], 1)) && sum.bit_eq(&data(&[], 3)));
    Ok(())
}

#[test]
fn a_value_that_is_handed_out_as_it_is_stays() -> Result<()> {
    let (p, mut old) = (Param::new(data(&[20, 15], 1)), data(&[300], 2));
    let tape = Tape::inference();
    let now = tape.constant(p.value());
    let last = tape.last(&[now * 0.5, now.reshape([300])])?;
    tape.replace(&last, &mut [Place::Param(&p), Place::Tensor(&mut old)])?;
    let before = data(&[20, 15], 1).to_f64_vec();
    assert_eq!(old.to_f64_vec(), before);
    assert_eq!(p.value().to_f64_vec(), before.iter().map(|v| v * 0.5).collect::<Vec<_>>());
    Ok(())
}
