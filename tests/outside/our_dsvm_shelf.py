"""Packages from a shelf: a folder on the web with an index.json, and for each version of a package an archive.

    {"greeter": {"1.0": {"file": "greeter-1.0.tar.gz", "size": 213, "sha256": "...", "needs": ["phrases"]}}}

An archive holds one folder of the package's name, with a file VERSION and perhaps programs in bin. Where the shelf is,
only the machine knows: `sources: {shelf: URL}` in DSVM's configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from packaging.version import Version
from pydantic import AfterValidator, Field

from dsvm.ecosystems import Asked, Context, Request
from dsvm.ecosystems.protocol import RunInImage
from dsvm.model import Base, LockError, NoExtra, Pin, Section, Step, StoreError

PLACE = "/opt/shelf"
# Of all installed files. One for all locks, however long ago each was made: equal packages are equal layers.
TIME = 1_600_000_000  # 2020-09-13 12:26:40 UTC
# Runs in a stage of the image, offline. What it leaves in /out becomes a layer.
INSTALL = f"""\
#!/bin/bash
# Usage: install-shelf SECTION
set -euo pipefail
mkdir -p /out{PLACE} /out/usr/local/bin
for archive in "/dsvm/store/$1"/*.tar.gz; do
    tar --extract --gzip --no-same-owner --file "$archive" --directory /out{PLACE}
done
for program in /out{PLACE}/*/bin/*; do
    ln --symbolic "${{program#/out}}" /out/usr/local/bin/
done
find /out -exec touch --no-dereference --date "@{TIME}" {{}} +
"""


def _package(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*( \d+(\.\d+)*)?", text):
        raise ValueError(f"'{text}' is no package of a shelf: NAME, or NAME VERSION")
    return text


class Shelf:
    """Packages from a shelf, the newest version of each or the one that is named"""

    name = "shelf"
    placement: Literal["image"] = "image"
    request_type = Annotated[tuple[Annotated[str, AfterValidator(_package)], ...], Field(min_length=1)]
    runtimes: tuple[str, ...] = ()
    builders: Mapping[str, Any] = {}
    extra_type = NoExtra
    scripts: Mapping[str, str] = {"install-shelf": INSTALL}

    def package(self, request: Sequence[str]) -> str:
        return request[0].split()[0]

    def probe(self, request: Sequence[str], index: str | None, context: Context) -> str | None:
        try:
            self.resolve(Request("probe", self.name, (request,)), context)
        except (LockError, StoreError) as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        index = _index(context)
        waiting = [text for item in request.items for text in item]
        pins: dict[str, Pin] = {}
        while waiting:
            name, _, version = waiting.pop(0).partition(" ")
            known = index.get(name, {})
            chosen = version or (pins[name].version if name in pins else max(known, key=Version, default=""))
            if chosen not in known:
                raise LockError(f"the shelf has no {name} {version}".rstrip(), hint="See its index.json")
            if name in pins and pins[name].version != chosen:
                raise LockError(f"{name} is wanted as {pins[name].version} and as {chosen}", hint="Ask for one of them")
            entry = known[chosen]
            if name not in pins:
                waiting += entry.get("needs", [])
            size, sha256 = entry["size"], entry["sha256"]
            pins[name] = Pin(
                name=name, version=chosen, file=entry["file"], size=size, sha256=sha256, registry=self.name
            )  # fmt: skip
        return [pins[name] for name in sorted(pins)], {}

    def strange(self, section: Section, asked: Asked) -> Iterable[str]:
        wanted = {text.split()[0] for item in asked.request.items for text in item}
        for pin in section.pins:
            if pin.registry != self.name or pin.filename != f"{pin.name}-{pin.version}.tar.gz":
                yield f"{pin.name} {pin.version}: {pin.file} of '{pin.registry}' is no file of it on a shelf"
        for name in sorted(wanted - {pin.name for pin in section.pins}):
            yield f"{name} is asked for, and no pin is it"

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return [f"{place}/{pin.file}" for place in context.host.source(self.name)]

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        return Step(script="install-shelf", args=(section.id,), sections=(section.id,))

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        shown = ("-name", "VERSION", "-exec", "grep", "--with-filename", "", "{}", "+")
        lines = run(["find", PLACE, "-mindepth", "2", *shown])
        found = (line.split(":") for line in lines.splitlines())
        return {path.split("/")[-2]: version for path, version in found}


def _index(context: Context) -> Mapping[str, Any]:
    places = context.host.source("shelf")
    if not places:
        raise LockError("no place is known for 'shelf'", hint="Name one in DSVM's configuration: sources: {shelf: URL}")
    answer = context.host.get(f"{places[0]}/index.json")
    if answer.status_code != 200:
        raise LockError(f"{places[0]}/index.json: HTTP {answer.status_code}", hint="Is that the place of a shelf?")
    found: Mapping[str, Any] = answer.json()
    return found


ECOSYSTEM = Shelf()
