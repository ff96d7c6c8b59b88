"""The repository where releases are at home, and all that can be done with them."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dsvm.host import Engine, Host, claims
from dsvm.model import Descriptor, InputError, Release
from dsvm.release import channels, collecting, publishing
from dsvm.release.channels import CHANNELS, Switch
from dsvm.release.collecting import Doomed, Keep
from dsvm.release.publishing import Candidate, Published, Seal
from dsvm.release.registry import Registry

Say = Callable[[str], None]


def _nothing(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Home:
    """Releases in one repository. Its methods raise RegistryError when the registry fails, and move nothing then."""

    registry: Registry
    # a folder for layers on their way
    work: Path
    note: Say = field(default=_nothing, repr=False)
    warn: Say = field(default=_nothing, repr=False)

    @classmethod
    def of(cls, text: str, host: Host, store: Path, *, note: Say = _nothing, warn: Say = _nothing) -> Home:
        """HOST/REPOSITORY, without a tag; `store` is the folder of the store. Raises InputError."""
        registry = Registry.of(text, host)
        if registry.reference.tag or registry.reference.digest:
            raise InputError(f"--registry {text}: a repository is wanted, without a tag or a digest")
        return cls(registry, store / "release", note, warn)

    def release(self, what: str) -> Release | None:
        """The release of a channel, a name or a digest; None where there is none."""
        found = channels.find_release(self.registry, what)
        return found[0] if found is not None else None

    def names(self) -> list[str]:
        """The names of all releases, the oldest first."""
        return channels.release_names(self.registry)

    def publish(
        self,
        candidates: Sequence[Candidate],
        engine: Engine,
        *,
        channels: Sequence[str] = CHANNELS,
        today: datetime.date | None = None,
        alone: bool = False,
        seal: Seal | None = None,
    ) -> Published:
        """Publish verified images as one release, and have `channels` name it."""
        with self._alone():
            return publishing.publish(
                self.registry,
                candidates,
                engine=engine,
                work=self.work,
                channels=_known(channels),
                today=today or datetime.datetime.now(datetime.UTC).date(),
                alone=alone,
                seal=seal,
                note=self.note,
                warn=self.warn,
            )

    def promote(
        self, name: str, to: Sequence[str], seal: Callable[[Registry, Descriptor], None] | None = None
    ) -> list[Switch]:
        """Have the channels `to` name a release that is there: of a day, a name, or another channel.

        `seal` signs that it is to be so, before it is.
        """
        with self._alone():
            if seal is not None:
                seal(self.registry, channels.need_release(self.registry, name)[1].descriptor)
            return channels.promote(self.registry, name, _known(to))

    def rollback(self, variant: str, to: str | None = None, of: Sequence[str] = ()) -> list[Switch]:
        """Have all channels, or those `of`, go back to the release of a day, or the one before, with all variants."""
        with self._alone():
            return channels.rollback(self.registry, variant, to, _known(of))

    def doomed(self, keep: Keep) -> Doomed:
        """What `collect` would delete."""
        return collecting.find_doomed(self.registry, keep)

    def collect(self, keep: Keep) -> Doomed:
        """Delete old releases and what belongs to them alone; returns what went."""
        with self._alone():
            doomed = self.doomed(keep)
            collecting.collect(self.registry, doomed, self.note)
            return doomed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One run at a time writes to a repository; another one of this machine waits."""
        name = f"release-{hashlib.sha256(str(self.registry).encode()).hexdigest()[:16]}"
        with claims.of_variant(claims.folder(), name, lambda line: self.note(line.replace(name, str(self.registry)))):
            yield


def _known(names: Sequence[str]) -> Sequence[str]:
    if strange := [one for one in names if one not in CHANNELS]:
        raise InputError(f"'{strange[0]}' is no channel", hint=f"There are: {', '.join(CHANNELS)}")
    return names
