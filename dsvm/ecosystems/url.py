"""Plain downloads: archives and files with a fixed URL."""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, HttpUrl, TypeAdapter, field_validator

from dsvm.ecosystems.protocol import Asked, Context, Generated, Pool, Recorded, Request, RunInImage
from dsvm.host import unpacked
from dsvm.model import Base, DsvmError, Entry, ImagePath, LockError, Model, Pin, Section, Sha256, Step

# what broken archives raise
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)


class Download(Model):
    """One file from the web, unpacked (or put) under one folder of the image."""

    url: str = Field(description="http or https")
    version: str
    sha256: Sha256 | None = Field(None, description="taken from the first download when it is not given")
    size: int | None = Field(None, ge=0, description="bytes")
    to: ImagePath = Field(description="folder that the archive is unpacked into, or the file is put into")
    strip: int = Field(0, ge=0, le=8, description="leading folders of the archive to leave off")
    unpack: bool = True
    links: dict[ImagePath, ImagePath] = Field(default_factory=dict, description="symbolic link -> target")

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        TypeAdapter(HttpUrl).validate_python(value)
        return value


class Place(Model):
    """Where a download goes, as `Download` says it."""

    to: ImagePath
    strip: int
    unpack: bool
    links: dict[ImagePath, ImagePath]


class Extra(Model):
    """What installing downloads needs to know beside their pins: file name -> place."""

    places: dict[str, Place]


class Url:
    """Files with a fixed URL"""

    name = "url"
    placement: Literal["tool"] = "tool"
    request_type = Annotated[tuple[Download, ...], Field(min_length=1)]
    runtimes = ("python",)
    builders: Mapping[str, Any] = {}
    extra_type = Extra

    def package(self, request: Sequence[Download]) -> str:
        return _name(request[0])

    def probe(self, request: Sequence[Download], index: str | None, context: Context) -> str | None:
        faults = (context.host.unreachable(download.url) for download in request)
        return next((fault for fault in faults if fault), None)

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        pins = []
        for download in _asked(request):
            sha256, size = download.sha256, download.size
            if sha256 is None or size is None:
                sha256, size = context.store.download(
                    [download.url], name=_name(download), host=context.host, sha256=sha256
                )
            pins.append(
                Pin(
                    name=_name(download),
                    version=download.version,
                    file=download.url,
                    size=size,
                    sha256=sha256,
                    registry="url",
                )
            )
        return sorted(pins, key=lambda pin: pin.name), _extra(request)

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        if section.extra != _extra(asked.request):
            yield "it puts files elsewhere than the manifests say, or other ones"
        wanted = {_name(one): one for one in _asked(asked.request)}
        pins = {pin.name: pin for pin in section.pins}
        for name in sorted(wanted.keys() | pins.keys()):
            one, pin = wanted.get(name), pins.get(name)
            if one is None or pin is None:
                yield f"{name}: {'no manifest asks for it' if one is None else 'it is asked for, and no pin is it'}"
            elif (one.url, one.version, "url") != (pin.file, pin.version, pin.registry):
                yield f"{name}: the manifest asks for {one.url} {one.version}, not {pin.file} {pin.version}"
            elif one.sha256 not in (None, pin.sha256) or one.size not in (None, pin.size):
                yield f"{name}: its manifest says another SHA-256 or size"

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return [pin.file]

    def file_name(self, pin: Pin) -> str:
        return pin.name

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        return Step(script="install-url", args=("--epoch", str(section.epoch), section.id), sections=(section.id,))

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """What install-url wrote down, as far as its folders are still there."""
        found = {}
        for pin in section.pins:
            stamp = f"{section.extra['places'][pin.name]['to']}/.dsvm-url"
            try:
                found[pin.name] = run(["cat", stamp]).strip()
            except DsvmError:
                continue
        return found

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        """The file itself as "", and the members of an archive, the last of each path; of a zip no folders."""
        yield "", Entry("file", 0o644, size=pin.size, sha256=pin.sha256)
        try:
            if (is_zip := zipfile.is_zipfile(artefact)) or tarfile.is_tarfile(artefact):
                found = dict(unpacked(artefact))
                yield from ((path, one) for path, one in found.items() if not (is_zip and one.kind == "folder"))
        except (OSError, ValueError, EOFError, RuntimeError, *BROKEN) as error:
            raise LockError(f"{pin.name}: an archive that cannot be read: {type(error).__name__}: {error}") from error

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterator[tuple[str, Entry]]:
        """install-url gives everything to root, and one of two modes."""
        place = Place.model_validate(section.extra["places"][pin.name])
        for path, entry in contents:
            parts = PurePosixPath(path).parts[1 + place.strip :]
            mode = 0o755 if entry.kind == "folder" or entry.mode & 0o100 else 0o644
            if path == "" and not place.unpack:
                yield f"{place.to}/{pin.name}", entry
            elif parts and place.unpack:
                yield "/".join((place.to, *parts)), entry._replace(mode=mode, uid=0, gid=0)
        stamp = f"{pin.version}\n".encode()
        yield f"{place.to}/.dsvm-url", Entry("file", 0o644, size=len(stamp), sha256=hashlib.sha256(stamp).hexdigest())
        for link, end in place.links.items():
            yield link, Entry("link", target=end)

    def pools(self, section: Section) -> Iterable[Pool]:
        return ()

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        return ()

    # what install-url writes into the folder: the version
    records = re.compile(r".*/\.dsvm-url")

    def place(self, section: Section) -> str:
        """The folder above those of all its downloads."""
        return os.path.commonpath([str(one["to"]) for one in section.extra["places"].values()])

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterator[Recorded]:
        places = section.extra["places"] if section is not None else {}
        folder = path.rpartition("/")[0]
        for name, place in places.items():
            if place["to"] == folder:
                yield Recorded(name, data.decode().strip())

    def folder(self, pin: Pin) -> None:
        return None


def _asked(request: Request) -> list[Download]:
    return [download for item in request.items for download in item]


def _extra(request: Request) -> dict[str, Any]:
    places = {_name(one): Place(**one.model_dump(include={*Place.model_fields})) for one in _asked(request)}
    return Extra(places=places).model_dump(mode="json")


def _name(download: Download) -> str:
    """Last part of the URL without its query: what people call the file."""
    return download.url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


ECOSYSTEM = Url()
