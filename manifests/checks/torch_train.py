"""PyTorch trains a small feed-forward network, on the GPU where there is one: the loss falls."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.rand(2000, 2, device=device) * 2 - 1
    y = (x[:, :1] * x[:, 1:] > 0).float()  # no straight line parts these
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(200):
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if not (losses[-1] < 0.3 * losses[0]):
        raise AssertionError(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    with torch.no_grad():
        accuracy = ((model(x) > 0).float() == y).float().mean().item()
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
        "accuracy": round(accuracy, 3),
        "device": name,
    }


if __name__ == "__main__":
    run_check(__file__, check)
