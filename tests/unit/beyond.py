"""What a resolver's answer says beyond its request: nothing, or the checks of locks would refuse good ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsvm.ecosystems import Asked, Context, Request
from dsvm.lock import closure, trust
from dsvm.model import Pin, Section


def _forged(section: Section) -> Iterator[Section]:
    """The same with a pin from elsewhere, with a file of another host, and with another variable in the image."""
    first, *others = section.pins
    changes = [{"registry": "elsewhere"}, {"registry": "url", "file": "https://evil.invalid/x.deb"}]
    # where an installer is, winget's manifests say: a lock's reviewer sees its URL
    for change in changes[: 1 if section.ecosystem == "winget" else 2]:
        yield section.model_copy(update={"pins": (first.model_copy(update=change), *others)})
    preload = {**section.extra.get("environment", {}), "LD_PRELOAD": "/tmp/x.so"}
    yield section.model_copy(update={"extra": {**section.extra, "environment": preload}})


def beyond(
    ecosystem: str, request: Request, context: Context, pins: Sequence[Pin], extra: Mapping[str, Any]
) -> list[str]:
    """Faults of form, of origin and, where all artefacts are in the store, of what was needed."""
    section = Section(
        id=request.section, ecosystem=ecosystem, request=None, input="0" * 64, epoch=1, pins=tuple(pins),
        extra=dict(extra),
    )  # fmt: skip
    asked = Asked(request, context.base, context.indexes, context.repositories)
    found = [*trust.content_faults(section, asked)]
    for forged in _forged(section):
        assert [*trust.content_faults(forged, asked)], forged
    if all(context.store.has(pin.sha256) for pin in pins):
        found += closure.section_faults(section, asked, context.store)
    return found
