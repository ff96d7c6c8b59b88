"""What a Debian package says of itself."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from debian.arfile import ArError, ArFile

from dsvm.model import LockError

if TYPE_CHECKING:
    from debian.deb822 import Deb822

MOST = 16 << 20  # bytes of what a package says of itself


def control_of(artefact: Path, whose: str) -> Deb822:
    """The control file of a package: https://manpages.debian.org/bookworm/dpkg-dev/deb.5.en.html"""
    from backports import zstd
    from debian.deb822 import Deb822

    try:
        with artefact.open("rb") as file:
            parts = ArFile(fileobj=file)
            name = next(one for one in parts.getnames() if one.startswith("control.tar"))
            packed = parts.getmember(name).read(MOST)
        data = zstd.decompress(packed) if name.endswith(".zst") else packed
        with tarfile.open(fileobj=BytesIO(data)) as tar:
            member = next(one for one in tar if one.name.removeprefix("./") == "control" and one.size <= MOST)
            text = tar.extractfile(member)
            control = Deb822(text.read().decode() if text is not None else "")
        if missing := [field for field in ("Package", "Version") if field not in control]:
            raise KeyError(*missing)
    except (ArError, StopIteration, KeyError, OSError, EOFError, ValueError, tarfile.TarError, zstd.ZstdError) as error:
        raise LockError(f"{whose}: no Debian package: {type(error).__name__}: {error}") from error
    return control


def paragraphs(text: str | bytes) -> Iterator[Deb822]:
    """The paragraphs of a list of packages, such as dpkg's status."""
    from debian.deb822 import Deb822

    return Deb822.iter_paragraphs(text, use_apt_pkg=False)
