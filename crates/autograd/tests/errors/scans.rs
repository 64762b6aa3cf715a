//! Loops: what they are given and what they return, by the names of the components.

use crate::{check, fails, tensor};
use wengert_autograd::{DType, Path, ScanOptions, Tape, Tree, Var};

/// A state with names, as `#[derive(Tree)]` writes it.
#[derive(Clone)]
struct State<'t> {
    h: Var<'t>,
    c: Var<'t>,
}

impl<'t> Tree<'t> for State<'t> {
    fn map_vars(&self, path: &mut Path, f: &mut dyn FnMut(&Path, Var<'t>) -> Var<'t>) -> Self {
        let h = path.within("h", |path| self.h.map_vars(path, f));
        State { h, c: path.within("c", |path| self.c.map_vars(path, f)) }
    }
}

#[test]
fn the_scanned_values() {
    let tape = Tape::new();
    let (s, x) = (tape.var(tensor(&[2], DType::F32)), tape.var(tensor(&[3, 2], DType::F32)));
    fails!(
        tape.scan((), (x, s), |(), (x, _)| ((), x)).1,
        Shape,
        "scan: the scanned value '1' is [2]: 2 steps, but the scanned value '0' is [3, 2]: 3; \
         give all scanned values one leading extent"
    );
    fails!(
        tape.scan((), vec![x, x, x.t()], |(), x| ((), x[0])).1,
        Shape,
        "scan: the scanned value '2' is [2, 3]: 2 steps, but the scanned value '0' is [3, 2]: 3; \
         give all scanned values one leading extent"
    );
    fails!(
        tape.scan((), (x, s.sum()), |(), (x, _)| ((), x)).1,
        Shape,
        "scan: the scanned value '1' is a scalar, expected a leading time axis; capture it in the closure instead"
    );
    // No steps are no mistake.
    let (last, ys) = tape.scan(s, x.narrow(0, 0, 0), |s, x| (s + x, s));
    assert_eq!((last.value().unwrap().shape()[..].to_vec(), ys.shape().unwrap()[..].to_vec()), (vec![2], vec![0, 2]));
    let many = ScanOptions::default().length(1 << 46);
    fails!(
        tape.scan_with(many, s, (), |s, ()| (s * 2.0, s + s)).1,
        Shape,
        "scan_with: the shape [70368744177664, 2] holds more than memory can; scan over parts of it"
    );
}

#[test]
fn the_carry_that_changed_is_named() {
    let tape = Tape::new();
    let (s, x) = (tape.var(tensor(&[2], DType::F32)), tape.var(tensor(&[3, 2], DType::F32)));
    let changed = |name: &str, now: &str, line: u32| {
        format!(
            "scan: the carry{name} starts as f32 [2] and returns from the step as {now} (recorded at {}:{line}); \
             make the initial state and the step agree",
            file!()
        )
    };
    let line = line!() + 1;
    let (last, _) = tape.scan((s, s), x, |(h, c), _| ((h, c.concat([c], 0)), h));
    for part in [last.0, last.1] {
        check(part.value().unwrap_err(), line, &changed(" '1'", "f32 [4]", line));
    }
    let line = line!() + 1;
    let (last, _) = tape.scan(State { h: s, c: s }, x, |s, x| (State { h: s.h, c: s.c * x.unsqueeze(1) }, s.h));
    check(last.h.value().unwrap_err(), line, &changed(" 'c'", "f32 [2, 2]", line));
    let nested = (s, vec![State { h: s, c: s }]);
    let line = line!() + 1;
    let (last, _) = tape.scan(nested, x, |(a, _), _| ((a, vec![State { h: a.sum(), c: a }]), a));
    check(last.0.value().unwrap_err(), line, &changed(" '1.0.h'", "f32 []", line));
    let line = line!() + 1;
    let (last, _) = tape.scan(s, x, |s, _| (s.cast(DType::F64), s));
    let error = last.value().unwrap_err();
    assert_eq!(error.kind(), wengert_autograd::ErrorKind::DType);
    check(error, line, &changed("", "f64 [2]", line));
    // In a loop in a loop, the inner one is meant.
    let xs = tape.var(tensor(&[4, 3, 2], DType::F32));
    let mut inner = 0;
    let (last, _) = tape.scan(s, xs, |s, x| {
        inner = line!() + 1;
        let (s, _) = tape.scan(s, x, |s, x| (s + x.unsqueeze(0), ()));
        (s, ())
    });
    check(last.value().unwrap_err(), inner, &changed("", "f32 [1, 2]", inner));
    fails!(
        tape.scan(vec![s], x, |s, _| (vec![s[0], s[0]], s)).1[0],
        Shape,
        "scan: the initial state has 1 components, the step returned 2; \
         return a state of the same structure as the initial one"
    );
}

/// A mistake in the body is the body's: its line, its name, whatever the loop is part of.
#[test]
fn a_mistake_in_the_step() {
    let tape = Tape::new();
    let (s, x) = (tape.var(tensor(&[2], DType::F32)), tape.var(tensor(&[3, 2], DType::F32)));
    let mut line = 0;
    let text = "add: shapes [2] and [4] do not broadcast: axis -1 is 2 on the left and 4 on the right; \
                make the extents equal or 1 (unsqueeze, reshape, expand)";
    let (last, ys) = tape.scan(s, x, |s, x| {
        let wrong = x + x.concat([x], 0);
        line = line!() - 1;
        (s * wrong, wrong)
    });
    check(last.value().unwrap_err(), line, text);
    check(ys.value().unwrap_err(), line, text);
    // The closure is its author's also within a composition.
    let named = line!() + 1;
    let _named = tape.composition("network");
    let (last, _) = tape.scan(s, x, |s, x| {
        let wrong = x + x.concat([x], 0);
        line = line!() - 1;
        (s * wrong, ())
    });
    check(last.value().unwrap_err(), line, text);
    let (_, ys) = tape.scan((), s.sum(), |(), x| ((), x));
    let text =
        "network: the scanned value is a scalar, expected a leading time axis; capture it in the closure instead";
    check(ys.value().unwrap_err(), named, text);
}

#[test]
fn values_from_elsewhere() {
    let (tape, other) = (Tape::new(), Tape::new());
    let x = tape.var(tensor(&[3, 2], DType::F32));
    let y = other.var(tensor(&[3, 2], DType::F32));
    let text = |what: &str| {
        format!("scan: {what} is recorded on another tape; bring it over with tape.constant(other.value()?)")
    };
    fails!(tape.scan((x, y), x, |s, _| (s, ())).0.0, Scope, &text("the initial carry '1'"));
    fails!(tape.scan((), y, |(), _| ((), x)).1, Scope, &text("the scanned value"));
    fails!(tape.scan(x, x, |_, _| (y, x)).0, Scope, &text("the carry that the step returned"));
    fails!(tape.scan((), x, |(), _| ((), (x, y))).1.1, Scope, &text("the output '1'"));

    let mut escaped = None;
    tape.scan((), x, |(), x| {
        escaped = Some((x.square(), line!()));
        ((), ())
    });
    let (y, recorded) = escaped.unwrap();
    let text = |what: &str| {
        format!(
            "scan: {what} (recorded at {}:{recorded}) belongs to a scan body that has ended; \
             return it from the body's closure as a carry or an output",
            file!()
        )
    };
    fails!(tape.scan((x, y), x, |s, _| (s, ())).0.0, Scope, &text("the initial carry '1'"));
    fails!(tape.scan((), y, |(), _| ((), x)).1, Scope, &text("the scanned value"));
    fails!(tape.scan(x.get(0, 0), x, |_, _| (y, x)).0, Scope, &text("the carry that the step returned"));
    fails!(tape.scan((), x, |(), _| ((), y)).1, Scope, &text("the output"));
    // A value of a body has no one value: in the body, and when it is over.
    tape.scan((), x, |(), x| {
        let z = x * 2.0;
        let recorded = line!() - 1;
        let text = |op: &str| {
            format!(
                "{op}: the value (recorded at {}:{}) belongs to a scan body: it has one value for each step; \
                 return it from the body's closure as an output",
                file!(),
                recorded
            )
        };
        check(z.value().unwrap_err(), line!(), &text("value"));
        let scalar = "get: axis 0 is out of range for shape []; a scalar has no axes";
        check(z.sum().get(0, 0).item().unwrap_err(), line!(), scalar);
        let keep = "keep: the value belongs to a scan body: it has one value for each step; \
                    return it from the body's closure as an output, and keep that";
        check(z.keep().shape().unwrap_err(), line!(), keep);
        ((), ())
    });
    assert_eq!(y.value().unwrap_err().kind(), wengert_autograd::ErrorKind::Scope);
}
