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


def checked(system, shape):
    """Loss and 2-norm of the gradients with every parameter set to a wave, transposed where PyTorch stores transposed."""
    steps, batch, inputs, _, _ = shape
    net, forward = network(system, shape)
    fused = isinstance(net, torch.nn.RNNBase)
    counted = []
    with torch.no_grad():
        for name, param in net.named_parameters():
            if isinstance(net, torch.nn.LSTM) and name.startswith("bias_hh"):
                # The library's LSTM has one bias; PyTorch adds two.
                param.zero_()
                continue
            turned = fused and param.dim() == 2
            values = cells.wave(tuple(reversed(param.shape)) if turned else param.shape, 0.3)
            param.copy_(values.t() if turned else values)
            counted.append(param)
    loss = forward(cells.wave((steps, batch, inputs))).square().mean()
    loss.backward()
    norm = torch.sqrt(sum(param.grad.square().sum() for param in counted))
    return {"loss": loss.item(), "gradient_norm": norm.item()}


def second_order(system, shape):
    """The gradient of all parameters, or the product of the Hessian with a vector (torch_hvp)."""
    steps, batch, inputs, _, _ = shape
    net = cells.Net(cells.Lstm, shape)
    x = torch.randn(steps, batch, inputs)
    params = list(net.parameters())
    along = [torch.randn_like(param) for param in params]

    def gradient():
        torch.autograd.grad(net(x).square().mean(), params)

    def hvp():
        found = torch.autograd.grad(net(x).square().mean(), params, create_graph=True)
        torch.autograd.grad(found, params, grad_outputs=along)

    return (hvp if system == "torch_hvp" else gradient), 1


def infer(system, shape):
    """Whole sequences, or 100 single steps that hand the state on, as ../src/infer.rs."""
    steps, batch, inputs, hidden, layers = shape
    lstm = torch.nn.LSTM(inputs, hidden, layers).eval()
    x = torch.randn(steps, batch, inputs)
    if system == "torch_sequence":

        @torch.inference_mode()
        def sequence():
            lstm(x)

        return sequence, 1

    if system == "torch_step":
        one, state = x[:1].contiguous(), tuple(torch.zeros(layers, batch, hidden) for _ in "hc")

        @torch.inference_mode()
        def stream():
            nonlocal state
            for _ in range(100):
                _, state = lstm(one, state)

        return stream, 100

    sizes = [inputs] + [hidden] * (layers - 1)
    stack = [torch.nn.LSTMCell(size, hidden).eval() for size in sizes]
    one, states = x[0].contiguous(), [tuple(torch.zeros(batch, hidden) for _ in "hc") for _ in sizes]

    @torch.inference_mode()
    def stream_cells():
        for _ in range(100):
            y = one
            for n, cell in enumerate(stack):
                states[n] = cell(y, states[n])
                y = states[n][0]

    return stream_cells, 100
