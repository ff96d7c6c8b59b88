"""Where the images of a night go: to a registry, all together, or nowhere beyond this host's engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dsvm import release as releases
from dsvm.container import image_name, images
from dsvm.model import Release
from dsvm.plan import LABELS
from dsvm.release import Home, Published
from dsvm.session import Session


@dataclass(frozen=True)
class Out:
    """What was released: the digest of its index, and variant -> bytes that a machine with the last one fetches."""

    release: str | None = None
    pull: Mapping[str, int] = field(default_factory=dict)


class Publisher(Protocol):
    """Where images go."""

    def released(self) -> Mapping[str, str]:
        """Variant -> digest of the plan of the image that is out."""

    def release(self, sessions: Mapping[str, Session]) -> Out:
        """Release the images of these variants together, with the rest of what is out."""


@dataclass(frozen=True)
class Here(Publisher):
    """No registry: images stay in this host's engine, where verifying has named them."""

    session: Session
    variants: Sequence[str]

    def released(self) -> Mapping[str, str]:
        engine = self.session.engine
        found = {one: images.labels(image_name(one), engine).get(f"{LABELS}.plan", "") for one in self.variants}
        return {variant: digest for variant, digest in found.items() if digest}

    def release(self, sessions: Mapping[str, Session]) -> Out:
        return Out()


@dataclass(frozen=True)
class InRegistry(Publisher):
    """A repository of a registry, whose channels move to each night's release."""

    home: Home
    channels: Sequence[str]
    # releases the verified image that each variant has in its session, with what belongs to it
    publish: Callable[[Mapping[str, Session]], Published]

    def released(self) -> Mapping[str, str]:
        found = self.home.release(self.channels[0])
        return {one.variant: one.plan for one in found.images} if found is not None else {}

    def release(self, sessions: Mapping[str, Session]) -> Out:
        before = self.home.release(self.channels[0])
        published = self.publish(sessions)
        session = next(iter(sessions.values()))
        return Out(published.index.digest, dict(self._pulls(before, published.release, session, sessions)))

    def _pulls(
        self, before: Release | None, after: Release, session: Session, variants: Mapping[str, Session]
    ) -> Mapping[str, int]:
        place = self.home.registry.reference
        old = before.digests if before is not None else {}
        found = {}
        for variant in variants:
            if variant in old:
                was, now = (str(place.at(digest)) for digest in (old[variant], after.digests[variant]))
                found[variant] = releases.pull_size(was, now, session.host).bytes
        return found
