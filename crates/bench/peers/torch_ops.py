"""PyTorch: single operations, matrix products, optimizer updates; the work of ../src/ops.rs, gemm.rs, optim.rs."""

import torch

SIDE = 1024

OPS = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
    "maximum": torch.maximum, "minimum": torch.minimum,
    "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge, "eq": torch.eq, "ne": torch.ne,
    "neg": torch.neg, "abs": torch.abs, "sign": torch.sign, "square": torch.square, "recip": torch.reciprocal,
    "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "exp": torch.exp, "expm1": torch.expm1, "log": torch.log,
    "log2": torch.log2, "log1p": torch.log1p, "sin": torch.sin, "cos": torch.cos, "atan": torch.atan,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "log_sigmoid": torch.nn.functional.logsigmoid,
    "softplus": torch.nn.functional.softplus, "erf": torch.erf, "relu": torch.relu, "floor": torch.floor,
    "ceil": torch.ceil, "trunc": torch.trunc, "round": torch.round, "gelu": torch.nn.functional.gelu,
    "sum": torch.sum, "sum_rows": lambda x: x.sum(-1), "sum_columns": lambda x: x.sum(0),
    "max_rows": lambda x: x.amax(-1), "argmax_rows": lambda x: x.argmax(-1),
    "softmax": lambda x: x.softmax(-1), "log_softmax": lambda x: x.log_softmax(-1),
    "logsumexp": lambda x: x.logsumexp(-1), "layer_norm": lambda x: torch.nn.functional.layer_norm(x, (SIDE,)),
    "cumsum": lambda x: x.cumsum(-1), "concat": lambda x, y: torch.cat((x, y), 1),
}
BINARY = {"add", "sub", "mul", "div", "pow", "maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne", "concat"}


def ops():
    """(name, step) of each operation."""
    x, y = (torch.rand(SIDE, SIDE) * 0.8 + 0.1 for _ in range(2))

    def step(name):
        f = torch.inference_mode()(OPS[name])
        return (lambda: f(x, y)) if name in BINARY else (lambda: f(x))

    return [(name, step(name)) for name in OPS]


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


def updates():
    """(name, step) of each optimizer over ten million parameters; the gradient is the parameters' value."""

    def made(build):
        params = [torch.nn.Parameter(torch.rand(1000, 1000) * 0.2 - 0.1) for _ in range(10)]
        for param in params:
            param.grad = param.detach().clone()
        return build(params)

    def stepping(optimizer, **options):
        return lambda: made(lambda params: optimizer(params, lr=1e-4, **options).step)

    def clipping():
        return made(lambda params: lambda: torch.nn.utils.clip_grad_norm_(params, 1.0))

    sgd, adam = torch.optim.SGD, torch.optim.Adam
    return {
        "torch_sgd": stepping(sgd, foreach=False),
        "torch_sgd_fused": stepping(sgd, fused=True),
        "torch_sgd_momentum": stepping(sgd, momentum=0.9, foreach=False),
        "torch_sgd_momentum_fused": stepping(sgd, momentum=0.9, fused=True),
        "torch_adam": stepping(adam, foreach=False),
        "torch_adam_fused": stepping(adam, fused=True),
        "torch_clip": clipping,
    }
