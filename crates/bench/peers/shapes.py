"""The shapes of the comparison: time steps, batch, input size, hidden size, layers."""

ALL = {
    "adding": (100, 1, 2, 4, 1),
    "seed": (5, 3, 10, 20, 2),
    "online32": (100, 1, 32, 32, 1),
    "small64": (50, 16, 64, 64, 1),
    "mid128": (100, 32, 128, 128, 1),
    "ptb200": (35, 20, 200, 200, 2),
    "wide512": (64, 64, 512, 512, 1),
    "ptb650": (35, 20, 650, 650, 2),
    "long1k": (1000, 8, 64, 128, 1),
}


def named(lists):
    """{name: extents} of a comma-separated list of names or TxBxIxHxL, or of `all`."""
    if lists == "all":
        return dict(ALL)
    found = {}
    for name in lists.split(","):
        extents = ALL.get(name) or tuple(int(n) for n in name.split("x") if n.isdigit())
        if len(extents) != 5 or 0 in extents:
            raise SystemExit(f"no shape '{name}': give TxBxIxHxL, or one of {', '.join(ALL)}")
        found[name] = extents
    return found
