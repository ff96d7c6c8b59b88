"""The JAX of a GPU image has its CUDA plugin, which loads; needs no GPU."""

from __future__ import annotations

import ctypes
from importlib import metadata, util
from pathlib import Path

from lib.outcome import run_check


def check() -> dict[str, object]:
    import jax

    plugins = {dist.name: dist.version for dist in metadata.distributions() if dist.name.startswith("jax-cuda")}
    kinds = sorted(name.split("-")[1] for name in plugins if name.endswith("-plugin"))
    if not kinds:
        raise AssertionError("no jax-cuda plugin")
    if len(kinds) != 1:
        raise AssertionError(f"plugins for several CUDAs: {kinds}")
    if plugins[f"jax-{kinds[0]}-plugin"] != plugins[f"jax-{kinds[0]}-pjrt"]:
        raise AssertionError(f"plugins of several versions: {plugins}")
    spec = util.find_spec(f"jax_plugins.xla_{kinds[0]}")
    if not (spec is not None and spec.origin):
        raise AssertionError(f"no module jax_plugins.xla_{kinds[0]}")
    ctypes.CDLL(str(Path(spec.origin).with_name("xla_cuda_plugin.so")))
    return {"version": jax.__version__, "plugins": plugins}


if __name__ == "__main__":
    run_check(__file__, check)
