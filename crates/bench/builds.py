#!/usr/bin/env python3
"""Times builds: the workspace's libraries into an empty folder, and an example after an edit.

Prints seconds, and beside them the seconds of processor time, which other load on the machine changes less.

    python crates/bench/builds.py

Downloads come first, untimed. The folder is a temporary one; it needs about 1 GB.
"""

import os
import pathlib
import resource
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "article.rs"


def busy():
    """Seconds of processor time of what this script has started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(what, *arguments, target):
    load, start, used = os.getloadavg()[0], time.perf_counter(), busy()
    command = ["cargo", "build", "--release", "--locked", "--offline", *arguments]
    subprocess.run([*command, "--quiet"], cwd=ROOT, check=True, env=os.environ | {"CARGO_TARGET_DIR": target})
    took, used = time.perf_counter() - start, busy() - used
    print(f"{took:6.1f} s ({used:.1f} s busy)  {what}: {' '.join(command)} (load {load:.1f} before)", flush=True)


def main():
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as target:
        timed("all libraries, from nothing", "--workspace", "--lib", target=target)
        example = ["--example", EXAMPLE.stem]
        timed("an example, with what only examples need", *example, target=target)
        EXAMPLE.touch()
        timed("the example, edited", *example, target=target)


if __name__ == "__main__":
    main()
