"""JAX: the training step of an LSTM with lax.scan, compiled; the product with the inputs taken out of the loop by hand."""

import jax
import jax.numpy as jnp
import numpy as np


def wave(shape, amplitude):
    """As ../src/train.rs makes it."""
    return jnp.asarray(amplitude * np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape), jnp.float32)


def train(shape, check=False):
    """XLA takes its number of threads from the processors that the process may use: compare.py sets them."""
    steps, batch, inputs, hidden, layers = shape
    rng, bound = np.random.default_rng(0), hidden**-0.5

    def drawn(*shape):
        if check:
            return wave(shape, 0.3)
        return jnp.asarray(rng.uniform(-bound, bound, shape), jnp.float32)

    def layer(size):
        return drawn(size, 4 * hidden), drawn(hidden, 4 * hidden), drawn(4 * hidden)

    params = [layer(inputs if n == 0 else hidden) for n in range(layers)]
    x = wave((steps, batch, inputs), 1.0)

    def loss(params, y):
        for w, u, b in params:

            def cell(state, z, u=u):
                h, c = state
                i, f, g, o = jnp.split(z + h @ u, 4, -1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            start = jnp.zeros((batch, hidden), jnp.float32)
            _, y = jax.lax.scan(cell, (start, start), y @ w + b)
        return jnp.mean(jnp.square(y))

    compiled = jax.jit(jax.value_and_grad(loss))
    if check:
        value, gradients = compiled(params, x)
        norm = sum(jnp.sum(jnp.square(gradient)) for gradient in jax.tree.leaves(gradients)) ** 0.5
        return {"loss": float(value), "gradient_norm": float(norm)}
    return lambda: jax.block_until_ready(compiled(params, x)), 1
