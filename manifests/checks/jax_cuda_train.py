"""JAX trains on the GPU in half precision: the loss falls, and the memory is given back."""

from __future__ import annotations

import os

from lib.outcome import NotExercisedError, run_check


def check() -> dict[str, object]:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    if not any(device.platform == "gpu" for device in jax.devices()):
        raise NotExercisedError("no GPU")
    device = jax.devices()[0]
    losses = train()
    if not (losses[-1] < 0.3 * losses[0]):
        raise AssertionError(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    left = sum(array.nbytes for array in jax.live_arrays())
    if not (left < 1 << 20):
        raise AssertionError(f"{left} bytes stay allocated after training")
    return {
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
        "device": device.device_kind,
        "devices": jax.device_count(),
        "memory left, bytes": left,
    }


def train() -> list[float]:
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.uniform(keys[0], (4000, 2), minval=-1, maxval=1)
    y = (x[:, 0] * x[:, 1] > 0).astype(jnp.float32)  # no straight line parts these
    sizes = [(2, 64), (64, 64), (64, 1)]
    weights = [
        (jax.random.normal(key, size) * (2 / size[0]) ** 0.5, jnp.zeros(size[1]))
        for key, size in zip(keys[1:], sizes, strict=True)
    ]

    def loss_of(weights):
        value = x.astype(jnp.bfloat16)
        for matrix, bias in weights[:-1]:
            value = jax.nn.relu(value @ matrix.astype(jnp.bfloat16) + bias.astype(jnp.bfloat16))
        score = (value @ weights[-1][0].astype(jnp.bfloat16))[:, 0].astype(jnp.float32) + weights[-1][1]
        return jnp.mean(jax.nn.softplus(score) - y * score)

    @jax.jit
    def step(weights):
        loss, slopes = jax.value_and_grad(loss_of)(weights)
        return loss, jax.tree.map(lambda weight, slope: weight - 0.5 * slope, weights, slopes)

    losses = []
    for _ in range(500):
        loss, weights = step(weights)
        losses.append(float(loss))
    return losses


if __name__ == "__main__":
    run_check(__file__, check)
