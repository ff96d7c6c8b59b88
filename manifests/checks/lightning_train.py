"""Lightning trains a small module, keeps a checkpoint and continues from it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from lib.outcome import run_check


def check() -> dict[str, object]:
    import lightning
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Net(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
            self.losses: list[float] = []

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
            x, y = batch
            loss = nn.functional.binary_cross_entropy_with_logits(self.net(x), y)
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    lightning.seed_everything(0, verbose=False)
    x = torch.rand(2048, 2) * 2 - 1
    y = (x[:, :1] * x[:, 1:] > 0).float()  # no straight line parts these
    data = DataLoader(TensorDataset(x, y), batch_size=256)

    def trainer(epochs: int) -> lightning.Trainer:
        return lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=Path.cwd(),
        )  # fmt: skip

    model, first = Net(), trainer(25)
    first.fit(model, data)
    if not (model.losses[-1] < 0.5 * model.losses[0]):
        raise AssertionError(f"loss {model.losses[0]:.3f} -> {model.losses[-1]:.3f}")
    first.save_checkpoint("model.ckpt")
    again, second = Net(), trainer(26)
    second.fit(again, data, ckpt_path="model.ckpt")
    if len(again.losses) != len(data):
        raise AssertionError(f"{len(again.losses)} steps after the checkpoint, one epoch is {len(data)}")
    if not (again.losses[0] < 0.5 * model.losses[0]):
        raise AssertionError("it did not continue from the checkpoint")
    return {"loss": [round(model.losses[0], 3), round(again.losses[-1], 3)]}


if __name__ == "__main__":
    run_check(__file__, check)
