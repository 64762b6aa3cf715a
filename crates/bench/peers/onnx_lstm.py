"""ONNX Runtime: inference with its LSTM operator. The model is written here, byte by byte, so that only onnxruntime is needed.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import numpy as np
import onnxruntime

FLOAT = 1


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    """A field of a message: an integer, or bytes or text with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def initializer(name, array):
    dims = b"".join(field(1, n) for n in array.shape)
    return dims + field(2, FLOAT) + field(8, name) + field(9, array.tobytes())


def value_info(name, shape):
    dims = b"".join(field(1, field(1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, dims)))


def node(op, inputs, outputs, **integers):
    attributes = (field(5, field(1, name) + field(3, value) + field(20, 2)) for name, value in integers.items())
    names = [field(1, name) for name in inputs] + [field(2, name) for name in outputs]
    return b"".join(names) + field(4, op) + b"".join(attributes)


def drawn(inputs, hidden, layers):
    """For each layer W [1, 4H, I], R [1, 4H, H] and both biases [1, 8H], their gates in ONNX's order i, o, f, c."""
    rng, bound = np.random.default_rng(0), hidden**-0.5
    sizes = [inputs] + [hidden] * (layers - 1)
    shapes = [[(1, 4 * hidden, size), (1, 4 * hidden, hidden), (1, 8 * hidden)] for size in sizes]
    return [[rng.uniform(-bound, bound, shape).astype(np.float32) for shape in layer] for layer in shapes]


def model(steps, batch, inputs, hidden, layers):
    """Layers of LSTM: x and, for each layer, h and c; gives y [T, B, H] and the states [1, B, H]."""
    weights, graph = drawn(inputs, hidden, layers), []
    ins, outs, sequence = [value_info("x", (steps, batch, inputs))], [], "x"
    squeezed = initializer_ints("axis", [1])
    for n in range(layers):
        graph += [field(5, initializer(f"{name}{n}", array)) for name, array in zip("WRB", weights[n])]
        given = [sequence, f"W{n}", f"R{n}", f"B{n}", "", f"h{n}", f"c{n}"]
        graph.append(field(1, node("LSTM", given, [f"Y{n}", f"hn{n}", f"cn{n}"], hidden_size=hidden)))
        # [T, 1, B, H] to [T, B, H]
        graph.append(field(1, node("Squeeze", [f"Y{n}", "axis"], [f"y{n}"])))
        sequence = f"y{n}"
        ins += [value_info(f"{part}{n}", (1, batch, hidden)) for part in "hc"]
        outs += [value_info(f"{part}n{n}", (1, batch, hidden)) for part in "hc"]
    outs.insert(0, value_info(sequence, (steps, batch, hidden)))
    graph += [field(5, squeezed), field(2, "lstm")]
    graph += [field(11, each) for each in ins] + [field(12, each) for each in outs]
    return field(1, 8) + field(7, b"".join(graph)) + field(8, field(2, 17))


def initializer_ints(name, values):
    int64 = 7
    return field(1, len(values)) + field(2, int64) + field(8, name) + field(9, np.array(values, np.int64).tobytes())


def difference():
    """The greatest difference between outputs here and those of torch.nn.LSTM with the same weights."""
    import torch

    steps, batch, inputs, hidden, layers = shape = (7, 3, 5, 4, 2)
    net = torch.nn.LSTM(inputs, hidden, layers)
    with torch.no_grad():
        for n, (w, r, b) in enumerate(drawn(inputs, hidden, layers)):
            parts = {"weight_ih": w[0], "weight_hh": r[0], "bias_ih": b[0, : 4 * hidden], "bias_hh": b[0, 4 * hidden :]}
            for name, part in parts.items():
                i, o, f, c = np.split(part, 4)
                getattr(net, f"{name}_l{n}").copy_(torch.tensor(np.concatenate([i, f, c, o])))
    session = onnxruntime.InferenceSession(model(*shape), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((steps, batch, inputs), np.float32)
    states = {f"{part}{n}": np.zeros((1, batch, hidden), np.float32) for n in range(layers) for part in "hc"}
    with torch.no_grad():
        return float(abs(session.run(None, {"x": x} | states)[0] - net(torch.tensor(x))[0].numpy()).max())


def infer(system, shape, threads):
    """Whole sequences (onnx_sequence), or 100 single steps that hand the state on (onnx_step)."""
    steps, batch, inputs, hidden, layers = shape
    streaming = system == "onnx_step"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    built = model(1 if streaming else steps, batch, inputs, hidden, layers)
    session = onnxruntime.InferenceSession(built, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feed = {"x": rng.standard_normal((1 if streaming else steps, batch, inputs), np.float32)}
    states = [f"{part}{n}" for n in range(layers) for part in "hc"]
    feed |= {name: np.zeros((1, batch, hidden), np.float32) for name in states}

    def sequence():
        session.run(None, feed)

    def stream():
        for _ in range(100):
            _, *last = session.run(None, feed)
            feed.update(zip(states, last))

    return (stream, 100) if streaming else (sequence, 1)
