//! Recordings and programs as text and graphs, and their times.

use std::collections::HashSet;
use wengert_autograd::{DType, ErrorKind, Param, ParamTree, Pass, Path, Tape, Tensor, Var};

/// A loop `h = tanh(x·w + h·u)` of 4 steps, for 3 sequences, and the sum of its states.
fn recurrent<'t>(tape: &'t Tape, w: &Param, u: &Param) -> Var<'t> {
    tape.name_params(&Named(w, u));
    let x = tape.constant(Tensor::full([4, 3, 2], 0.1, DType::F32)).named("x");
    let (_, ys) = tape.scan(tape.zeros([3, 5], DType::F32), x, |h, x| {
        let h = (x.matmul(w) + h.matmul(u)).tanh().named("h");
        (h, h)
    });
    ys.sum()
}

/// Two parameters as a module.
struct Named<'a>(&'a Param, &'a Param);

impl ParamTree for Named<'_> {
    fn visit_params(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, &Param)) {
        path.within("w", |path| visit(path, self.0));
        path.within("u", |path| visit(path, self.1));
    }
}

fn params() -> (Param, Param) {
    let filled = |shape: [usize; 2]| Param::new(Tensor::full(shape, 0.2, DType::F32));
    (filled([2, 5]), filled([5, 5]))
}

#[test]
fn a_tape_as_text() {
    let (w, u) = params();
    let tape = Tape::new();
    let loss = recurrent(&tape, &w, &u);
    let _ = loss.grad([&w]);
    let text = format!("{tape:?}");
    let lines: Vec<&str> = text.lines().map(|line| line.split("  at ").next().unwrap()).collect();
    let expected = [
        "%0 = leaf() 'x' : f32[4, 3, 2]",
        "%1 = literal(0) : f32[]",
        "%2 = expand(%1) : f32[3, 5]",
        "  %3 = port(carry 0 of %11) : f32[3, 5]",
        "  %4 = port(item 0 of %11) : f32[3, 2]",
        "%5 = leaf() 'w' : f32[2, 5]",
        "  %6 = matmul(%4, %5) : f32[3, 5]",
        "%7 = leaf() 'u' : f32[5, 5]",
        "  %8 = matmul(%3, %7) : f32[3, 5]",
        "  %9 = add(%6, %8) : f32[3, 5]",
        "  %10 = tanh(%9) 'h' : f32[3, 5]",
        "%11 = scan(4 steps; from %2; next %10; over %0; uses %5, %7) : bool[]",
        "%12 = final(carry 0 of %11) : f32[3, 5]",
        "%13 = tap(%11 of %10) : f32[4, 3, 5]",
        "%14 = sum(%13; axes [0, 1, 2]) : f32[]",
    ];
    assert_eq!(lines[..15], expected, "{text}");
    assert!(text.lines().nth(10).unwrap().contains(&format!("  at {}:", file!())), "{text}");
    // What the derivative recorded says of what.
    assert!(text.contains("= scan(4 steps backwards; from "), "{text}");
    let of_tanh = |line: &str| line.contains(" = square(") && line.ends_with("  backward of %10");
    assert!(text.lines().any(of_tanh), "{text}");
    assert!(text.lines().any(|line| line.contains(" = permute(") && line.contains("; [1, 0])")), "{text}");
}

#[test]
fn a_program_says_what_was_fused_what_left_the_loop_and_what_it_costs() {
    let (w, u) = params();
    let tape = Tape::new();
    let loss = recurrent(&tape, &w, &u);
    let [dw, du] = loss.grad([&w, &u]);
    let program = tape.program(&[loss, dw, du]).unwrap();
    let text = format!("{program:#}");
    let of = |kind: &str| program.instructions.iter().filter(|i| i.kind == kind).collect::<Vec<_>>();

    // The input projection has left the loop: one product over 4 steps of 3 sequences.
    let products = of("matmul");
    let left: Vec<_> = products.iter().filter(|i| i.left_loop).collect();
    assert_eq!(left.len(), 1, "{text}");
    assert_eq!((left[0].calls, left[0].flops), (1, 2 * 12 * 2 * 5));
    assert_eq!(left[0].bytes_read, 4 * (12 * 2 + 2 * 5));
    // The recurrent products are packed, and run at every step.
    let inside: Vec<_> = products.iter().filter(|i| i.place.contains('.')).collect();
    assert_eq!(inside.len(), 2, "{text}");
    assert!(inside.iter().all(|i| i.packed && i.calls == 4 && i.flops == 2 * 3 * 5 * 5), "{text}");
    // The gradients of the weights are one product each, over all steps.
    let sums: Vec<_> = products.iter().filter(|i| !i.place.contains('.') && !i.left_loop).collect();
    assert_eq!(sums.iter().map(|i| i.flops).collect::<Vec<_>>(), [2 * 5 * 12 * 5, 2 * 2 * 12 * 5], "{text}");
    assert!(sums.iter().all(|i| i.operations.iter().all(|op| op.pass == Pass::Backward)));

    let forward = of("elementwise").into_iter().find(|i| i.operations.iter().any(|op| op.name == "tanh")).unwrap();
    assert_eq!(forward.operations.iter().map(|op| op.name).collect::<Vec<_>>(), ["add", "tanh"]);
    assert_eq!((forward.flops, forward.bytes_read, forward.bytes_written), (30, 2 * 60, 60));
    assert_eq!(forward.operations.iter().map(|op| op.stored).collect::<Vec<_>>(), [false, true]);
    assert!(forward.operations[1].value.ends_with("'h'"));

    let loops = of("loop");
    assert_eq!(loops.iter().map(|i| i.steps).collect::<Vec<_>>(), [Some(4), Some(4)]);
    assert_eq!(loops[0].flops, 4 * (2 * 3 * 5 * 5 + 30));
    let simple = program.instructions.iter().filter(|i| i.steps.is_none());
    assert_eq!(program.flops(), simple.map(|i| i.calls * i.flops).sum::<u64>());
    assert_eq!(program.output_bytes, 4 * (1 + 10 + 25));
    for part in ["left its loop", "packed", "loop of 4 steps", "'h' = fused 2(", "(not stored)", "backward", "FLOP"] {
        assert!(text.contains(part), "'{part}' is not in\n{text}");
    }

    let elsewhere = Tape::new();
    assert_eq!(tape.program(&[elsewhere.var(1.0f64)]).unwrap_err().kind(), ErrorKind::Scope);
}

/// Checks the statements of a graph: quotes and braces match, and edges join nodes that are declared.
fn check_dot(text: &str, nodes: usize) {
    let mut depth = 0;
    let mut declared: HashSet<String> = HashSet::new();
    let mut edges = Vec::new();
    for line in text.lines().map(str::trim) {
        let mut quoted = false;
        let mut escaped = false;
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                '{' if !quoted => depth += 1,
                '}' if !quoted => depth -= 1,
                _ => {}
            }
        }
        assert!(!quoted, "an open quote: {line}");
        let statement = line.split(" [").next().unwrap().trim_end_matches(';');
        if let Some((from, to)) = statement.split_once(" -> ") {
            edges.push((from.to_string(), to.to_string()));
        } else if line.contains("[label=") {
            assert!(declared.insert(statement.to_string()), "declared twice: {line}");
        }
    }
    assert_eq!(depth, 0, "{text}");
    assert!(text.starts_with("digraph ") && declared.len() == nodes && !edges.is_empty(), "{text}");
    for (from, to) in edges {
        assert!(declared.contains(&from) && declared.contains(&to), "{from} -> {to} in {text}");
    }
}

#[test]
fn graphs_are_well_formed() {
    let (w, u) = params();
    let tape = Tape::new();
    let loss = recurrent(&tape, &w, &u).named("a \"quoted\" \\ name\nof two lines");
    let [dw, du] = loss.grad([&w, &u]);
    let scans = format!("{tape:?}").matches("= scan(").count();
    check_dot(&tape.dot(), tape.len() - scans);
    let program = tape.program(&[loss, dw, du]).unwrap();
    check_dot(&program.dot(), program.instructions.iter().filter(|i| i.steps.is_none()).count());
    assert_eq!(program.dot().matches("subgraph cluster_").count(), 2);
}

#[test]
fn a_profile_counts_what_the_program_lists() {
    let (w, u) = params();
    let tape = Tape::new().profiled();
    let loss = recurrent(&tape, &w, &u);
    let [dw, du] = loss.grad([&w, &u]);
    let program = tape.program(&[loss, dw, du]).unwrap();
    assert_eq!(tape.profile().runs, 0);
    tape.eval([loss, dw, du]).unwrap();
    let mut profile = tape.profile();
    assert_eq!(profile.runs, 1);

    let kinds = profile.by_kind();
    let calls = |name: &str| kinds.iter().find(|entry| entry.name == name).map(|entry| entry.calls);
    for kind in ["matmul", "elementwise", "loop", "reduce"] {
        let listed: u64 = program.instructions.iter().filter(|i| i.kind == kind).map(|i| i.calls).sum();
        assert_eq!(calls(kind), Some(listed), "{kind}");
    }
    for table in [profile.by_kind(), profile.by_instruction(), profile.by_line()] {
        assert!(table.is_sorted_by(|a, b| a.time >= b.time));
        // What is divided among lines loses its remainder.
        let flops: u64 = table.iter().map(|entry| entry.flops).sum();
        assert!(flops <= program.flops() && flops + 64 > program.flops(), "{flops} and {}", program.flops());
        let time = table.iter().map(|entry| entry.time).sum::<std::time::Duration>();
        assert!(time <= profile.running);
    }
    // The line of the cell has products and elementwise operations of both passes.
    let lines = profile.by_line();
    let cell = lines.iter().max_by_key(|entry| entry.flops).unwrap();
    assert!(cell.name.starts_with(file!()), "{}", cell.name);
    assert_eq!(cell.passes, [Pass::Forward, Pass::Backward]);

    let text = profile.to_string();
    for part in ["by kind", "by instruction", "by line", "fused 2: add tanh [3, 5]", "GFLOP/s"] {
        assert!(text.contains(part), "'{part}' is not in\n{text}");
    }
    // Steps add up.
    let other = profile.clone();
    profile.add(&other);
    assert_eq!((profile.runs, profile.by_kind()[0].calls), (2, 2 * other.by_kind()[0].calls));
}
