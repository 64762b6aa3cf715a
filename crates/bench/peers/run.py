#!/usr/bin/env python3
"""Times other systems at the work of wengert-bench. One JSON line a row, with the fields of `wengert-bench --json`.

    python crates/bench/peers/run.py train --systems torch_lstm,torch_cell --shapes mid128 --threads 1

Needs torch (and numpy); onnxruntime for the systems onnx_*, jax for jax_scan; rust/ has peers in Rust. Times mean something only beside wengert's
from the same machine and hour: ../compare.py runs both in turns.
"""

import argparse
import json
import platform
import sys

import shapes
import timing

DEFAULTS = {
    "train": "torch_lstm,torch_cell",
    "infer": "torch_step,torch_cell_step,torch_sequence",
    "custom": "torch_gradient,torch_hvp",
    "memory": "torch_lstm",
    "ops": "all",
    "gemm": "torch",
    "optim": "all",
}
# Modes that are not about recurrent shapes.
SINGLE = ("ops", "gemm", "optim")
SHAPES = {"infer": "100x1x128x128x1,mid128", "custom": "mid128", "memory": "wide512"}


def prepared(options):
    """torch with the threads and the element type asked for."""
    try:
        import torch
    except ImportError:
        sys.exit("PyTorch is missing: pip install torch numpy (--index-url https://download.pytorch.org/whl/cpu for one without CUDA)")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    torch.set_default_dtype({"f32": torch.float32, "f64": torch.float64}[options.dtype])
    return torch


def step_of(system, shape, options):
    """The step of a recurrent system, and into how many equal parts its time is divided."""
    if system.startswith("onnx_"):
        if options.dtype != "f32":
            sys.exit("onnxruntime's LSTM is for f32 only")
        import onnx_lstm

        return onnx_lstm.infer(system, shape, options.threads)
    if system == "jax_scan":
        import jax_scan

        return jax_scan.train(shape)
    prepared(options)
    import torch_rnn

    if options.mode == "infer":
        return torch_rnn.infer(system, shape)
    if options.mode == "custom":
        return torch_rnn.second_order(system, shape)
    return torch_rnn.train(system, shape)


def checked(system, shape, options):
    """What systems that do the same work agree on; of ONNX Runtime, how far it is from PyTorch."""
    if system == "jax_scan":
        import jax_scan

        return jax_scan.train(shape, check=True)
    if system.startswith("onnx_"):
        import onnx_lstm

        return {"difference": onnx_lstm.difference()}
    prepared(options)
    import torch_rnn

    if options.mode in ("infer", "custom"):
        return {"infer": torch_rnn.infer, "custom": torch_rnn.second_order}[options.mode](system, shape, check=True)
    return torch_rnn.checked(system, shape)


def restart_peak():
    """From here on VmHWM counts anew, where the system lets a process say so."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def resident(what):
    """VmRSS (now) or VmHWM (at most) of this process, in MiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(what + ":"))


def recurrent(options):
    for name, shape in shapes.named(options.shapes).items():
        for system in options.systems.split(","):
            row = {"system": system, "shape": name, **dict(zip("TBIHL", shape))}
            row |= {"threads": options.threads, "dtype": options.dtype}
            if options.check:
                yield row | checked(system, shape, options)
                continue
            step, parts = step_of(system, shape, options)
            if options.mode == "memory":
                restart_peak()
                before = resident("VmRSS")
            row |= timing.fields(timing.timed(step, options.budget, options.runs), parts)
            if options.mode == "memory":
                row["peak_mib"] = resident("VmHWM") - before
            yield row


def single(options):
    prepared(options)
    import torch_ops
    import torch_optim

    wanted = options.systems.split(",")
    common = {"threads": options.threads, "dtype": options.dtype}

    def measure(step, parts=1):
        return common | timing.fields(timing.timed(step, options.budget, options.runs), parts)

    if options.mode == "ops":
        for shape, op, step in torch_ops.ops():
            if wanted == ["all"] or op in wanted:
                yield {"system": "torch", "shape": shape, "op": op, **measure(step)}
    elif options.mode == "gemm":
        for name, shape in shapes.named(options.shapes).items():
            for op, m, k, n, step, parts in torch_ops.products(shape):
                row = {"system": "torch", "shape": name, "op": op, "MxKxN": f"{m}x{k}x{n}"} | measure(step, parts)
                yield row | {"gflops": 2e-6 * m * k * n / row["ms"]}
    else:
        for system in torch_optim.RULES if wanted == ["all"] else wanted:
            for name in torch_optim.SETS:
                update = torch_optim.Update(system, name, options.check)
                row = {"system": system, "shape": name, "parameters": update.count()} | common
                yield row | (update.checked() if options.check else measure(update.step))


def versions():
    """The versions of what is installed of the systems here."""
    from importlib import metadata

    found = {"python": platform.python_version()}
    for package in ("torch", "numpy", "onnxruntime", "jax", "jaxlib"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=[*DEFAULTS, "versions"])
    parser.add_argument("--systems")
    parser.add_argument("--shapes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["f32", "f64"], default="f32")
    parser.add_argument("--budget", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--check", action="store_true", help="what must be equal in all systems, as loss and norm of the gradients for known weights")
    options = parser.parse_args()
    if options.mode == "versions":
        return print(json.dumps(versions()))
    if options.shapes and options.mode in ("ops", "optim"):
        parser.error(f"{options.mode} takes no --shapes: its operands have one size")
    options.systems = options.systems or DEFAULTS[options.mode]
    options.shapes = options.shapes or SHAPES.get(options.mode, "all")
    try:
        for row in (single if options.mode in SINGLE else recurrent)(options):
            print(json.dumps(row), flush=True)
    except ImportError as missing:
        sys.exit(f"{missing.name} is missing: pip install {missing.name}")


if __name__ == "__main__":
    main()
