"""A base that is a registry's image: its layers are the lowest of the image, by digest."""

from __future__ import annotations

from collections.abc import Sequence

from dsvm.ecosystems import locked_layers
from dsvm.ledger.comparing import Difference
from dsvm.ledger.image import Image
from dsvm.ledger.promises import Promises
from dsvm.model import Plan
from dsvm.store import Store


def promise_base(
    plan: Plan, image: Image, promised: Promises, store: Store, layers: Sequence[str] | None
) -> list[Difference]:
    """Promise what the registry's image has; nothing for a base of packages, which promise themselves.

    Packages of the system replace files of the base, and take some away: what the system's own layers have removed
    counts as removed. `layers` are those that the build noted. Raises LockError without the base in the store.
    """
    if plan.base_kind != "registry":
        return []
    section = next(one for one in plan.sections if one.id == "base")
    locked = locked_layers(plan.base, section, store.root)
    real = tuple(layer.diff_id for layer in image.layers)
    if real[: len(locked)] != locked:
        return [Difference("layers", "/", "its lowest layers are not those of the base that is locked")]
    left = Image("", image.layers[: system_layers(plan, image, layers)], {}).tree()
    for path, (entry, _) in Image("", image.layers[: len(locked)], {}).tree().items():
        if path in left:
            promised.add(path, entry, f"base {plan.base.base}")
    return []


def system_layers(plan: Plan, image: Image, layers: Sequence[str] | None) -> int:
    """How many layers are below those of tools with a place of their own; all, where the build noted other layers.

    The last layer of a build is that of the plan's small files, and before it stand those of the stages, in order.
    """
    if layers is None or [layer.diff_id for layer in image.layers[: len(layers)]] != list(layers):
        return len(image.layers)
    return len(layers) - 1 - sum(stage.output for stage in plan.stages)
