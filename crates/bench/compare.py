#!/usr/bin/env python3
"""Sets wengert against other systems at the same work, and prints tables of ratios.

    python crates/bench/compare.py --modes train --shapes mid128,wide512 --threads 1 2 --rounds 5

Builds wengert-bench once. Then every round runs wengert and each peer after one another, each in a process of its own, so that
a change of the machine's speed meets all of them; every other round in the opposite order. A ratio is taken within a round;
tables give the median of the rounds and, in brackets, the least and the greatest.

With --write FILE each table replaces what stands in FILE between `<!-- compare:MODE -->` and `<!-- end:MODE -->`.
Needs a Python with torch and numpy (onnxruntime for what runs in it); see peers/run.py. The mode `further` has peers that are
slow to get or to start: --jax, --compiled (torch.compile, which needs a C++ compiler and minutes for a long loop), --rust (candle
and burn, which cargo downloads and builds).
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
RUNNER = TARGET / "release" / "wengert-bench"
# Peers in Rust: a project of its own.
RUST = ("candle_lstm", "burn_lstm")
RUST_PROJECT = HERE / "peers" / "rust"
RUST_TARGET = TARGET / "peers"
# Peers that have no f64.
SINGLE = ("onnx", "jax", "burn")

# A contest: wengert's systems in one process, and the peers, each (mode, system) of peers/run.py in a process of its own.
CONTESTS = {
    "train": {
        "wengert_lstm": [("train", "torch_lstm")],
        "wengert_custom": [("train", "torch_cell")],
    },
    # As main fills it.
    "further": {"wengert_lstm": [], "wengert_custom": []},
    "cells": {
        "wengert_lstm": [("train", "torch_lstm")],
        "wengert_custom": [("train", "torch_cell")],
        "wengert_gru": [("train", "torch_gru")],
        "wengert_nn_gru": [("train", "torch_gru")],
        "wengert_layer_norm": [("train", "torch_layer_norm")],
        "wengert_peephole": [("train", "torch_peephole")],
        "wengert_multiplicative": [("train", "torch_multiplicative")],
        "wengert_attention": [("train", "torch_attention")],
    },
    "infer": {
        "wengert_step": [("infer", "torch_cell_step"), ("infer", "torch_step"), ("infer", "onnx_step")],
        "wengert_sequence": [("infer", "torch_sequence"), ("infer", "onnx_sequence")],
    },
    "unrolled": {"wengert_unrolled": [("train", "torch_cell")]},
    "custom": {"wengert_gradient,wengert_hvp": [("custom", "torch_gradient"), ("custom", "torch_hvp")]},
    "ops": {"wengert": [("ops", "all")]},
    "gemm": {"wengert": [("gemm", "torch")]},
    "optim": {
        "wengert_sgd": [("optim", "torch_sgd"), ("optim", "torch_sgd_fused")],
        "wengert_sgd_momentum": [("optim", "torch_sgd_momentum"), ("optim", "torch_sgd_momentum_fused")],
        "wengert_adam": [("optim", "torch_adam"), ("optim", "torch_adam_fused")],
        "wengert_adamw": [("optim", "torch_adamw"), ("optim", "torch_adamw_fused")],
        "wengert_clip": [("optim", "torch_clip")],
    },
    "memory": {"wengert_lstm": [("memory", "torch_lstm")]},
    "long": {"wengert_kept,wengert_budget": []},
    "scaling": {"wengert_lstm": []},
}
SHAPES = {
    "train": "adding,seed,online32,small64,mid128,ptb200,wide512,ptb650,long1k",
    "further": "seed,small64,mid128",
    "cells": "mid128",
    "infer": "100x1x128x128x1,mid128",
    "unrolled": "adding,seed,online32,small64,mid128",
    "custom": "mid128",
    "gemm": "small64,mid128,ptb200,wide512,ptb650",
    "memory": "wide512,ptb650,long1k,10000x8x64x128x1",
    "long": "1000x1x2x128x1,10000x1x2x128x1,100000x1x2x128x1",
    "scaling": "small64,mid128,ptb200,wide512,ptb650",
}
# Modes whose operands have one size, and modes that compare the shapes, or have rows of none, in one process.
SHAPELESS = ("ops", "optim")
JOINED = ("long", "scaling")
# Modes whose process takes no --systems: all in one, or known by what follows `wengert_`.
WHOLE = ("ops", "gemm", "unrolled", "custom")
# Modes of wengert-bench that have another name, and element types if none are asked for.
RUNNERS = {"cells": "train", "further": "train"}
DTYPES = {"cells": ["f32", "f64"]}
# Columns of wengert's own, after its time.
OWN = {
    "unrolled": [("loop / scan", "ratio")],
    "custom": [("ratio to the first", "ratio")],
    "ops": [("ns / element", "ns_element"), ("GB/s", "gb_s")],
    "gemm": [("M×K×N", "MxKxN"), ("GFLOP/s", "gflops"), ("share of FMA peak", "share")],
    "memory": [("ms", "ms"), ("µs / time step", "us_per_t"), ("KiB / time step", "kib_per_t")],
    "optim": [("ns / parameter", "ns_parameter")],
    "long": [
        ("µs / time step", "us_per_t"), ("to the shortest", "linear"), ("to kept", "to_first"),
        ("MiB", "peak_mib"), ("KiB / time step", "kib_per_t"),
    ],
    "scaling": [
        ("on", "on"), ("gain", "gain"), ("gain of FMA loops", "fma_gain"), ("share", "share"),
        ("nodes", "nodes"), ("ns / node", "ns_node"), ("µs / node", "us_node"),
    ],
}
# Of them those that are ratios of neighbouring runs, and have a spread.
RATIOS = ("ratio", "gain", "share", "linear", "to_first")
# What both sides must find alike, by mode: small layers, on several threads one that is shared, and extents that are all different.
CHECKED = ("train", "further", "cells", "infer", "unrolled", "custom", "optim")
CHECKED_SHAPES = {1: "seed,7x3x6x6x1", 2: "seed,20x32x48x64x1"}
METRIC = {"memory": ("peak_mib", "MiB")}


def run(command, **environment):
    """The rows that a process prints."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Sides:
    """How processes are started, the same for both sides."""

    def __init__(self, options):
        self.options = options
        self.prefix = []
        if options.priority:
            chrt = shutil.which("chrt")
            if chrt and subprocess.run([chrt, "-f", "50", "true"], capture_output=True).returncode == 0:
                self.prefix = [chrt, "-f", "50"]
            else:
                print("no --priority: `chrt -f 50` is missing or not permitted; all sides run without", file=sys.stderr)

    def common(self, shape, threads, dtype, check):
        options = self.options
        arguments = ["--threads", threads, "--budget", options.budget, "--runs", options.runs, "--dtype", dtype]
        return [str(a) for a in arguments + (["--shapes", shape] if shape else []) + (["--check"] if check else [])]

    def wengert(self, mode, systems, shape, threads, dtype, check=False):
        chosen = [] if mode in WHOLE else ["--systems", systems]
        runner = RUNNERS.get(mode, mode)
        return run([*self.prefix, str(RUNNER), runner, *chosen, "--json", *self.common(shape, threads, dtype, check)])

    def peer(self, mode, system, shape, threads, dtype, check=False):
        prefix = self.prefix
        if system == "jax_scan" or system in RUST:
            # XLA takes as many threads as there are processors for it, and so do parts of the others.
            prefix = [*prefix, "taskset", "-c", f"0-{threads - 1}"]
        script = [self.options.python, str(HERE / "peers" / "run.py")]
        if system in RUST:
            script = [str(RUST_TARGET / "release" / "wengert-peers")]
        arguments = [mode, "--systems", system, *self.common(shape, threads, dtype, check)]
        return run([*prefix, *script, *arguments], RAYON_NUM_THREADS=str(threads))


def key(row):
    """What a row is about, within a contest."""
    return row.get("op") or row["system"], row.get("shape"), row.get("on")


def check(sides, mode, ours, peers, threads):
    """Refuses to time different work: with the same weights and input both sides must find the same."""
    shape = None if mode in SHAPELESS else CHECKED_SHAPES[min(threads, 2)]
    found = {None: sides.wengert(mode, ours, shape, threads, "f64", check=True)}
    for kind, system in peers:
        if system.startswith("onnx"):
            continue
        dtype = "f32" if system.startswith(SINGLE) else "f64"
        # The library's GRU has one bias where PyTorch adds two.
        known_as = system + ("_one_bias" if ours == "wengert_nn_gru" else "")
        found[system] = sides.peer(kind, known_as, shape, threads, dtype, check=True)
    keyed = {side: {key(row): row for row in rows} for side, rows in found.items()}
    for name, own in keyed[None].items():
        others = list(opponents(mode, name, keyed))
        if len(others) != len(found) - 1 and mode != "custom":
            sys.exit(f"{name}: {len(others)} of {len(found) - 1} peers tell what they find")
        for other in others:
            single = other["system"].startswith(SINGLE)
            values = [each for each in own if each == "loss" or each.endswith(("_norm", "_sum"))]
            for each in values:
                if not math.isclose(own[each], other[each], rel_tol=1e-4 if single else 1e-10):
                    sys.exit(f"{name} and {other['system']} differ in their {each}: {own} {other}")


def check_onnx(sides):
    """The model that ONNX Runtime is given must be PyTorch's LSTM."""
    script = [sides.options.python, str(HERE / "peers" / "run.py"), "infer", "--systems", "onnx_step"]
    found = run([*script, "--shapes", "seed", "--check"])[0]["difference"]
    if not found < 1e-5:
        sys.exit(f"onnxruntime and torch differ by {found} with the same weights")


def measure(sides, mode, ours, peers, shape, threads, dtype):
    """By key: the rows of wengert and of each peer, one a round."""
    found = {}
    for turn in range(sides.options.rounds):
        order = [None, *peers] if turn % 2 == 0 else [*reversed(peers), None]
        for side in order:
            at = (shape, threads, dtype)
            rows = sides.wengert(mode, ours, *at) if side is None else sides.peer(*side, *at)
            for row in rows:
                found.setdefault(side, {}).setdefault(key(row), []).append(row)
        print(f"{mode} {shape or ''} {threads} thread(s) {dtype}: round {turn + 1}", file=sys.stderr)
    return found


def opponents(mode, own, found):
    """The peers' rows that stand against one of wengert's."""
    for side, rows in found.items():
        if side is None:
            continue
        for name, row in rows.items():
            same = name[1] == own[1]
            if mode in ("ops", "gemm"):
                # A peer packs, and calls its threads, for each product.
                same = same and name[0] == own[0].removesuffix("_packing")
            if mode == "custom":
                same = same and own[0].removeprefix("wengert_") == name[0].removeprefix("torch_")
            if mode == "unrolled":
                same = same and own[0] == "wengert_unrolled"
            if same:
                yield row


def digits(value):
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return str(value)
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def spread(values):
    return f"{digits(statistics.median(values))} ({digits(min(values))}–{digits(max(values))})"


def middle(rows, name):
    values = [row.get(name) for row in rows]
    return values[0] if not isinstance(values[0], float) else statistics.median(values)


def lines(mode, found, threads, dtype):
    """The rows of a table."""
    metric, _ = METRIC.get(mode, ("ms", "ms"))
    for own, rows in found[None].items():
        first = rows[0]
        cells = [first.get("shape", ""), first.get("op") or first["system"], str(threads), dtype]
        cells.append(digits(middle(rows, metric)))
        for _, name in OWN.get(mode, []):
            value = middle(rows, name)
            ratio = name in RATIOS and len(rows) > 1
            cells.append(spread([row[name] for row in rows]) if ratio and value is not None else digits(value))
        against = list(opponents(mode, own, found))
        for other in against or [None]:
            if len(found) == 1:
                yield cells
            elif other is None:
                yield [*cells, "", "", ""]
            else:
                ratios = [theirs[metric] / ours[metric] for ours, theirs in zip(rows, other)]
                yield [*cells, other[0]["system"], digits(middle(other, metric)), spread(ratios)]


def head(mode, versus):
    _, unit = METRIC.get(mode, ("ms", "ms"))
    cells = ["shape", "wengert", "threads", "type", unit, *(title for title, _ in OWN.get(mode, []))]
    return cells + (["peer", unit, "peer / wengert"] if versus else [])


def table(names, rows):
    """Markdown, without columns that are empty throughout."""
    kept = [i for i in range(len(names)) if any(row[i] for row in rows)]
    line = lambda cells: "| " + " | ".join(cells[i] for i in kept) + " |"
    return "\n".join([line(names), "|" + "---|" * len(kept), *map(line, rows)])


def text_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def circumstances(options, sides):
    """Machine, versions and date."""
    model = platform.processor() or platform.machine()
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        field = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in reversed(info) if ":" in line}
        model = f"{field['model name']} (family {field['cpu family']}, model {field['model']})"
        flags = field.get("flags", "").split()
        model += ", AVX-512" if "avx512f" in flags else ", AVX2" if "avx2" in flags else ""
    except (OSError, KeyError):
        pass
    peers = run([options.python, str(HERE / "peers" / "run.py"), "versions"])[0]
    dirty = "+" if text_of(["git", "status", "--porcelain", "--", "crates", "src", "Cargo.lock"]) else ""
    versions = {"wengert": text_of(["git", "rev-parse", "--short", "HEAD"]) + dirty}
    if options.rust:
        manifest = (RUST_PROJECT / "Cargo.toml").read_text()
        peers |= dict(re.findall(r'^(burn|candle-core).*?"=([0-9.]+)"', manifest, re.MULTILINE))
    versions["rustc"] = text_of(["rustc", "--version"]).split(" ")[1:2][0]
    listed = ", ".join(f"{name} {version}" for name, version in (versions | peers).items())
    load = f"{os.getloadavg()[0]:.1f}"
    priority = "; all sides at real-time priority" if sides.prefix else ""
    today = datetime.date.today().isoformat()
    return (
        f"{today}; {model}, {os.cpu_count()} processors, load {load} before{priority}; "
        f"{platform.system()} {platform.release().split('-')[0]}; {listed}."
    )


def write(path, mode, block):
    """Replaces what stands between the marks of a mode."""
    text = path.read_text()
    start, end = f"<!-- compare:{mode} -->", f"<!-- end:{mode} -->"
    if start not in text or end not in text:
        sys.exit(f"{path} has no place for '{mode}': {start} .. {end}")
    before, rest = text.split(start, 1)
    path.write_text(before + start + "\n" + block + "\n" + end + rest.split(end, 1)[1])


def command(mode, options):
    """What repeats a table."""
    said = [f"python crates/bench/compare.py --modes {mode}"]
    for name in ("systems", "shapes"):
        said += [f"--{name} {getattr(options, name)}"] if getattr(options, name) else []
    said += [f"--threads {' '.join(map(str, options.threads))}", f"--rounds {options.rounds}"]
    said += [f"--budget {options.budget:g}"] + ([f"--dtypes {' '.join(options.dtypes)}"] if options.dtypes else [])
    said += [f"--{name}" for name in ("jax", "compiled", "rust", "priority") if getattr(options, name)]
    return " ".join(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default="train", help=f"separated by commas, or all: {', '.join(CONTESTS)}")
    parser.add_argument("--systems", help="wengert's, separated by commas, or all; the peers follow from them")
    parser.add_argument("--shapes", help="by name or as TxBxIxHxL, separated by commas")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--dtypes", choices=["f32", "f64"], nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each row of a process")
    parser.add_argument("--runs", type=int, default=200, help="the most runs of a row")
    parser.add_argument("--jax", action="store_true", help="for the mode further: JAX beside wengert_custom (CPU, f32)")
    parser.add_argument("--compiled", action="store_true", help="for further: torch.compile beside wengert_custom")
    parser.add_argument("--rust", action="store_true", help="for further: candle and burn beside wengert_lstm")
    parser.add_argument("--priority", action="store_true", help="start all sides with chrt -f 50, where that is permitted")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--write", type=pathlib.Path, help="a file whose tables are replaced")
    options = parser.parse_args()
    asked = options.jax or options.compiled or options.rust
    modes = options.modes.split(",") if options.modes != "all" else [m for m in CONTESTS if asked or m != "further"]
    if asked != ("further" in modes):
        parser.error("the mode further and its peers, --jax, --compiled, --rust, go together")
    for mode in modes:
        if mode not in CONTESTS:
            parser.error(f"no mode '{mode}': give all, or of {', '.join(CONTESTS)}")
        if options.shapes and mode in SHAPELESS:
            parser.error(f"{mode} takes no --shapes: its operands have one size")
    further = CONTESTS["further"]
    further["wengert_custom"] += [("train", "jax_scan")] if options.jax else []
    further["wengert_custom"] += [("train", "torch_cell_compiled")] if options.compiled else []
    further["wengert_lstm"] += [("train", system) for system in RUST] if options.rust else []
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "wengert-bench"], cwd=ROOT, check=True)
    if options.rust:
        subprocess.run(["cargo", "build", "--release", "--target-dir", RUST_TARGET], cwd=RUST_PROJECT, check=True)
    sides = Sides(options)
    for mode in modes:
        about = circumstances(options, sides)
        chosen = {ours: peers for ours, peers in CONTESTS[mode].items() if peers or mode != "further"}
        systems = options.systems.split(",") if options.systems not in (None, "all") else list(chosen)
        unknown = [system for system in systems if system not in chosen]
        if unknown:
            parser.error(f"{mode} has no system '{unknown[0]}': give all, or of {', '.join(chosen)}")
        for ours, threads in [(s, t) for s in systems for t in options.threads if mode in CHECKED]:
            check(sides, mode, ours, chosen[ours], threads)
        if mode == "infer":
            check_onnx(sides)
        shapes = options.shapes or SHAPES.get(mode)
        named = [shapes] if mode in JOINED or mode in SHAPELESS else shapes.split(",")
        # This one compares threads within a process.
        threads = [max(options.threads)] if mode == "scaling" else options.threads
        dtypes = options.dtypes or DTYPES.get(mode, ["f32"])
        rows = []
        for ours in systems:
            for at in [(s, t, d) for d in dtypes for s in named for t in threads]:
                peers = [p for p in chosen[ours] if at[2] == "f32" or not p[1].startswith(SINGLE)]
                found = measure(sides, mode, ours, peers, *at)
                rows += lines(mode, found, at[1], at[2])
        width = max(map(len, rows))
        block = f"{table(head(mode, any(chosen.values())), [r + [''] * (width - len(r)) for r in rows])}\n\n"
        block = f"```text\n{command(mode, options)}\n```\n\n{block}{about}"
        print(f"\n## {mode}\n\n{block}", flush=True)
        if options.write:
            write(options.write, mode, block)


if __name__ == "__main__":
    main()
