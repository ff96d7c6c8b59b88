"""torchvision writes and reads a PNG, transforms it, finds overlapping boxes and runs one of its networks."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import torch
    from torchvision import io, models, ops
    from torchvision.transforms import v2

    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 64, 80), dtype=torch.uint8)
    io.write_png(image, "image.png")
    if not torch.equal(io.decode_image("image.png"), image):
        raise AssertionError("the PNG reads otherwise")
    flipped = v2.functional.horizontal_flip(image)
    if not torch.equal(flipped, image.flip(-1)):
        raise AssertionError("the flipped image is wrong")
    if v2.Resize((32, 40))(image).shape != (3, 32, 40):
        raise AssertionError("not so: v2.Resize((32, 40))(image).shape == (3, 32, 40)")
    # compiled code of its own: of two boxes that overlap, the better one stays
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
    kept = ops.nms(boxes, torch.tensor([0.8, 0.9, 0.5]), 0.5).tolist()
    if kept != [1, 2]:
        raise AssertionError(f"boxes {kept}")
    model = models.resnet18(num_classes=5).train()
    loss = torch.nn.functional.cross_entropy(model(torch.rand(2, 3, 64, 64)), torch.tensor([0, 1]))
    loss.backward()
    if not (model.conv1.weight.grad is not None and model.conv1.weight.grad.abs().sum() > 0):
        raise AssertionError("no gradient")
    return {"boxes": kept, "loss": round(loss.item(), 3)}


if __name__ == "__main__":
    run_check(__file__, check)
