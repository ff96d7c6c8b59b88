"""What resolving should come to beside what the manifests ask: versions that are held, and versions to stay at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dsvm import ecosystems
from dsvm.ecosystems import HeedsVersions, Request
from dsvm.model import WHOLE, Holds, Section


@dataclass(frozen=True)
class Wishes:
    """Section -> package -> version: `exact` must come out, `prefer` does where it can; `keep` stays as it is.

    Sections whose ecosystem cannot be asked for versions stay whole when anything of them is held.
    """

    exact: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prefer: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    keep: frozenset[str] = frozenset()

    @classmethod
    def of(cls, holds: Holds) -> Wishes:
        """What holds ask for."""
        exact: dict[str, dict[str, str]] = {}
        keep: set[str] = set()
        for hold in holds.holds:
            if hold.package == WHOLE or hold.version is None:
                keep.add(hold.section)
            else:
                exact.setdefault(hold.section, {})[hold.package] = hold.version
        return cls(exact, {}, frozenset(keep))

    def keeps(self, section: Section) -> bool:
        """Whether a section that was locked before stays as it is."""
        return section.id in self.keep or (
            section.id in self.exact and not isinstance(ecosystems.get(section.ecosystem), HeedsVersions)
        )

    def asked(self, request: Request) -> Request:
        """A request with what is wished of its section."""
        if request.section not in self.exact and request.section not in self.prefer:
            return request
        return replace(request, exact=self.exact.get(request.section, {}), prefer=self.prefer.get(request.section, {}))
