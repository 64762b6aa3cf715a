//! The report, opened in Chromium where there is one (`CHROME` names it; else the usual names are tried).

use rand::{SeedableRng, rngs::StdRng};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use wengert_autograd::{DType, ParamTree, Tape, Tensor};
use wengert_nn::{Cx, Linear, LstmCell, Rnn, explain, loss, watch};
use wengert_optim::{Adam, clip_grad_norm};
use wengert_train::{Log, Report, Seeds};

/// Reads the drawn page and writes what it finds as lines into the page itself.
const PROBE: &str = "<script>
const lines = [];
const tell = (name, value) => lines.push(name + '\\t' + value);
const all = query => [...document.querySelectorAll(query)];
tell('drawn', document.body.dataset.drawn);
tell('problem', document.getElementById('problem').textContent);
tell('sections', all('h2').map(e => e.textContent).join('|'));
tell('charts', all('.chart h3').map(e => e.textContent).join('|'));
tell('parts', all('.chart').map(e => e.querySelectorAll('path.curve').length).join('|'));
tell('gaps', all('.chart').map(e => e.querySelectorAll('line.gap').length).join('|'));
tell('logarithmic', all('.chart input').map(e => e.checked).join('|'));
tell('strange', all('#strange tr').map(e => e.textContent).join('|'));
tell('maps', all('.heat h3').map(e => e.textContent).join('|'));
tell('cells', all('.heat canvas').map(e => e.dataset.cells).join('|'));
const pixel = (canvas, x, y) => canvas.getContext('2d').getImageData(x, y, 1, 1).data.join(' ');
const corners = c => [[0, c.height - 1], [0, 0], [c.width - 1, c.height - 1], [c.width - 1, 0]].map(([x, y]) => pixel(c, x, y)).join(', ');
tell('corners', all('.heat canvas').map(corners).join('|'));
tell('saturation', all('.saturation').map(e => e.textContent).join('|'));
tell('equations', all('.equations tr').map(e => e.textContent).join('|'));
tell('edges', all('.graph path.edge').map(e => e.dataset.edge).join('|'));
tell('elements', all('main b').length);
tell('outside', all('[src], [href], link, img, iframe').length);
tell('wide', document.documentElement.scrollWidth > document.documentElement.clientWidth);
// Keys move the cursor of a chart and of a map.
const press = (element, key) => element.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
all('.chart svg').slice(0, 1).forEach(e => press(e, 'ArrowRight'));
all('.chart output').slice(0, 1).forEach(e => tell('chart says', e.textContent));
all('.plot').slice(0, 1).forEach(e => press(e, 'ArrowLeft'));
all('.heat output').slice(0, 1).forEach(e => tell('map says', e.textContent));
const found = document.createElement('pre');
found.id = 'found';
found.textContent = lines.join('\\n');
document.body.append(found);
</script></body>";

/// Which derivatives of an LSTM come from which, with `∂L/∂` left out.
const EDGES: &str = "hₜ → cₜ|cₜ → z₃|hₜ → z₄|cₜ → z₂|cₜ → z₁|z₃ → z|z₄ → z|z₂ → z|z₁ → z|\
                     z → hₜ₋₁|cₜ → cₜ₋₁|z → xₜ|z → w|z → u|z → b";

/// The browser; says, past the capture of the test's output, if there is none.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell"];
    let paths: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let usual = names.iter().flat_map(|name| paths.iter().map(move |path| path.join(name)));
    let mac = PathBuf::from("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    let found =
        std::env::var_os("CHROME").map(PathBuf::from).or_else(|| usual.chain([mac]).find(|path| path.is_file()));
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: there is no Chromium here, and CHROME names none");
    }
    found
}

/// What the probe finds in a page that is `width` pixels wide.
fn open(browser: &Path, page: &str, width: usize) -> HashMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.html");
    std::fs::write(&path, page.replace("</body>", PROBE)).expect("it is written");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", browser.display()));
    let dom = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let found = dom.split_once("<pre id=\"found\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (found, _) = found.unwrap_or_else(|| panic!("the probe has not run: {said}\n{dom}"));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    found.lines().filter_map(|line| line.split_once('\t')).map(|(name, value)| (name.into(), value.into())).collect()
}

fn report() -> Report {
    let mut report = Report::new("A <b>bold</b> run & more</script>");
    let cell = LstmCell::new(3, 4, &mut StdRng::seed_from_u64(0));
    report
        .config("seed", 42)
        .config("<b>name</b>", "<b>\"quoted\"</b> ∂🙂")
        .model(&cell)
        .equations(&explain(&cell, 3).expect("it can be explained"));
    for step in 0..10 {
        let loss = if step == 4 { f64::NAN } else { 1.0 / (step + 1) as f64 };
        let fast = 10f64.powi(-(step as i32));
        report.log(step, &[("loss/train", loss), ("loss/test", 1.0), ("rate", fast)]).expect("no file");
        // The gradient vanishes towards t = 1, less and less so.
        let norms: Vec<f64> = (0..6).map(|t| (10.0f64).powi((t - 5) * (10 - step as i32) / 5)).collect();
        report.flow(step, "h", &norms);
        report.flow(step, "c", &[1.0, if step == 9 { f64::INFINITY } else { 1e-10 }, 0.0]);
        let open = if step == 9 { [1.0, 0.96, 0.5, 0.0] } else { [0.5; 4] };
        report.gate(step, "f", &Tensor::from_slice(&open, [4]).expect("four values"));
    }
    report.gate(0, "g", &Tensor::full([3], -1.0, DType::F32));
    report
}

#[test]
fn a_browser_draws_the_report() {
    let Some(browser) = browser() else { return };
    for width in [1200, 400] {
        let found = open(&browser, &report().html(), width);
        let is = |name: &str, wanted: &str| assert_eq!(found[name], wanted, "{name}, {width} px: {found:#?}");
        is("drawn", "whole");
        is("problem", "");
        is(
            "sections",
            "Curves|Not finite|Gradients through time|Gates|The cell|The backward graph|Configuration|Parameters|Environment",
        );
        is("charts", "loss|rate");
        // The loss has a gap in one of its two curves.
        is("parts", "3|1");
        is("gaps", "1|0");
        is("logarithmic", "false|true");
        is("strange", "loss/train1 value: NaN at step 4|∂L/∂c1 value: inf at step 9");
        is("maps", "‖∂L/∂h‖|‖∂L/∂c‖|gate f|gate g");
        is("cells", "60|30|200|40");
        // Bottom and top of the first column, then of the last. The first step of time is at the bottom. 1 is bright, 1e-10 and 0
        // are dark, 0.1 is nine tenths of the way, in viridis.
        let corners: Vec<&str> = found["corners"].split('|').collect();
        let (dark, bright) = ("68 1 84 255", "253 231 37 255");
        assert_eq!(corners[0], format!("{dark}, {bright}, 187 222 47 255, {bright}"));
        assert_eq!(corners[1], format!("{bright}, {dark}, {bright}, {dark}"));
        // In the end a quarter of the values is in the lowest of the bins, half in the highest; the scale is that of the root.
        assert_eq!(corners[2], format!("{dark}, {dark}, 33 144 141 255, 74 191 109 255"));
        assert_eq!(corners[3], format!("{bright}, {dark}, {bright}, {dark}"));
        is(
            "saturation",
            "At the end 25 % are below 0.1, 50 % above 0.9.|At the end 100 % are below -0.9, 0 % above 0.9.",
        );
        assert!(found["equations"].contains("∂L/∂w=Σₜ xₜᵀ·"), "{found:#?}");
        assert_eq!(found["edges"].replace("∂L/∂", ""), EDGES);
        is("elements", "0");
        is("outside", "0");
        is("wide", "false");
        is("chart says", "step 0: train 1, test 1");
        is("map says", "step 8, t = 6: 1");
    }
    let found = open(&browser, &Report::new("nothing").html(), 1200);
    assert_eq!((&*found["drawn"], &*found["problem"], &*found["sections"]), ("whole", "", "Environment"));
    // A mistake in the script is seen.
    let broken = report().html().replace("if (data.gates.length)", "if (data.portals.length)");
    let found = open(&browser, &broken, 1200);
    assert!(found["problem"].contains("This page could not be drawn whole") && found["drawn"] != "whole", "{found:#?}");
}

/// The report of a training, with what `watch` sees of it.
fn trained() -> wengert_train::Result<Report> {
    const STEPS: usize = 12;
    let mut rng = Seeds::new(3).rng("weights");
    let net = (Rnn::new(LstmCell::new(1, 8, &mut rng).with_forget_bias(1.0)), Linear::new(8, 1, &mut rng));
    let mut adam = Adam::new(1e-2);
    let mut report = Report::new("An LSTM that remembers what was first");
    report.config("seed", 3).model(&net).equations(&explain(&net.0.layers[0], 1)?);
    let values: Vec<f32> = (0..STEPS * 4).map(|i| if i < 4 { i as f32 - 1.5 } else { 0.0 }).collect();
    let x = Tensor::from_vec(values.clone(), [STEPS, 4, 1])?;
    let y = Tensor::from_slice(&values[..4], [4, 1])?;
    for step in 0..20 {
        let tape = Tape::new();
        let (h, _) = net.0.forward(&Cx::train(&tape), tape.constant(&x));
        let mut gradients = loss::mse(net.1.forward(h.last(0)), &y).backward()?;
        drop(tape);
        let norm = clip_grad_norm(&net, &mut gradients, 1.0)?;
        let before = net.snapshot();
        adam.step(&net, &gradients)?;
        report.log(step, &[("loss", gradients.loss().item()?), ("gradient norm", norm), ("learning rate", adam.lr)])?;
        report.updates(step, &net, &before);
        let tape = Tape::new();
        let gates = ["i", "f", "o"];
        let watched =
            watch(&net.0, &Cx::eval(&tape), tape.constant(&x), &gates, |h| loss::mse(net.1.forward(h.last(0)), &y))?;
        report.watch(step, &watched);
    }
    Ok(report)
}

/// What must hold of the page of any run that was watched.
fn assert_drawn(browser: &Path, page: &str) {
    for width in [1200, 400] {
        let found = open(browser, page, width);
        let is = |name: &str, wanted: &str| assert_eq!(found[name], wanted, "{name}, {width} px: {found:#?}");
        is("drawn", "whole");
        is("problem", "");
        is(
            "sections",
            "Curves|Gradients through time|Gates|The cell|The backward graph|Configuration|Parameters|Environment",
        );
        is("charts", "loss|gradient norm|learning rate|update ratio");
        is("maps", "‖∂L/∂h‖|‖∂L/∂c‖|gate i|gate f|gate o");
        is("outside", "0");
        is("wide", "false");
        // Of each state the gradient is greatest somewhere and least somewhere else.
        for map in found["corners"].split('|').take(2) {
            let corners: Vec<&str> = map.split(", ").collect();
            assert!(corners.iter().any(|corner| *corner != corners[0]), "{found:#?}");
        }
        assert!(found["saturation"].matches("At the end").count() == 3, "{found:#?}");
        assert_eq!(found["edges"].replace("∂L/∂", ""), EDGES);
    }
}

#[test]
fn a_browser_draws_a_run_that_was_watched() {
    let Some(browser) = browser() else { return };
    let report = trained().expect("it trains");
    assert_drawn(&browser, &report.html());
    // Every component of the state, at every step.
    let found = open(&browser, &report.html(), 1200);
    assert!(found["cells"].starts_with(&format!("{0}|{0}|", 20 * 12)), "{found:#?}");
}

/// `WENGERT_REPORT` names the page that `examples/report.rs` has written.
#[test]
fn a_browser_draws_the_page_of_the_example() {
    let (Some(path), Some(browser)) = (std::env::var_os("WENGERT_REPORT"), browser()) else { return };
    assert_drawn(&browser, &std::fs::read_to_string(path).expect("the example has written it"));
}
