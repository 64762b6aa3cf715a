//! Cells of one's own: what a user writes in a few lines, against loops, `LstmCell` and finite differences.

mod support;

use rand::{SeedableRng, rngs::StdRng};
use support::{close, data, lstm_cell, says};
use wengert::autograd::check;
use wengert::prelude::*;

const T: usize = 4;
const B: usize = 2;
const I: usize = 3;
const H: usize = 2;

fn param(shape: &[usize], seed: u64) -> Param {
    Param::new(data(shape, seed))
}

#[derive(Module)]
struct MyLstm {
    w: Param,
    u: Param,
    b: Param,
    hidden: usize,
}

impl Cell for MyLstm {
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.zeros([batch, self.hidden]), cx.zeros([batch, self.hidden]))
    }

    fn step<'t>(&self, x: Var<'t>, (h, c): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let z = x.matmul(&self.w) + h.matmul(&self.u) + &self.b;
        let [i, f, g, o] = z.chunk();
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        (h, (h, c))
    }
}

#[test]
fn ten_lines_equal_the_library_to_the_bit() -> Result<()> {
    let net = Rnn::stack(2, I, |layer, input| lstm_cell(input, H, layer as u64));
    let copy = |cell: &LstmCell| MyLstm { w: cell.w.clone(), u: cell.u.clone(), b: cell.b.clone(), hidden: H };
    let mine = Rnn::from(net.layers.iter().map(copy).collect::<Vec<_>>());
    let x = data(&[T, B, I], 1);
    let tape = Tape::new();
    let (y, _) = net.forward(&Cx::train(&tape), tape.constant(&x));
    let other = Tape::new();
    let (z, _) = mine.forward(&Cx::train(&other), other.constant(&x));
    assert!(y.value()?.bit_eq(&z.value()?));
    let (a, b) = (y.square().sum().backward()?, z.square().sum().backward()?);
    for (name, param) in net.params() {
        assert!(a.get(&param).unwrap().bit_eq(b.get(&param).unwrap()), "{name}");
    }
    Ok(())
}

/// A cell that looks at a memory `[B, M, H]`: additive in the input, multiplicative in the state. The memory and its mask
/// are components of the state that every step returns unchanged.
#[derive(Module)]
struct Attention {
    w: Param,
    q: Param,
}

#[derive(Clone, Tree)]
struct Attending<'t> {
    h: Var<'t>,
    memory: Var<'t>,
}

impl Cell for Attention {
    type State<'t> = Attending<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Attending<'t> {
        Attending { h: cx.zeros([batch, H]), memory: cx.zeros([batch, 5, H]) }
    }

    fn step<'t>(&self, x: Var<'t>, s: Attending<'t>) -> (Var<'t>, Attending<'t>) {
        let query = s.h.matmul(&self.q).unsqueeze(-1);
        let weights = s.memory.matmul(query).squeeze(-1).softmax(-1);
        let read = weights.unsqueeze(1).matmul(s.memory).squeeze(1);
        let h = (x.matmul(&self.w) + read).tanh();
        (h, Attending { h, ..s })
    }
}

fn attention() -> Attention {
    Attention { w: param(&[I, H], 1), q: param(&[H, H], 2) }
}

#[test]
fn attention_over_a_memory_in_the_state() -> Result<()> {
    let net = Rnn::new(attention());
    let cell = &net.layers[0];
    let run = |scan: bool| -> Result<(Tensor, Tensor, Gradients, [Tensor; 2])> {
        let tape = Tape::new();
        let x = tape.var(data(&[T, B, I], 3));
        let memory = tape.var(data(&[B, 5, H], 4));
        let start = Attending { h: tape.zeros([B, H], DType::F64), memory };
        let (y, end) = if scan {
            let (y, mut end) = net.forward_from(&Cx::train(&tape), x, vec![start]);
            (y, end.remove(0))
        } else {
            let mut state = start;
            let mut outputs = Vec::new();
            for t in 0..T {
                let (y, next) = cell.step(x.get(0, t), state);
                state = next;
                outputs.push(y);
            }
            (tape.stack(&outputs, 0), state)
        };
        let loss = y.square().sum() + (end.memory * end.h.unsqueeze(1)).sum();
        let gradients = loss.backward()?;
        let wrt = [x, memory].map(|v| gradients.wrt(v).unwrap().clone());
        Ok((y.value()?, end.memory.value()?, gradients, wrt))
    };
    let (by_scan, by_loop) = (run(true)?, run(false)?);
    close(&by_scan.0, &by_loop.0, 1e-14, "outputs");
    assert!(by_scan.1.bit_eq(&data(&[B, 5, H], 4)), "the memory comes back unchanged");
    for (name, param) in net.params() {
        close(by_scan.2.get(&param).unwrap(), by_loop.2.get(&param).unwrap(), 1e-13, &name);
    }
    close(&by_scan.3[0], &by_loop.3[0], 1e-13, "input");
    close(&by_scan.3[1], &by_loop.3[1], 1e-13, "memory");
    Ok(())
}

#[test]
fn attention_over_a_captured_memory() -> Result<()> {
    let cell = attention();
    let tape = Tape::new();
    let x = tape.var(data(&[T, B, I], 3));
    let memory = tape.var(data(&[B, 5, H], 4));
    let (h0, start) = (tape.zeros([B, H], DType::F64), Attending { h: tape.zeros([B, H], DType::F64), memory });
    // The closure uses the outer value, and so captures it; the carry is `h` alone.
    let (_, y) = tape.scan(h0, x, |h, x| {
        let (y, next) = cell.step(x, Attending { h, memory });
        (next.h, y)
    });
    let net = Rnn::new(cell);
    let (z, _) = net.forward_from(&Cx::train(&tape), x, vec![start]);
    assert!(y.value()?.bit_eq(&z.value()?));
    let (a, b) = (y.square().sum().grad([x, memory]), z.square().sum().grad([x, memory]));
    for (a, b) in a.into_iter().zip(b) {
        close(&a.value()?, &b.value()?, 1e-14, "gradient");
    }
    Ok(())
}

#[test]
fn derivatives_of_attention_equal_differences() -> Result<(), Box<dyn std::error::Error>> {
    let net = Rnn::new(attention());
    let inputs = [data(&[2, B, I], 3), data(&[B, 5, H], 4), data(&[B, H], 5)];
    fn outputs<'t>(net: &Rnn<Attention>, v: &[Var<'t>]) -> Var<'t> {
        let (y, _) = net.forward_from(&Cx::train(v[0].tape()), v[0], vec![Attending { memory: v[1], h: v[2] }]);
        y
    }
    check::gradcheck(|v| outputs(&net, v), &inputs, Default::default())?;
    check::gradgradcheck(|v| outputs(&net, v), &inputs, Default::default())?;
    Ok(())
}

/// A leaky unit whose rate decays with the number of steps, which it counts in integers.
#[derive(Module)]
struct Counting {
    w: Param,
}

impl Cell for Counting {
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        (cx.tape().zeros([batch, 1], DType::I64), cx.zeros([batch, H]))
    }

    fn step<'t>(&self, x: Var<'t>, (count, h): Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        let count = count + 1;
        let h = h + (x.matmul(&self.w).tanh() - h) / count.cast(DType::F64);
        (h, (count, h))
    }
}

#[test]
fn an_integer_counter_in_the_state() -> Result<()> {
    let net = Rnn::new(Counting { w: param(&[I, H], 1) });
    let tape = Tape::new();
    let x = tape.var(data(&[T, B, I], 2));
    let (y, state) = net.forward(&Cx::train(&tape), x);
    assert_eq!(state[0].0.value()?.to_vec::<i64>()?, [T as i64; B]);
    // It computes the running mean.
    let wanted = x.matmul(&net.layers[0].w).tanh().mean_axes(0);
    close(&y.get(0, T - 1).value()?, &wanted.value()?, 1e-14, "the mean");
    let (a, b) = (y.get(0, T - 1).square().sum().grad([x]), wanted.square().sum().grad([x]));
    close(&a[0].value()?, &b[0].value()?, 1e-14, "gradient of the mean");
    // The counter crosses tapes as an integer.
    let carried = Carried::of(&state)?;
    let next = Tape::new();
    let cx = Cx::train(&next);
    let (_, state) = net.forward_from(&cx, next.constant(data(&[T, B, I], 3)), net.resume(&cx, B, &carried)?);
    assert_eq!(state[0].0.value()?.to_vec::<i64>()?, [2 * T as i64; B]);
    Ok(())
}

/// A cell whose output is what `make` says, and whose state is a leaky sum.
struct Odd<F>(F);

impl<F> ParamTree for Odd<F> {
    fn visit_params(&self, _: &mut wengert::autograd::Path, _: &mut dyn FnMut(&wengert::autograd::Path, &Param)) {}
}

impl<F: for<'t> Fn(Var<'t>, Var<'t>) -> (Var<'t>, Var<'t>)> Cell for Odd<F> {
    type State<'t> = Var<'t>;

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Var<'t> {
        cx.zeros([batch, I])
    }

    fn step<'t>(&self, x: Var<'t>, h: Var<'t>) -> (Var<'t>, Var<'t>) {
        self.0(x, h)
    }
}

fn odd<F: for<'t> Fn(Var<'t>, Var<'t>) -> (Var<'t>, Var<'t>)>(f: F) -> Rnn<Odd<F>> {
    Rnn::new(Odd(f))
}

#[test]
fn outputs_without_elements_steps_or_batch() -> Result<()> {
    let net = odd(|x, h| (h.narrow(-1, 0, 0), h * 0.5 + x));
    let tape = Tape::new();
    let x = tape.var(data(&[T, B, I], 1));
    let (y, state) = net.forward(&Cx::train(&tape), x);
    assert_eq!((&*y.value()?.shape().to_vec(), y.sum().item()?), (&[T, B, 0][..], 0.0));
    let [dx] = state[0].sum().grad([x]);
    close(&dx.get(0, 0).value()?, &Tensor::full([B, I], 0.125, DType::F64), 1e-15, "gradient");

    let lstm = Rnn::stack(2, I, |_, input| lstm_cell(input, H, 1));
    for shape in [[0, B, I], [T, 0, I], [0, 0, I]] {
        let tape = Tape::new();
        let x = tape.var(Tensor::zeros(shape, DType::F64));
        let (y, state) = lstm.forward(&Cx::train(&tape), x);
        let gradients = (y.sum() + state[1].1.sum()).backward()?;
        assert_eq!(y.value()?.shape()[..], [shape[0], shape[1], H]);
        assert_eq!(state[1].1.value()?.shape()[..], [shape[1], H]);
        for (name, param) in lstm.params() {
            let zero = gradients.get(&param).is_none_or(|g| g.to_f64_vec().iter().all(|v| *v == 0.0));
            assert!(zero, "{name} with {shape:?}");
        }
    }
    Ok(())
}

#[test]
fn an_output_that_does_not_change_over_time() -> Result<()> {
    let net = odd(|x, h| (h.tape().full([2], 3.0, DType::F64), h + x));
    let tape = Tape::new();
    let (y, _) = net.forward(&Cx::train(&tape), tape.var(data(&[T, B, I], 1)));
    assert_eq!(y.value()?.to_f64_vec(), [3.0; 2 * T]);
    Ok(())
}

#[test]
fn a_wrong_state_is_named_with_its_line() {
    let tape = Tape::new();
    let x = tape.constant(data(&[T, B, I], 1));

    let line = line!() + 1;
    let net = odd(|x, h| (h, h.concat([x], -1)));
    let (y, state) = net.forward(&Cx::train(&tape), x);
    let error = y.value().unwrap_err();
    says(&error, &["the carry starts as", "f64 [2, 3]", "f64 [2, 6]", &format!("cells.rs:{line}")]);
    says(&state[0].value().unwrap_err(), &["the carry"]);

    let net = odd(|x, h| (h, (h + x).cast(DType::F32)));
    let (y, _) = net.forward(&Cx::train(&tape), x);
    says(&y.value().unwrap_err(), &["starts as f64 [2, 3]", "f32 [2, 3]"]);

    let line = line!() + 1;
    let net = odd(|x, h| (h.matmul(x), h));
    let (y, _) = net.forward(&Cx::train(&tape), x);
    says(&y.value().unwrap_err(), &["matmul", "[2, 3] and [2, 3]", ".t()", &format!("cells.rs:{line}")]);
    says(&y.sum().backward().unwrap_err(), &["matmul"]);

    // Of two components, the wrong one is named.
    let cell = Counting { w: param(&[I, H], 1) };
    let state = vec![(tape.zeros([B, 1], DType::I64), tape.zeros([1, H], DType::F64))];
    let (y, _) = Rnn::new(cell).forward_from(&Cx::train(&tape), x, state);
    says(&y.value().unwrap_err(), &["the carry '1'", "f64 [1, 2]", "f64 [2, 2]"]);
}

/// A cell that takes tokens: the rows of a table are its inputs.
#[derive(Module)]
struct Reader {
    table: Param,
    cell: LstmCell,
}

impl Cell for Reader {
    type State<'t> = (Var<'t>, Var<'t>);

    fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> Self::State<'t> {
        self.cell.init(cx, batch)
    }

    fn step<'t>(&self, x: Var<'t>, state: Self::State<'t>) -> (Var<'t>, Self::State<'t>) {
        self.cell.step(x.tape().param(&self.table).index_select(0, x), state)
    }
}

#[test]
fn a_cell_may_take_integers() -> Result<()> {
    let net = Rnn::new(Reader { table: param(&[7, I], 1), cell: lstm_cell(I, H, 2) });
    let plain = Rnn::new(net.layers[0].cell.clone());
    let tokens = Tensor::from_slice(&[6i64, 0, 3, 3, 1, 6], [3, 2])?;
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let (y, _) = net.forward(&cx, tape.constant(&tokens));
    let looked_up = tape.param(&net.layers[0].table).index_select(0, &tokens.reshape([6])?).reshape([3, 2, I]);
    let (z, _) = plain.forward(&cx, looked_up);
    close(&y.value()?, &z.value()?, 1e-15, "outputs");
    let [[a], [b]] = [y, z].map(|y| y.square().sum().grad([&net.layers[0].table]));
    close(&a.value()?, &b.value()?, 1e-14, "table");
    Ok(())
}

#[test]
fn a_stack_finds_the_sizes_of_its_cells() -> Result<()> {
    let mut sizes = Vec::new();
    let net = Rnn::stack(3, 7, |layer, input| {
        sizes.push(input);
        lstm_cell(input, layer + 2, 1)
    });
    assert_eq!(sizes, [7, 2, 3]);
    let tape = Tape::new();
    let (y, _) = net.forward(&Cx::eval(&tape), tape.constant(data(&[T, B, 7], 1)));
    assert_eq!(y.value()?.shape()[..], [T, B, 4]);
    let empty = Rnn::<LstmCell>::from(vec![]);
    let x = tape.constant(data(&[T, B, 7], 1));
    assert!(empty.forward(&Cx::eval(&tape), x).0.value()?.bit_eq(&x.value()?));
    Ok(())
}

/// An error in layer 0 is noted once, as layer 0, however many layers are above.
#[test]
fn an_error_names_the_layer_it_arose_in() {
    let mut rng = StdRng::seed_from_u64(0);
    let net = Rnn::stack(3, 4, |_, input| LstmCell::new(input, 5, &mut rng));
    let tape = Tape::new();
    let x = tape.constant(Tensor::zeros([2, 1, 7], DType::F32));
    let (y, states) = net.forward(&Cx::train(&tape), x);
    let line = line!() - 1;
    for broken in [y, states[2].0] {
        let error = broken.value().unwrap_err().to_string();
        assert_eq!(error.matches("of the network").count(), 1, "{error}");
        assert!(error.contains(&format!(", in layer 0 of the network (at {}:{line}:", file!())), "{error}");
    }
}

/// A stack finds the output size of a cell that takes tokens.
#[test]
fn a_stack_of_token_cells_knows_its_sizes() {
    #[derive(Module)]
    struct Embed {
        table: Param,
    }
    impl Cell for Embed {
        type State<'t> = ();
        fn init<'t>(&self, _: &Cx<'t>, _: usize) {}
        fn step<'t>(&self, x: Var<'t>, (): ()) -> (Var<'t>, ()) {
            (x.tape().param(&self.table).index_select(0, x), ())
        }
    }
    let mut sizes = Vec::new();
    Rnn::stack(2, 8, |_, input| {
        sizes.push(input);
        Embed { table: Param::new(Tensor::zeros([8, 4], DType::F32)) }
    });
    assert_eq!(sizes, [8, 4]);
}

#[test]
fn a_loss_that_depends_on_nothing_and_a_last_step_that_is_not_there() {
    let tape = Tape::new();
    let x = tape.var(Tensor::zeros([0, 3], DType::F32));
    assert!(x.last(0).value().unwrap_err().to_string().starts_with("last: axis 0 of [0, 3] has no entries"));
    let tape = Tape::new();
    let w = tape.var(1.0f32);
    let error = w.detach().square().backward().unwrap_err();
    assert_eq!(error.kind(), wengert::autograd::ErrorKind::Gradient);
}

/// Errors in a cell's step have the line in the step, and say which layer and which call it was.
#[test]
fn a_mistake_in_a_cell_is_addressed() {
    #[derive(Clone, Tree)]
    struct State<'t> {
        h: Var<'t>,
        c: Var<'t>,
    }
    /// Its state grows, or its formula is wrong.
    #[derive(Module)]
    struct Wrong {
        grows: bool,
    }
    const LINE: u32 = line!() + 7;
    impl Cell for Wrong {
        type State<'t> = State<'t>;
        fn init<'t>(&self, cx: &Cx<'t>, batch: usize) -> State<'t> {
            State { h: cx.zeros([batch, 2]), c: cx.zeros([batch, 2]) }
        }
        fn step<'t>(&self, x: Var<'t>, s: State<'t>) -> (Var<'t>, State<'t>) {
            let c = if self.grows { s.c.concat([s.c], -1) } else { s.c };
            let h = if self.grows { s.h } else { x.softmax(3) };
            (h, State { h, c })
        }
    }
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    let x = tape.constant(Tensor::zeros([5, 3, 2], DType::F32));
    let file = file!();
    let called = line!() + 1;
    let (y, _) = Rnn::from(vec![Wrong { grows: false }]).forward(&cx, x);
    let text = y.value().unwrap_err().to_string();
    let start =
        format!("softmax: axis 3 is out of range for shape [3, 2]; axes go from -2 to 1 (at {file}:{}:", LINE + 1);
    assert!(text.starts_with(&start), "{text}");
    assert!(text.contains(&format!("), in layer 0 of the network (at {file}:{called}:")), "{text}");
    let called = line!() + 1;
    let (_, states) = Rnn::from(vec![Wrong { grows: true }]).forward(&cx, x);
    let text = states[0].c.value().unwrap_err().to_string();
    let start = format!(
        "scan_with: the carry 'c' starts as f32 [3, 2] and returns from the step as f32 [3, 4] (recorded at {file}:{LINE}); \
         make the initial state and the step agree (at {file}:{called}:"
    );
    assert!(text.starts_with(&start), "{text}");
}

/// A single step takes no sequence: it would give every row of the state many steps' values.
#[test]
fn a_step_takes_one_step() {
    let net = Rnn::stack(2, 3, |_, input| LstmCell::new(input, 4, &mut StdRng::seed_from_u64(0)));
    let tape = Tape::new();
    let cx = Cx::train(&tape);
    for t in [2, 5] {
        let x = tape.constant(Tensor::zeros([t, 2, 3], DType::F32));
        let line = line!() + 1;
        let (y, states) = net.step(x, net.init(&cx, 2));
        let start = format!(
            "rnn: the input f32 [{t}, 2, 3] turns the state '0' of layer 0 from f32 [2, 4] to f32 [{t}, 2, 4]; \
             give one step [B, I] and a state of B rows; forward takes a sequence (at {}:{line}:",
            file!()
        );
        assert_eq!(states.len(), 2);
        for broken in [y, states[0].0, states[0].1, states[1].1] {
            let text = broken.value().unwrap_err().to_string();
            assert!(text.starts_with(&start), "{text}");
        }
    }
    let (y, _) = net.step(tape.constant(Tensor::zeros([2, 3], DType::F32)), net.init(&cx, 2));
    assert_eq!(y.shape().unwrap()[..], [2, 4]);
}

/// The guide shows the cell that the example trains, and that its other snippets include.
#[test]
fn the_cell_of_the_guide_is_that_of_the_example() {
    let guide = include_str!("../docs/custom-cells.md");
    let cell = include_str!("../examples/custom_cell/cell.rs");
    assert!(guide.contains(&format!("```rust\n{cell}```")), "docs/custom-cells.md shows another cell");
}
