"""PyTorch: updates of ten million parameters; the work of ../src/optim.rs."""

import torch
from cells import wave

UNITS = 790


def lstm():
    return [param.shape for param in torch.nn.LSTM(UNITS, UNITS, 2, device="meta").parameters()]


SETS = {"matrices": lambda: [(1000, 1000)] * 10, "lstm": lstm}

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
RULES = {
    "torch_sgd": (SGD, {"foreach": False}),
    "torch_sgd_fused": (SGD, {"fused": True}),
    "torch_sgd_momentum": (SGD, {"momentum": 0.9, "foreach": False}),
    "torch_sgd_momentum_fused": (SGD, {"momentum": 0.9, "fused": True}),
    "torch_adam": (ADAM, {"foreach": False}),
    "torch_adam_fused": (ADAM, {"fused": True}),
    "torch_adamw": (ADAMW, {"weight_decay": 1e-2, "foreach": False}),
    "torch_adamw_fused": (ADAMW, {"weight_decay": 1e-2, "fused": True}),
    "torch_clip": None,
}


class Update:
    """Parameters whose gradients are their values at the start, and what is done with them."""

    def __init__(self, system, which, known=False):
        drawn = lambda shape: wave(tuple(shape), 0.3) if known else torch.rand(shape) * 0.2 - 0.1
        self.params = [torch.nn.Parameter(drawn(shape)) for shape in SETS[which]()]
        for param in self.params:
            param.grad = param.detach().clone()
        if RULES[system] is None:
            self.step = lambda: torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            self.changing = lambda: [param.grad for param in self.params]
        else:
            rule, options = RULES[system]
            self.step = rule(self.params, lr=1e-4, **options).step
            self.changing = lambda: [param.detach() for param in self.params]

    def count(self):
        return sum(param.numel() for param in self.params)

    def checked(self):
        """How far one step moves the parameters, or the gradients where it is these that change; and how far two do."""
        before = [each.clone() for each in self.changing()]

        def moved():
            self.step()
            pairs = zip(before, self.changing())
            return torch.sqrt(sum((new - old).square().sum() for old, new in pairs)).item()

        return {"first_norm": moved(), "second_norm": moved()}
