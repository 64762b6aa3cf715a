#!/usr/bin/env python3
"""Writes sea_surface_temperature.csv from the Python package bokeh_sampledata, see README.md.

Run:   python make_data.py [FOLDER]        (default: the folder of this script)
Needs: pip install bokeh_sampledata        (made with version 2026.1)

The rows are copied byte for byte; only the header line is changed. The package's file is read
directly: importing its module would parse the numbers and so could change how they are written.
"""
import argparse
import gzip
import hashlib
import importlib.util
import pathlib

HEADER_THERE, HEADER_HERE = b"time (UTC),temperature (celsius)\n", b"time,temperature\n"
SHA256 = "7ec0442d98f892500b9e0655a315e916c98e6940dc7f7b4a019769be5e15923e"  # of the package's file, unpacked


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    folder = parser.parse_args().folder
    package = pathlib.Path(importlib.util.find_spec("bokeh_sampledata").origin).parent
    text = gzip.decompress((package / "_data" / "sea_surface_temperature.csv.gz").read_bytes())
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise SystemExit("the package's file differs from the one this data was made from")
    assert text.startswith(HEADER_THERE) and text.endswith(b"\n") and b"\r" not in text
    rows = text.removeprefix(HEADER_THERE)
    times = [row.split(b",")[0] for row in rows.splitlines()]
    assert times == sorted(times) and len(times) == 19_226
    (folder / "sea_surface_temperature.csv").write_bytes(HEADER_HERE + rows)


if __name__ == "__main__":
    main()
