"""h5py writes a compressed array into a file, and reads a part of it with its attributes."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from pathlib import Path

    import h5py
    import numpy as np

    with h5py.File("data.h5", "w") as file:
        made = file.create_dataset("runs/first", data=np.arange(100_000).reshape(100, 1000), compression="gzip")
        made.attrs["unit"] = "m"
    with h5py.File("data.h5") as file:
        part, unit = file["runs/first"][3:5, ::500].tolist(), file["runs/first"].attrs["unit"]
    if (part, unit) != ([[3000, 3500], [4000, 4500]], "m"):
        raise AssertionError(f"read {part} {unit}")
    size = Path("data.h5").stat().st_size
    if not size < 400_000:
        raise AssertionError(f"{size} bytes: nothing was compressed")
    return {"bytes": size}


if __name__ == "__main__":
    run_check(__file__, check)
