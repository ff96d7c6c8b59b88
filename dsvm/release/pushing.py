"""One verified image under a name of people's own, and no release."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsvm.host import Engine, Host
from dsvm.model import InputError
from dsvm.release.home import Say
from dsvm.release.references import Reference
from dsvm.release.registry import Registry
from dsvm.release.sending import Sent, send_image


@dataclass(frozen=True)
class Destination:
    """A tag of a registry that images are pushed to."""

    registry: Registry

    @classmethod
    def of(cls, text: str, host: Host) -> Destination:
        """HOST/REPOSITORY[:TAG]; `latest` without a tag. A registry that lets nobody in is known now, before a build.

        Raises InputError, RegistryError.
        """
        try:
            reference = Reference.of(text)
        except InputError as error:
            raise InputError(f"--push: {error.message}", hint=error.hint) from None
        if reference.digest:
            raise InputError(f"--push {text}: an image's digest is what comes of it", hint="Write: HOST/PATH:TAG")
        found = cls(Registry(reference, host))
        found.registry.digest_of(reference.what)
        return found

    @property
    def tag(self) -> str:
        return self.registry.reference.what

    def push(self, image: str, engine: Engine, store: Path, note: Say) -> Sent:
        """Send the image with the id `image` by its digest, compare what arrived, and only then move the tag to it.

        `store` is the folder of the store. Raises RegistryError, AlteredError, EngineError.
        """
        sent = send_image(image, engine, self.registry, store / "release", note)
        arrived = self.registry.compare(sent.image.digest, read=bool(sent.sent))
        self.registry.put(sent.manifest, arrived.data, tag=self.tag)
        return sent
