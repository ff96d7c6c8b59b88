"""datasets reads a CSV file, maps and filters it, keeps it on disk and hands it to PyTorch."""

from __future__ import annotations

import os
from pathlib import Path

from lib.outcome import run_check


def check() -> dict[str, object]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HOME"] = str(Path("hf").resolve())
    import torch
    from datasets import load_dataset, load_from_disk

    rows = "\n".join(f"{number},{number % 3}" for number in range(1000))
    Path("table.csv").write_text(f"value,kind\n{rows}\n")
    table = load_dataset("csv", data_files="table.csv", split="train")
    squares = table.map(lambda row: {"square": row["value"] ** 2}).filter(lambda row: row["kind"] == 1)
    if len(squares) != 333:
        raise AssertionError(f"{len(squares)} rows")
    squares.save_to_disk("squares")
    again = load_from_disk("squares").with_format("torch")
    batch = next(iter(torch.utils.data.DataLoader(again, batch_size=4)))
    if batch["square"].tolist() != [1, 16, 49, 100]:
        raise AssertionError(f"batch {batch['square'].tolist()}")
    parts = again.train_test_split(test_size=0.25, seed=0)
    return {"rows": len(again), "parts": [len(parts["train"]), len(parts["test"])]}


if __name__ == "__main__":
    run_check(__file__, check)
