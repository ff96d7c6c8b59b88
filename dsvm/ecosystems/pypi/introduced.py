"""What a package says of itself, for whoever begins a manifest with it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import Version

from dsvm.ecosystems.protocol import Context, Introduced, Request
from dsvm.ecosystems.pypi.metadata import wheel_metadata
from dsvm.model import InputError, LockError, Pin, Stated

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata

MODULE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:/__init__\.py|\.py|\.[A-Za-z0-9_-]+\.so)")


class Registry(Protocol):
    """What is asked of the ecosystem."""

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]: ...

    def locate(self, pin: Pin, context: Context) -> Iterable[str]: ...

    def licenses(self, pin: Pin, artefact: Path) -> Stated: ...


def introduced(registry: Registry, package: str, context: Context) -> Introduced:
    """What the newest wheel of `package` says of itself. Raises InputError for what is no name, LockError for none."""
    try:
        wanted = canonicalize_name(package, validate=True)
    except InvalidName as error:
        raise InputError(f"'{package}' is no name of a Python package", hint="Name it: --package NAME") from error
    pins, _ = registry.resolve(Request(f"new-{wanted}", "new", ([wanted],)), context)
    pin = next(one for one in pins if one.plain_name == wanted)
    places = list(registry.locate(pin, context))
    sha256, _ = context.store.download(places, name=pin.file, host=context.host, sha256=pin.sha256)
    wheel = context.store.path(sha256)
    return _told(wanted, pin.version, wheel_metadata(wheel, pin.file), registry.licenses(pin, wheel), wheel)


def _told(name: str, version: str, said: RawMetadata, stated: Stated, wheel: Path) -> Introduced:
    """What the metadata and the files of a wheel tell; what they leave open is empty."""
    known = Version(version).release
    return Introduced(
        package=name,
        version=version,
        request=[f"{name} ~= {'.'.join(map(str, (*known, 0)[:2]))}"],
        summary=_plain(said.get("summary", ""), 200),
        homepage=_homepage(said),
        license=stated.main or stated.expression or "",
        version_check=f"python -c \"from importlib.metadata import version; print(version('{name}'))\"",
        use_check=_importing(wheel, name),
    )


def _plain(text: str, most: int) -> str:
    """`text` on one line, of printable characters alone."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:most]


def _homepage(said: RawMetadata) -> str:
    urls = {label.strip().lower(): url for label, url in said.get("project_urls", {}).items()}
    wanted = (urls.get(label) for label in ("homepage", "home", "documentation", "repository", "source"))
    found = (_plain(url or "", 300) for url in (said.get("home_page"), *wanted, *urls.values()))
    return next((url for url in found if re.fullmatch(r"https?://[^\s\"'<>]+", url)), "")


def _importing(wheel: Path, name: str) -> str:
    """A command that imports the module of a wheel that its name is nearest to; "" where there is none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            modules = _modules(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise LockError(f"{wheel.name}: no wheel: {error}") from error
    own = canonicalize_name(name).replace("-", "_")
    best = sorted(modules, key=lambda one: (one.lower() != own, not own.endswith(one.lower()), one))
    return f'python -c "import {best[0]}; print({best[0]}.__name__)"' if best else ""


def _modules(files: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found[1] for file in files if (found := MODULE.fullmatch(file))))
