"""The JAX of a CPU image knows no other device and brings no CUDA libraries."""

from __future__ import annotations

from importlib import metadata

from lib.outcome import run_check


def check() -> dict[str, object]:
    import jax

    platforms = sorted({device.platform for device in jax.devices()})
    if platforms != ["cpu"]:
        raise AssertionError(f"devices {platforms}")
    gpu = sorted(
        dist.name for dist in metadata.distributions() if dist.name.lower().startswith(("nvidia-", "jax-cuda"))
    )
    if gpu:
        raise AssertionError(f"GPU packages beside it: {', '.join(gpu)}")
    return {"version": jax.__version__, "platforms": platforms}


if __name__ == "__main__":
    run_check(__file__, check)
