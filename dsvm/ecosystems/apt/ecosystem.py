"""Debian packages, resolved on the host by apt itself in a private root that sees nothing of the host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from debian.debian_support import NativeVersion
from pydantic import Discriminator, Field, StringConstraints, Tag

from dsvm.ecosystems.apt.advised import advised
from dsvm.ecosystems.apt.bootstrap import make_base
from dsvm.ecosystems.apt.contents import contents
from dsvm.ecosystems.apt.control import control_of, paragraphs
from dsvm.ecosystems.apt.generated import generated
from dsvm.ecosystems.apt.root import URI_LINE, AptRoot, explanation
from dsvm.ecosystems.protocol import (
    Advised,
    Asked,
    Client,
    Context,
    Described,
    Generated,
    Offered,
    Pool,
    Recorded,
    Request,
    RunInImage,
)
from dsvm.ecosystems.repositories import OutOfReach, located, out_of_place
from dsvm.host import run
from dsvm.model import (
    Base,
    DsvmError,
    Entry,
    GoneError,
    LockError,
    Model,
    NoExtra,
    Pin,
    ProgramError,
    Repository,
    Section,
    Sha256,
    Stated,
    Step,
    StoreError,
)
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL

# https://www.debian.org/doc/debian-policy/ch-controlfields.html#s-f-source
Package = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
STATUS = "var/lib/dpkg/status"


class Deb(Model):
    """A package file with a fixed URL; what it needs comes from the repositories."""

    deb: Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\s'\"]+\.deb$")] = Field(
        description="URL of the .deb"
    )
    package: Package = Field(description="name of the package that it holds")
    sha256: Sha256 | None = Field(None, description="taken from the first download when it is not given")


def _kind(value: object) -> str:
    return "name" if isinstance(value, str) else "deb"


class Apt:
    """Packages of the base's own distribution, or of the 'repository' that the source names, or with a URL"""

    name = "apt"
    placement: Literal["system"] = "system"
    request_type = Annotated[
        tuple[Annotated[Annotated[Package, Tag("name")] | Annotated[Deb, Tag("deb")], Discriminator(_kind)], ...],
        Field(min_length=1),
    ]
    runtimes = ()
    builders: Mapping[str, Any] = {}
    extra_type = NoExtra
    essential = ("?essential", "apt")
    status_files = (STATUS,)
    bootstrapper = "mmdebstrap"
    programs: Mapping[str, str] = MappingProxyType(
        {
            "apt-get": "resolves Debian and Ubuntu packages; building needs none",
            "mmdebstrap": "makes a base where no registry can be reached",
        }
    )

    def package(self, request: Sequence[str | Deb]) -> str:
        first = request[0]
        return first if isinstance(first, str) else first.package

    def probe(self, request: Sequence[str | Deb], index: str | None, context: Context) -> str | None:
        for one in request:
            if isinstance(one, Deb) and (fault := context.host.unreachable(one.deb)):
                return fault
        wanted = [one for one in request if isinstance(one, str)]
        if not wanted:
            return None
        try:
            root = AptRoot.of(context, (index,) if index else ())
            policy = root.run("apt-cache", "policy", *wanted)
        except OutOfReach as error:
            return error.message
        known = set(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", policy, re.MULTILINE))
        missing = [name for name in wanted if name not in known]
        where = " ".join(context.base.bootstrap.suites) if context.base.bootstrap else context.base.base
        beside = f", and repository '{index}' has no such package that its manifest lets in" if index else ""
        return f"{', '.join(missing)}: not in {where}{beside}" if missing else None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        root = AptRoot.of(context, request.repositories)
        asked = _asked(request)
        files = {one: _fetched(one, context) for one in asked if isinstance(one, Deb)}
        names = [one if isinstance(one, str) else root.local(files[one]) for one in asked]
        try:
            printed = self._solved(root, request, names)
        except ProgramError as error:
            raise LockError(
                f"apt finds no solution for {request.section}:\n" + explanation(error.output),
                hint="Correct the package names, or leave the tool out: --leave-out TOOL",
            ) from error
        found = [match for line in printed.splitlines() if (match := URI_LINE.match(line.strip()))]
        own = f"file:{root.folder}/debs/"  # package files with a URL: they are pinned already
        pins = [*files.values(), *(root.pin(match) for match in found if not match["uri"].startswith(own))]
        return sorted(root.told_apart(pins), key=lambda pin: pin.name), {}

    def _solved(self, root: AptRoot, request: Request, names: Sequence[str]) -> str:
        """What apt would fetch for `names`: with the versions of `prefer` that the archive still has, or the newest."""
        options = ("--yes", "--no-install-recommends", "--print-uris", "--option=Acquire::ForceHash=sha256")
        if request.prefer:
            try:
                return root.run("apt-get", *root.preferring(request), *options, "install", *names)
            except ProgramError:  # apt's pins are no wishes: what is asked for may need a newer version
                pass
        return root.run("apt-get", *options, "install", *names)

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """The dpkg status of a system that has exactly `pins` installed; GoneError where an archive lacks one."""
        root = AptRoot.of(context, sorted({pin.registry for pin in pins if pin.registry in context.repositories}))
        shown = root.run("apt-cache", "show", *(f"{pin.name}={pin.version}" for pin in pins if pin.registry != "url"))
        for pin in pins:
            if pin.registry == "url":
                sha256, _ = context.store.download([pin.file], name=pin.name, host=context.host, sha256=pin.sha256)
                shown += run(["dpkg-deb", "--field", context.store.path(sha256)], timeout=60).stdout + "\n"
        known = {(one["Package"], one["Version"]) for one in paragraphs(shown)}
        if gone := [pin.filename for pin in pins if (pin.name, pin.version) not in known]:  # apt-cache passes over them
            raise GoneError(f"the archive of {context.base.base} has moved on from {', '.join(gone)}", gone=gone)
        return shown.replace("\nVersion: ", "\nStatus: install ok installed\nVersion: ")

    def image_status(self, files: Mapping[str, bytes], context: Context) -> str:
        if not files:
            raise LockError(f"the registry image holds no /{STATUS}", hint="Is it a Debian or Ubuntu image?")
        return files[STATUS].decode()

    def packages(self, status: str) -> Mapping[str, str]:
        return {
            entry["Package"]: entry["Version"]
            for entry in paragraphs(status)
            if entry.get("Status", "").endswith(" installed")
        }

    def bootstrap(self, base: Base, section: Section, store: Store, work: Path, log: Path) -> Path:
        return make_base(base, section, store, work, log)

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        debs = {one.deb: one for one in _asked(asked.request) if isinstance(one, Deb)}
        ours = [pin for pin in section.pins if pin.registry != "url"]
        yield from out_of_place(section.id, ours, asked, ending=".deb")
        for pin in section.pins:
            if pin.registry == "url" and (pin.file not in debs or debs[pin.file].package != pin.name):
                yield f"{pin.name}: no manifest asks for {pin.file}"
        for deb in debs.values():
            found = next((pin for pin in section.pins if (pin.registry, pin.file) == ("url", deb.deb)), None)
            if found is None or deb.sha256 not in (None, found.sha256):
                yield f"{deb.package}: the manifest asks for {deb.deb}{', and for another SHA-256' if found else ''}"

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        control = control_of(artefact, pin.filename)
        name, version = control["Package"], control["Version"]
        needs = [*_names(control.get("Pre-Depends", "")), *_names(control.get("Depends", ""))]
        provided = {other: (name,) for other in _names(control.get("Provides", "")) if other != name}
        return Described(name, version, {**provided, name: needs}, essential=control.get("Essential") == "yes")

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        return contents(artefact)

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterable[tuple[str, Entry]]:
        return contents

    def pools(self, section: Section) -> Iterable[Pool]:
        return ()

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        return generated(section)

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        """Source packages of the distribution; what others publish for it, its advisories say nothing of."""
        return advised(pin, base, store, repositories)

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        return NativeVersion(version)

    def forbids(self, request: Sequence[str | Deb], name: str, version: str) -> str | None:
        return None

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        from dsvm.ecosystems.apt.copyright import licenses

        return licenses(pin, artefact)

    def roots(self, asked: Asked) -> Iterator[str]:
        for one in _asked(asked.request):
            yield one if isinstance(one, str) else one.package

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return [pin.file] if pin.registry == "url" else located(pin, context)

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        return Step(
            script="install-apt",
            args=("--epoch", str(section.epoch), section.id),
            sections=(section.id,),
            helpers=("clamp-system", "pin-java-truststore", "sort-gitconfig"),
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """Every installed package of the image: base and system together."""
        lines = run(["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\t${Package}\t${Version}\n"])
        rows = [line.split("\t") for line in lines.splitlines()]
        return {row[1]: row[2] for row in rows if row[0].startswith("ii")}

    # https://manpages.debian.org/bookworm/dpkg/dpkg.1.en.html, FILES
    records = re.compile("/var/lib/dpkg/status")

    def place(self, section: Section) -> str:
        return ""

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterator[Recorded]:
        for entry in paragraphs(data):
            if entry.get("Status", "").split()[-1:] == ["installed"]:
                name, version = entry.get("Package", ""), entry.get("Version", "")
                if not name or not version:
                    raise ValueError("a paragraph in it names no package, or no version")
                yield Recorded(name, version, f"{name}_{version}_{entry.get('Architecture', 'all')}.deb")

    def folder(self, pin: Pin) -> None:
        return None

    def clients(self, section: Section) -> Iterator[Client]:
        """The base's; packages of one from a registry stand beside its one artefact."""
        if section.pin("apt") or "apt" in section.extra.get("packages", {}):
            yield Client("apt", "apt-get")

    def order(self, version: str) -> NativeVersion:
        return NativeVersion(version)

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """apt takes the newest version that the preferences let in, so that is what locking again brings."""
        root = AptRoot.of(context, asked.request.repositories)
        names = [pin.name for pin in section.pins if pin.registry != "url"]
        policy = root.run("apt-cache", "policy", *names) if names else ""
        newest = dict(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))(\S+)", policy, re.MULTILINE))
        found = {name: Offered(newest[name]) for name in names if name in newest}
        found |= {name: Offered(None, words="the archive has it no more") for name in names if name not in newest}
        if all(newest.get(pin.name, pin.version) == pin.version for pin in section.pins):
            return found
        try:
            again = {pin.name: pin.version for pin in self.resolve(asked.request, context)[0]}
            words = "apt chooses otherwise"
        except DsvmError as error:
            again, words = {}, f"locking again finds no solution: {error.message}"
        return {name: replace(one, again=again.get(name), words=one.words or words) for name, one in found.items()}

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        file, ending, _ = pin.filename.partition(".deb")
        arch = {"arch": file.rpartition("_")[2]} if ending else {}
        return PackageURL("deb", base.os, pin.name, pin.version, {"distro": f"{base.os}-{base.release}", **arch})


def _asked(request: Request) -> list[str | Deb]:
    return list(dict.fromkeys(one for item in request.items for one in item))


def _names(relations: str) -> list[str]:
    """The packages of a field such as `libc6 (>= 2.36), python3:any | python3.11`, each of several that will do."""
    words = (one.strip() for one in re.split(r"[,|]", relations))
    return [re.split(r"[\s(:\[<]", one, maxsplit=1)[0] for one in words if one]


def _fetched(deb: Deb, context: Context) -> Pin:
    """The pin of a package file with a fixed URL, which is in the store afterwards."""
    try:
        sha256, size = context.store.download([deb.deb], name=deb.package, host=context.host, sha256=deb.sha256)
    except StoreError as error:
        if context.host.unreachable(deb.deb) is None:
            raise
        # one that cannot be had may be left out; one that is not what the manifest says is for somebody to look at
        raise LockError(error.message, hint=error.hint) from error
    try:
        shown = run(["dpkg-deb", "--field", context.store.path(sha256), "Package", "Version"], timeout=60).stdout
    except ProgramError as error:
        said = error.output.strip().splitlines()[-1:] or [error.message]
        raise LockError(f"{deb.deb}: not a Debian package: {said[0]}", hint="Correct its URL") from error
    control = dict(line.split(": ", 1) for line in shown.splitlines())
    if control["Package"] != deb.package:
        raise LockError(
            f"{deb.deb}: holds the package {control['Package']}, and the manifest says {deb.package}",
            hint="Correct 'package' or the URL in the manifest",
        )
    return Pin(
        name=deb.package, version=control["Version"], file=deb.deb, size=size, sha256=sha256, registry="url"
    )  # fmt: skip


ECOSYSTEM = Apt()
