"""Cells in PyTorch from primitive operations, the same formulas as ../src/cells; a Python loop runs them over time.

Each takes input size, hidden size and batch, and gives step(x, state) -> (output, state).
"""

import math

import torch
from torch import nn


def wave(shape, amplitude=1.0):
    """amplitude * sin(k + 1) in element k, as ../src/train.rs makes it."""
    values = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (values.sin() * amplitude).reshape(shape).to(torch.get_default_dtype())


class Cell(nn.Module):
    """Parameters are uniform in ±1/sqrt(hidden); the state has `parts` parts [B, H]."""

    parts = 2

    def __init__(self, inputs, hidden, batch):
        super().__init__()
        self.inputs, self.hidden, self.batch = inputs, hidden, batch
        for name, shape in self.shapes().items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-(hidden**-0.5), hidden**-0.5)))

    def shapes(self):
        gates = 4 * self.hidden
        return {"w": (self.inputs, gates), "u": (self.hidden, gates), "b": (gates,)}

    def start(self, x):
        return tuple(x.new_zeros(self.batch, self.hidden) for _ in range(self.parts))


def lstm(z, c):
    i, f, g, o = z.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, (h, c)


class Lstm(Cell):
    def step(self, x, state):
        h, c = state
        return lstm(x @ self.w + h @ self.u + self.b, c)


class Gru(Cell):
    parts = 1

    def shapes(self):
        gates = 3 * self.hidden
        return {"w": (self.inputs, gates), "u": (self.hidden, gates), "bx": (gates,), "bh": (gates,)}

    def step(self, x, state):
        (h,) = state
        rx, zx, nx = (x @ self.w + self.bx).chunk(3, -1)
        rh, zh, nh = (h @ self.u + self.bh).chunk(3, -1)
        z = torch.sigmoid(zx + zh)
        n = torch.tanh(nx + torch.sigmoid(rx + rh) * nh)
        h = (1 - z) * n + z * h
        return h, (h,)


class LayerNormLstm(Cell):
    def __init__(self, inputs, hidden, batch):
        super().__init__(inputs, hidden, batch)
        for gain in (self.gain_x, self.gain_h, self.gain_c):
            nn.init.ones_(gain)

    def shapes(self):
        more = {"gain_x": (4 * self.hidden,), "gain_h": (4 * self.hidden,), "gain_c": (self.hidden,)}
        return super().shapes() | more | {"bias_c": (self.hidden,)}

    def step(self, x, state):
        h, c = state
        norm = nn.functional.layer_norm
        wide, narrow = (4 * self.hidden,), (self.hidden,)
        z = norm(x @ self.w, wide, self.gain_x) + norm(h @ self.u, wide, self.gain_h) + self.b
        i, f, g, o = z.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(norm(c, narrow, self.gain_c, self.bias_c))
        return h, (h, c)


class Peephole(Cell):
    def shapes(self):
        return super().shapes() | {name: (self.hidden,) for name in ("pi", "pf", "po")}

    def step(self, x, state):
        h, c = state
        i, f, g, o = (x @ self.w + h @ self.u + self.b).chunk(4, -1)
        c = torch.sigmoid(f + c * self.pf) * c + torch.sigmoid(i + c * self.pi) * torch.tanh(g)
        h = torch.sigmoid(o + c * self.po) * torch.tanh(c)
        return h, (h, c)


class Multiplicative(Cell):
    def shapes(self):
        return super().shapes() | {"wm": (self.inputs, self.hidden), "um": (self.hidden, self.hidden)}

    def step(self, x, state):
        h, c = state
        m = (x @ self.wm) * (h @ self.um)
        return lstm(x @ self.w + m @ self.u + self.b, c)


class Attention(Cell):
    """Reads a memory of 16 entries a sequence."""

    def __init__(self, inputs, hidden, batch):
        super().__init__(inputs, hidden, batch)
        self.memory = wave((batch, 16, hidden))

    def shapes(self):
        return super().shapes() | {"v": (self.hidden, 4 * self.hidden), "query": (self.hidden, self.hidden)}

    def step(self, x, state):
        h, c = state
        scores = (h @ self.query).unsqueeze(1) @ self.memory.transpose(1, 2) * self.hidden**-0.5
        read = (torch.softmax(scores, -1) @ self.memory).squeeze(1)
        return lstm(x @ self.w + h @ self.u + read @ self.v + self.b, c)


class Net(nn.Module):
    """Layers of a cell over [T, B, I]."""

    def __init__(self, cell, shape):
        super().__init__()
        _, batch, inputs, hidden, layers = shape
        self.layers = nn.ModuleList([cell(inputs if n == 0 else hidden, hidden, batch) for n in range(layers)])

    def forward(self, x):
        sequence = x.unbind(0)
        for cell in self.layers:
            state, outputs = cell.start(x), []
            for x_t in sequence:
                y, state = cell.step(x_t, state)
                outputs.append(y)
            sequence = outputs
        return torch.stack(sequence)
