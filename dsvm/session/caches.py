"""Caches of layers in registries, which builds on several machines share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCaches:
    """Where builds read layers from, and where they write theirs: HOST/REPOSITORY, with or without a tag.

    Without a tag each variant has one of its own there, so that no variant takes another's place.
    """

    sources: tuple[str, ...] = ()
    target: str | None = None

    def imports(self, variant: str) -> tuple[str, ...]:
        """What BuildKit reads."""
        return tuple(f"type=registry,ref={_tagged(source, variant)}" for source in self.sources)

    def exports(self, variant: str, layers: str) -> tuple[str, ...]:
        """What BuildKit writes: the layers of all stages. A registry that takes none of them stops no build.

        `layers` are the image's own options of compression, so that none is packed twice.

        https://github.com/moby/buildkit/blob/v0.13.1/README.md#registry-push-image-and-cache-separately
        """
        if self.target is None:
            return ()
        place = f"type=registry,ref={_tagged(self.target, variant)}"
        return (f"{place},mode=max,image-manifest=true,ignore-error=true,{layers}",)


NO_CACHES = LayerCaches()


def _tagged(place: str, variant: str) -> str:
    return place if ":" in place.rpartition("/")[2] else f"{place}:cache-{variant}"
