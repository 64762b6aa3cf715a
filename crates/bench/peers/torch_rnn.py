"""PyTorch: training steps (modes train, unrolled, custom, memory, scaling) and inference."""

import cells
import torch

CELLS = {
    "torch_cell": cells.Lstm,
    "torch_gru_cell": cells.Gru,
    "torch_layer_norm": cells.LayerNormLstm,
    "torch_peephole": cells.Peephole,
    "torch_multiplicative": cells.Multiplicative,
    "torch_attention": cells.Attention,
}


def network(system, shape):
    """The library's layer, fused where PyTorch has a fused one; or a cell in a loop."""
    _, _, inputs, hidden, layers = shape
    if system in ("torch_lstm", "torch_gru"):
        layer = {"torch_lstm": torch.nn.LSTM, "torch_gru": torch.nn.GRU}[system](inputs, hidden, layers)
        return layer, lambda x: layer(x)[0]
    net = cells.Net(CELLS[system.removesuffix("_compiled")], shape)
    return net, torch.compile(net) if system.endswith("_compiled") else net


def train(system, shape):
    """One step: loss = mean of squared outputs, gradients of all parameters, none of the input."""
    steps, batch, inputs, _, _ = shape
    net, forward = network(system, shape)
    x = cells.wave((steps, batch, inputs))

    def step():
        net.zero_grad(set_to_none=True)
        forward(x).square().mean().backward()

    return step, 1


def known(net, one_bias):
    """Sets every parameter to a wave, transposed where PyTorch stores transposed. For each the entries that count.

    PyTorch adds two biases. Where the other side has one of them, all of the second is zero, or all but the part that a GRU's
    reset acts on.
    """
    built_in = isinstance(net, (torch.nn.RNNBase, torch.nn.LSTMCell))
    counted = []
    with torch.no_grad():
        for name, param in net.named_parameters():
            turned = built_in and param.dim() == 2
            values = cells.wave(tuple(reversed(param.shape)) if turned else param.shape, 0.3)
            entries = slice(None)
            if one_bias and name.startswith("bias_hh"):
                own = net.hidden_size if isinstance(net, torch.nn.GRU) else 0
                entries = slice(len(param) - own, None)
                values = torch.cat((torch.zeros(len(param) - own), cells.wave((own,), 0.3)))
            param.copy_(values.t() if turned else values)
            counted.append((param, entries))
    return counted


def checked(system, shape):
    """Loss and 2-norm of the gradients for known weights."""
    steps, batch, inputs, _, _ = shape
    net, forward = network(system.removesuffix("_one_bias"), shape)
    counted = known(net, isinstance(net, torch.nn.LSTM) or system.endswith("_one_bias"))
    loss = forward(cells.wave((steps, batch, inputs))).square().mean()
    loss.backward()
    norm = torch.sqrt(sum(param.grad[entries].square().sum() for param, entries in counted))
    return {"loss": loss.item(), "gradient_norm": norm.item()}


def second_order(system, shape, check=False):
    """The gradient of all parameters, or the product of the Hessian with a vector (torch_hvp); checked along the weights."""
    steps, batch, inputs, _, _ = shape
    net = cells.Net(cells.Lstm, shape)
    x = cells.wave((steps, batch, inputs))
    params = list(net.parameters())
    along = [torch.randn_like(param) for param in params]

    def gradient():
        return torch.autograd.grad(net(x).square().mean(), params)

    def hvp():
        found = torch.autograd.grad(net(x).square().mean(), params, create_graph=True)
        return torch.autograd.grad(found, params, grad_outputs=along)

    step = hvp if system == "torch_hvp" else gradient
    if check:
        known(net, False)
        along = [param.detach().clone() for param in params]
        return {"gradient_norm": torch.sqrt(sum(found.square().sum() for found in step())).item()}
    return step, 1


def infer(system, shape, check=False):
    """Whole sequences, or 100 single steps that hand the state on, as ../src/infer.rs; checked are the outputs of a sequence."""
    steps, batch, inputs, hidden, layers = shape
    lstm = torch.nn.LSTM(inputs, hidden, layers).eval()
    stack = [torch.nn.LSTMCell(inputs if n == 0 else hidden, hidden).eval() for n in range(layers)]
    x = cells.wave((steps, batch, inputs))
    state = tuple(torch.zeros(layers, batch, hidden) for _ in "hc")
    states = [tuple(torch.zeros(batch, hidden) for _ in "hc") for _ in stack]

    def step(x_t):
        nonlocal state
        y, state = lstm(x_t, state)
        return y

    def cell_step(x_t):
        for n, cell in enumerate(stack):
            states[n] = cell(x_t, states[n])
            x_t = states[n][0]
        return x_t

    stepping, slices = {"torch_step": (step, x.split(1)), "torch_cell_step": (cell_step, x)}.get(system, (None, None))

    @torch.inference_mode()
    def sequence():
        return torch.cat([stepping(x_t) for x_t in slices]) if stepping else lstm(x)[0]

    if check:
        for net in (lstm, *stack):
            known(net, True)
        y = sequence()
        return {"output_norm": y.square().sum().sqrt().item(), "output_sum": y.sum().item()}
    if not stepping:
        return sequence, 1
    one = slices[0].contiguous()

    @torch.inference_mode()
    def stream():
        for _ in range(100):
            stepping(one)

    return stream, 100
