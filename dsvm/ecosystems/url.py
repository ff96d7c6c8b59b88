"""Plain downloads: archives and files with a fixed URL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, HttpUrl, TypeAdapter, field_validator

from dsvm.ecosystems import Asked, Context, Request, RunInImage
from dsvm.errors import DsvmError
from dsvm.model import Base, ImagePath, Model, Pin, Section, Sha256, Step


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
        faults = (context.machine.unreachable(download.url) for download in request)
        return next((fault for fault in faults if fault), None)

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        pins = []
        for download in _asked(request):
            sha256, size = download.sha256, download.size
            if sha256 is None or size is None:
                sha256, size = context.store.download(
                    [download.url], name=_name(download), machine=context.machine, sha256=sha256
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


def _asked(request: Request) -> list[Download]:
    return [download for item in request.items for download in item]


def _extra(request: Request) -> dict[str, Any]:
    places = {_name(one): Place(**one.model_dump(include={*Place.model_fields})) for one in _asked(request)}
    return Extra(places=places).model_dump(mode="json")


def _name(download: Download) -> str:
    """Last part of the URL without its query: what people call the file."""
    return download.url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


ECOSYSTEM = Url()
