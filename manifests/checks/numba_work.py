"""numba compiles a loop to machine code, in parallel too, and it agrees with numpy."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numba
    import numpy as np

    @numba.njit(parallel=True)
    def total(values: np.ndarray) -> float:
        found = 0.0
        for place in numba.prange(values.size):
            found += values[place] ** 2
        return found

    values = np.random.default_rng(0).random(100_000)
    found = total(values)
    if not np.isclose(found, (values**2).sum()):
        raise AssertionError(f"{found} is not {(values**2).sum()}")
    if not total.nopython_signatures:
        raise AssertionError("nothing was compiled")
    return {"threads": numba.get_num_threads(), "layer": numba.threading_layer()}


if __name__ == "__main__":
    run_check(__file__, check)
