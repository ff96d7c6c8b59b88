"""What a machine that its user started keeps: its disk, and the image that this lies on, as it was then.

The disk holds only what differs from that image, so it is nothing without it: a link to the image stays beside it,
whatever is built or cleaned meanwhile.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dsvm.host import claims, fault, read_bounded, write_whole
from dsvm.model import FileError, InputError, Model, Sha256, canonical_json
from dsvm.vm import qemu


class Kept(Model):
    """What stands beside a disk: the image that it lies on, and how cloud-init knows the machine."""

    image: Sha256
    instance: str


@dataclass(frozen=True)
class Disk:
    """Where a machine's disk is."""

    folder: Path

    @classmethod
    def of(cls, variant: str) -> Disk:
        """That of a variant; it is one user's, as claims are."""
        return cls(claims.folder() / "machines" / variant)

    @property
    def path(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def key(self) -> Path:
        """The key that lets its user in."""
        return self.folder / "key"

    def known(self) -> Kept | None:
        """What is kept; None when nothing is. Raises InputError when it is not whole."""
        if not self.folder.exists():
            return None
        try:
            found = Kept.model_validate_json(read_bounded(self.folder / "kept.json"))
            if all(path.is_file() for path in (self.path, self.key, self.folder / "image.qcow2")):
                return found
            why = "a file is missing"
        except (OSError, ValidationError, ValueError) as error:
            why = str(error).splitlines()[0]
        raise InputError(
            f"{self.folder}: what a machine kept there is not whole: {why}",
            hint="Look into it, then forget it: invoke stop --forget --format qcow2 ...",
        )

    def make(self, image: Path, sha256: str, instance: str) -> Kept:
        """Begin with an empty disk over `image`, whose SHA-256 is known. Raises FileError."""
        part = self.folder.with_name(f".{self.folder.name}.part")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True, mode=0o700)
            try:
                os.link(image, part / "image.qcow2")
            except OSError:  # on another file system
                shutil.copyfile(image, part / "image.qcow2")
            qemu.make_key(part / "key")
            # by its name alone: the folder moves
            qemu.make_overlay(Path("image.qcow2"), Path("disk.qcow2"), folder=part)
            kept = Kept(image=sha256, instance=instance)
            write_whole(part / "kept.json", canonical_json(kept))
            part.rename(self.folder)
        except OSError as error:
            raise fault(self.folder, error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return kept

    def forget(self) -> bool:
        """Remove it with all that was saved; False when there is none. Raises FileError."""
        if not self.folder.exists():
            return False
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise FileError(f"{self.folder}: cannot be removed: {error.strerror}") from error
        with suppress(OSError):
            self.folder.parent.rmdir()
        return True
