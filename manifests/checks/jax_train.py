"""JAX compiles and trains a small feed-forward network, on the GPU where there is one: the loss falls."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.uniform(keys[0], (2000, 2), minval=-1, maxval=1)
    y = (x[:, 0] * x[:, 1] > 0).astype(jnp.float32)  # no straight line parts these
    sizes = [(2, 32), (32, 32), (32, 1)]
    weights = [
        (jax.random.normal(key, size) * (2 / size[0]) ** 0.5, jnp.zeros(size[1]))
        for key, size in zip(keys[1:], sizes, strict=True)
    ]

    def logits(weights, x):
        for matrix, bias in weights[:-1]:
            x = jax.nn.relu(x @ matrix + bias)
        return (x @ weights[-1][0] + weights[-1][1])[:, 0]

    def loss_of(weights):
        score = logits(weights, x)
        return jnp.mean(jax.nn.softplus(score) - y * score)

    @jax.jit
    def step(weights):
        loss, slopes = jax.value_and_grad(loss_of)(weights)
        return loss, jax.tree.map(lambda weight, slope: weight - 0.5 * slope, weights, slopes)

    losses = []
    for _ in range(500):
        loss, weights = step(weights)
        losses.append(float(loss))
    if not (losses[-1] < 0.3 * losses[0]):
        raise AssertionError(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    accuracy = float(((logits(weights, x) > 0) == y).mean())
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    device = x.devices().pop().device_kind
    return {
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
        "accuracy": round(accuracy, 3),
        "device": device,
    }


if __name__ == "__main__":
    run_check(__file__, check)
