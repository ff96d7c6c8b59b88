"""The JAX of a CPU image knows no other device and brings no CUDA libraries."""

from __future__ import annotations

import json
import sys
from importlib import metadata


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
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "jax_cpu_build", **result}))
    sys.exit(0 if result["ok"] else 1)
