"""PyTorch trains on the GPU in mixed precision: the loss falls, and the memory is given back."""

from __future__ import annotations

from lib.outcome import NotExercisedError, run_check


def check() -> dict[str, object]:
    import torch
    from torch import nn

    if not torch.cuda.is_available():
        raise NotExercisedError("no GPU")
    torch.manual_seed(0)
    losses = train(torch, nn)
    if not (losses[-1] < 0.3 * losses[0]):
        raise AssertionError(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    # cuBLAS keeps the workspace that the first training makes (65 MiB on Hopper): what a second one adds is a leak
    kept = allocated(torch)
    train(torch, nn)
    left = allocated(torch) - kept
    if not (left < 1 << 20):
        raise AssertionError(f"{left} bytes more stay allocated after a second training")
    result: dict[str, object] = {
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
        "device": torch.cuda.get_device_name(),
        "capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "devices": torch.cuda.device_count(),
        "memory peak, bytes": torch.cuda.max_memory_allocated(),
        "memory kept by libraries, bytes": kept,
        "memory left, bytes": left,
    }
    if torch.cuda.device_count() > 1:
        tensors = [
            torch.full((1000,), float(number), device=f"cuda:{number}") for number in range(torch.cuda.device_count())
        ]
        torch.cuda.nccl.all_reduce(tensors)
        wanted = float(sum(range(torch.cuda.device_count())))
        if not all(bool((tensor == wanted).all()) for tensor in tensors):
            raise AssertionError("NCCL adds up wrong")
        result["nccl"] = "all_reduce"
    return result


def allocated(torch) -> int:
    """Bytes of the GPU's memory that tensors and libraries hold."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()


def train(torch, nn) -> list[float]:
    x = torch.rand(4000, 2, device="cuda") * 2 - 1
    y = (x[:, :1] * x[:, 1:] > 0).float()  # no straight line parts these
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cuda")
    losses = []
    for _ in range(200):
        with torch.autocast("cuda", dtype=torch.float16):
            score = model(x)
            if score.dtype != torch.float16:
                raise AssertionError(f"computed in {score.dtype}")
            loss = nn.functional.binary_cross_entropy_with_logits(score.float(), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    run_check(__file__, check)
