"""PyTorch: single operations and matrix products; the work of ../src/ops.rs and gemm.rs."""

import torch

SHAPES = [(1024, 1024), (64, 512), (32, 10000)]

functional = torch.nn.functional


class Operands:
    """What the operations are given; see ../src/ops.rs."""

    def __init__(self, rows, cols):
        self.x, self.y = (torch.rand(rows, cols) * 0.8 + 0.1 for _ in range(2))
        self.index = torch.randint(cols, (rows, cols))
        self.targets = torch.randint(cols, (rows,))
        self.tokens = torch.randint(rows, (rows,))


# On the first shape alone.
UNARY = {
    "neg": torch.neg, "abs": torch.abs, "sign": torch.sign, "square": torch.square, "recip": torch.reciprocal,
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "exp": torch.exp, "expm1": torch.expm1, "log": torch.log,
    "log2": torch.log2, "log1p": torch.log1p, "sin": torch.sin, "cos": torch.cos, "atan": torch.atan,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "log_sigmoid": functional.logsigmoid,
    "softplus": functional.softplus, "erf": torch.erf, "relu": torch.relu, "floor": torch.floor,
    "ceil": torch.ceil, "trunc": torch.trunc, "round": torch.round,
}
BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
    "maximum": torch.maximum, "minimum": torch.minimum,
    "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge, "eq": torch.eq, "ne": torch.ne,
}
# On all shapes.
OPS = {
    "gelu": lambda o: functional.gelu(o.x), "clamp": lambda o: o.x.clamp(0.3, 0.6),
    "where": lambda o: torch.where(o.x > 0.5, o.x, o.y),
    "sum": lambda o: o.x.sum(), "sum_rows": lambda o: o.x.sum(-1), "sum_columns": lambda o: o.x.sum(0),
    "mean_rows": lambda o: o.x.mean(-1), "var_rows": lambda o: o.x.var(-1), "var_columns": lambda o: o.x.var(0),
    "max_rows": lambda o: o.x.amax(-1), "max_columns": lambda o: o.x.amax(0),
    "argmax_rows": lambda o: o.x.argmax(-1), "argmax_columns": lambda o: o.x.argmax(0),
    "softmax": lambda o: o.x.softmax(-1), "softmax_columns": lambda o: o.x.softmax(0),
    "log_softmax": lambda o: o.x.log_softmax(-1), "logsumexp": lambda o: o.x.logsumexp(-1),
    "layer_norm": lambda o: functional.layer_norm(o.x, o.x.shape[1:]),
    "cross_entropy": lambda o: functional.cross_entropy(o.x, o.targets),
    "cumsum": lambda o: o.x.cumsum(-1), "cumsum_columns": lambda o: o.x.cumsum(0),
    "gather": lambda o: o.x.gather(-1, o.index), "index_select": lambda o: o.x.index_select(0, o.tokens),
    "concat": lambda o: torch.cat((o.x, o.y), 1), "stack": lambda o: torch.stack((o.x, o.y)),
    "transpose": lambda o: o.x.t().reshape(-1), "argsort": lambda o: torch.argsort(o.x, dim=-1, stable=True),
    "sort": lambda o: o.x.sort(dim=-1, stable=True), "topk": lambda o: o.x.topk(3, -1),
}
# With their derivatives; the cotangent is y where the result has the shape of x.
GRADIENTS = {
    "gelu_grad": OPS["gelu"], "sum_grad": OPS["sum"], "max_grad": lambda o: o.x.amax(-1).sum(),
    "softmax_grad": OPS["softmax"], "log_softmax_grad": OPS["log_softmax"], "layer_norm_grad": OPS["layer_norm"],
    "cross_entropy_grad": OPS["cross_entropy"], "cumsum_grad": OPS["cumsum"], "gather_grad": OPS["gather"],
    "index_select_grad": OPS["index_select"],
}


def ops():
    """(shape, name, step) of each operation."""

    def both(f, operands):
        value = f(operands)
        # The gradient of a sum is one number, seen as often as x has elements: here everybody writes it.
        torch.autograd.grad(value, operands.x, operands.y if value.dim() else None)[0].contiguous()

    for rows, cols in SHAPES:
        def plain(f, *arguments):
            inference = torch.inference_mode()(f)
            return lambda: inference(*arguments)

        operands, tracked = Operands(rows, cols), Operands(rows, cols)
        tracked.x.requires_grad_()
        named = {}
        if (rows, cols) == SHAPES[0]:
            named |= {name: plain(f, operands.x) for name, f in UNARY.items()}
            named |= {name: plain(f, operands.x, operands.y) for name, f in BINARY.items()}
        named |= {name: plain(f, operands) for name, f in OPS.items()}
        named |= {name: (lambda f=f, tracked=tracked: both(f, tracked)) for name, f in GRADIENTS.items()}
        for name, step in named.items():
            yield f"{rows}x{cols}", name, step


def products(shape):
    """(name, M, K, N, step, parts) of the matrix products of a recurrent layer; small ones are repeated."""
    steps, batch, inputs, hidden, _ = shape
    sizes = {
        "input": (steps * batch, inputs, 4 * hidden),
        "recurrent": (batch, hidden, 4 * hidden),
        "recurrent_back": (batch, 4 * hidden, hidden),
        "weight_gradient": (hidden, steps * batch, 4 * hidden),
    }
    for name, (m, k, n) in sizes.items():
        a = torch.randn(k, m).t() if name == "weight_gradient" else torch.randn(m, k)
        b = torch.randn(n, k).t() if name == "recurrent_back" else torch.randn(k, n)
        c = torch.empty(m, n)
        parts = int(min(max(1e7 / (2 * m * k * n), 1), 1000))

        def step(a=a, b=b, c=c, parts=parts):
            for _ in range(parts):
                torch.mm(a, b, out=c)

        yield name, m, k, n, step, parts
