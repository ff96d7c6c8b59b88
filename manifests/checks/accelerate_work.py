"""a training loop in the words of accelerate learns, and its state comes back from a file."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import torch
    from accelerate import Accelerator
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    x = torch.rand(256, 3)
    data = DataLoader(TensorDataset(x, x @ torch.tensor([[1.0], [2.0], [3.0]])), batch_size=32)
    model = torch.nn.Linear(3, 1)
    model, optimizer, data = accelerator.prepare(model, torch.optim.Adam(model.parameters(), 0.05), data)
    losses = []
    for _ in range(60):
        for batch, truth in data:
            loss = torch.nn.functional.mse_loss(model(batch), truth)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    if not losses[-1] < losses[0] / 100:
        raise AssertionError(f"loss {losses[0]:.3f} to {losses[-1]:.3f}")
    accelerator.save_state("kept")
    before = [one.clone() for one in model.parameters()]
    with torch.no_grad():
        for one in model.parameters():
            one.zero_()
    accelerator.load_state("kept")
    if not all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True)):
        raise AssertionError("other weights come back")
    return {"loss": [round(losses[0], 3), round(losses[-1], 5)]}


if __name__ == "__main__":
    run_check(__file__, check)
