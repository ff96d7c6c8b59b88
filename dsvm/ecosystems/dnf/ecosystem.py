"""RPM packages, resolved on the host by dnf itself in a private root that sees nothing of the host."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from dsvm.ecosystems.dnf import database, header, held, rpm
from dsvm.ecosystems.dnf.advised import advised, order
from dsvm.ecosystems.protocol import Advised, Asked, Context, Generated, Offered, Pool, Recorded, Request, RunInImage
from dsvm.ecosystems.repositories import OutOfReach, Untrusted, out_of_place, place_of, roots, signing_key
from dsvm.host import run, which
from dsvm.model import (
    Base,
    Entry,
    Key,
    LockError,
    NoExtra,
    Pin,
    ProgramError,
    Repository,
    Section,
    Stated,
    Step,
    StoreError,
    digest_of,
)
from dsvm.store import Store, Want

if TYPE_CHECKING:
    from packageurl import PackageURL
    from univers.rpm import RpmVersion

# https://rpm-software-management.github.io/rpm/manual/spec.html (Name), and a module's stream to take packages from
NAME = "[A-Za-z0-9_][A-Za-z0-9_.+-]*"
Package = Annotated[str, StringConstraints(pattern=rf"^(@{NAME}:)?{NAME}$", max_length=200)]
# What install-dnf works with, and a registry's image may lack.
HELPER = "findutils"
ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
SOLVER = Path(__file__).resolve().with_name("solver.py")
_lock = threading.RLock()


def _has_a_package(request: tuple[str, ...]) -> tuple[str, ...]:
    if all(one.startswith("@") for one in request):
        raise ValueError("it names no package beside streams of modules (@MODULE:STREAM)")
    return request


class Dnf:
    """Packages of the base's own distribution, or of the 'repository' that the source names; @MODULE:STREAM"""

    name = "dnf"
    placement: Literal["system"] = "system"
    request_type = Annotated[tuple[Package, ...], Field(min_length=1), AfterValidator(_has_a_package)]
    runtimes = ()
    builders: Mapping[str, Any] = {}
    extra_type = NoExtra
    # the Python is what dnf itself runs on, and pins the times of rpm's database
    essential = ("bash", HELPER, "python3", "rpm")
    status_files = rpm.DATABASE_FILES
    bootstrapper = "rpm"
    programs: Mapping[str, str] = MappingProxyType(
        {
            "dnf-3": "resolves RPM packages; building needs none",
            "rpm": "reads RPM packages and makes a base where no registry can be reached",
            "rpmkeys": "compares the signatures of RPM packages",
        }
    )

    def package(self, request: Sequence[str]) -> str:
        return next(one for one in request if not one.startswith("@"))

    def probe(self, request: Sequence[str], index: str | None, context: Context) -> str | None:
        try:
            unknown = _DnfRoot.of(context, (index,) if index else ()).ask(request, solve=False)["unknown"]
        except OutOfReach as error:
            return error.message
        return _unknown(unknown, context, index) if unknown else None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        root = _DnfRoot.of(context, request.repositories)
        asked = _asked(request)
        answer = root.ask(asked)
        if unknown := answer["unknown"]:
            raise LockError(
                f"{request.section}: {_unknown(unknown, context, *request.repositories)}",
                hint="Correct the package names, or leave the tool out: --leave-out TOOL",
            )
        if "fault" in answer:
            raise LockError(
                f"dnf finds no solution for {request.section}:\n" + _indented(answer["fault"]),
                hint="Correct the package names, or leave the tool out: --leave-out TOOL",
            )
        if strange := [one for one in answer["packages"] if one["name"] in answer["strange"]]:
            raise LockError(
                "\n".join(
                    f"{one['name']}: it would come from repository '{root.sources[one['repository']].registry}', "
                    "whose manifest does not name it"
                    for one in strange
                ),
                hint="Name the package under 'packages' of the repository's manifest",
            )
        if gone := answer["removed"]:
            raise LockError(
                f"{request.section}: it would take {', '.join(gone)} out of base {context.base.base}",
                hint="Ask for packages that can be beside those of the base",
            )
        pins = {one["name"]: root.pin(one) for one in answer["packages"]}
        held = self.packages(context.base_status) if context.base_status else {}
        if replaced := [one for one in asked if not one.startswith("@") and one not in pins and one not in held]:
            raise LockError(
                f"{request.section}: {', '.join(replaced)}: another package has taken its place",
                hint=f"Ask for what there is instead: one of {', '.join(sorted(pins))}",
            )
        for source in root.sources.values():
            if not source.signed:
                theirs = [pins[one["name"]] for one in answer["packages"] if one["repository"] == source.id]
                _check_packages(theirs, source, context)
        return [pins[name] for name in sorted(pins)], {}

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """A folder with the rpm database of a system that has exactly `pins` installed."""
        name = digest_of(sorted(pin.sha256 for pin in pins))[:12]
        folder = context.work / f"dnf-{context.base.base}-{name}"
        with _lock:
            if not folder.exists():
                _fetch(pins, context)
                part = folder.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                rpm.record(part, [context.store.path(pin.sha256) for pin in pins])
                part.rename(folder)
        return str(folder)

    def image_status(self, files: Mapping[str, bytes], context: Context) -> str:
        places = [place for place in rpm.DATABASES if any(name.startswith(f"{place}/") for name in files)]
        if not places:
            raise LockError(
                f"the registry image holds no /{rpm.DATABASE_FILES[0]}",
                hint="Is it an image of a distribution of RPM packages?",
            )
        folder = context.work / f"dnf-{context.base.base}-image"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in files.items():
            if name.startswith(f"{places[-1]}/"):
                (folder / PurePosixPath(name).name).write_bytes(content)
        return str(folder)

    def packages(self, status: str) -> Mapping[str, str]:
        return rpm.packages(Path(status))

    def bootstrap(self, base: Base, section: Section, store: Store, work: Path, log: Path) -> Path:
        return rpm.make_base(section, store, work, log)

    def strange(self, section: Section, asked: Asked) -> Iterable[str]:
        return out_of_place(section.id, section.pins, asked, ending=".rpm")

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        """Binary and source packages, for some distributions' advisories name these and some those."""
        return advised(pin, base, store)

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        return order(version)

    def forbids(self, request: Sequence[str], name: str, version: str) -> str | None:
        return None

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        repository = context.repositories.get(pin.registry)
        places = roots(repository, context) if repository else context.host.apt_mirrors(pin.registry)
        return [f"{place}/{pin.file}" for place in places]

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        return header.licenses(artefact)

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        return Step(
            script="install-dnf",
            args=("--epoch", str(section.epoch), section.id),
            sections=(section.id,),
            helpers=("clamp-system", "pin-rpmdb"),
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """Every installed package of the image: base and system together."""
        return rpm.listed(run(["rpm", *rpm.LIST]))

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        return held.contents(artefact)

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterable[tuple[str, Entry]]:
        return contents

    def pools(self, section: Section) -> Iterable[Pool]:
        return ()

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        return held.GENERATED

    records = database.RECORDS

    def place(self, section: Section) -> str:
        return ""

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterable[Recorded]:
        return database.recorded(data)

    def folder(self, pin: Pin) -> None:
        return None

    def order(self, version: str) -> RpmVersion:
        """https://rpm-software-management.github.io/rpm/man/rpm-version.7"""
        from univers.rpm import RpmVersion

        found: RpmVersion = RpmVersion.from_string(version)  # type: ignore[no-untyped-call]
        return found

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """dnf is told to take the best of everything, so what it chooses otherwise something else forbids."""
        root = _DnfRoot.of(context, asked.request.repositories)
        answer = root.ask(_asked(asked.request), newest=[pin.name for pin in section.pins])
        again = {one["name"]: one["version"] for one in answer["packages"]}
        words = _indented(answer["fault"]).strip() if "fault" in answer else "dnf chooses otherwise"
        newest = answer["newest"]
        return {
            pin.name: Offered(newest[pin.name], again.get(pin.name), words=words)
            if pin.name in newest
            else Offered(None, words="no repository has it any more")
            for pin in section.pins
        }

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        epoch, _, version = pin.version.rpartition(":")
        file, ending, _ = pin.filename.partition(".rpm")
        qualifiers = {"distro": f"{base.os}-{base.release}", **({"epoch": epoch} if epoch else {})}
        qualifiers |= {"arch": file.rpartition(".")[2]} if ending else {}
        return PackageURL("rpm", base.os, pin.name, version, qualifiers)


def _asked(request: Request) -> list[str]:
    """Packages and streams of modules, with what installing works with."""
    return list(dict.fromkeys((*(one for item in request.items for one in item), HELPER)))


def _unknown(names: Sequence[str], context: Context, *repositories: str | None) -> str:
    where = " ".join(context.base.bootstrap.suites) if context.base.bootstrap else context.base.base
    named = [f"'{name}'" for name in (*context.base.repositories, *repositories) if name]
    let_in = "repositories {} let" if named[1:] else "repository {} lets"
    beside = f", and {let_in.format(', '.join(named))} in no such package" if named else ""
    return f"{', '.join(names)}: not in {where}{beside}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line.strip()}" for line in text.strip().splitlines()[-12:])


# --- where packages come from ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """A folder with repodata, as dnf is told of it."""

    id: str
    # what pins call it, and the folder below that registry's place
    registry: str
    path: str
    urls: tuple[str, ...]
    key: Path
    # whether its metadata are signed; else each package is
    signed: bool
    repository: Repository | None = None

    @property
    def whose(self) -> str:
        return f"repository '{self.registry}'" if self.repository else f"archive '{self.registry}'"

    def told(self) -> dict[str, Any]:
        """What the solver is told of it."""
        return {
            "id": self.id,
            "urls": list(self.urls),
            "key": str(self.key),
            "signed": self.signed,
            "packages": list(self.repository.packages) if self.repository else None,
            "needs": bool(self.repository and self.repository.needs),
        }


def _sources(context: Context, repositories: Sequence[str], keys: Path) -> list[_Source]:
    """The base's own archive, then `repositories`."""
    base = context.base
    if base.bootstrap is None:
        raise LockError(f"base {base.base} names no archive: it has no 'bootstrap'")
    own: list[_Source] = []
    for suite in base.bootstrap.suites:
        archive, _, path = suite.partition("/")
        try:
            mirrors = context.host.apt_mirrors(archive)
        except StoreError as error:
            raise LockError(error.message, hint=error.hint) from error
        key = _own_key(archive, mirrors[0], keys, context)
        signed = base.bootstrap.key is None or base.bootstrap.key.signs == "metadata"
        urls = tuple(f"{mirror}/{path}/" for mirror in mirrors)
        own.append(_Source(re.sub("[^A-Za-z0-9_.-]", "-", suite), archive, path, urls, key, signed))
    others: list[_Source] = []
    for name in repositories:
        repository = context.repositories[name]
        place = place_of(repository, context)
        urls = tuple(f"{root}/" for root in roots(repository, context))
        if place.key is None:
            key, signed = own[0].key, own[0].signed
        else:
            key = _written(signing_key(f"repository '{name}'", place.key, urls[0], context), keys / f"{name}.asc")
            signed = place.key.signs == "metadata"
        others.append(_Source(name, name, "", urls, key, signed, repository))
    return [*own, *others]


def _own_key(archive: str, mirror: str, keys: Path, context: Context) -> Path:
    """A file with the key that signs the base's own archive."""
    assert context.base.bootstrap is not None  # noqa: S101 - _sources has looked
    key: Key | None = context.base.bootstrap.key
    if key is not None:
        path = keys / f"{archive}.asc"
        return path if path.exists() else _written(signing_key(f"archive '{archive}'", key, mirror, context), path)
    keyring = Path(str(context.base.bootstrap.keyring))
    if not keyring.is_file():
        raise LockError(
            f"{keyring}: no such keyring, so packages of {context.base.base} cannot be trusted",
            hint=f"Install the distribution's keyring package ({keyring.stem})",
        )
    return keyring


def _written(cert: object, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(cert))  # armoured: rpm takes no other form
    return path


def _fetch(pins: Sequence[Pin], context: Context) -> None:
    wants = [Want(pin.filename, pin.sha256, pin.size, partial(ECOSYSTEM.locate, pin, context)) for pin in pins]
    context.store.fetch(wants, host=context.host)


def _check_packages(pins: Sequence[Pin], source: _Source, context: Context) -> None:
    """Fetch the packages of a source without signed metadata and compare each one's signature.

    Raises Untrusted when one is not signed by the key of the source.
    """
    _fetch(pins, context)
    files = {pin.filename: context.store.path(pin.sha256) for pin in pins}
    try:
        faults = rpm.unsigned(files, source.key, context.work / f"rpm-{source.registry}") if files else []
    except ProgramError as error:
        raise Untrusted(f"{source.whose}: rpm does not take its key:\n{_indented(error.output)}") from error
    if faults:
        raise Untrusted(
            f"{source.whose}: packages are not signed by the key that its manifest names:\n"
            + "\n".join(f"    {fault}" for fault in faults[:12]),
            hint="Do not go on before its owner says which key signs them",
        )


# --- dnf ---------------------------------------------------------------------------------------------------


class _DnfRoot:
    """A private root in which dnf sees archives and the base's installed packages, and nothing of the host."""

    _made: ClassVar[dict[tuple[Path, str, str, tuple[str, ...]], _DnfRoot]] = {}
    # held while dnf runs: no question reads metadata that another one is writing
    _running: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path, context: Context, repositories: Sequence[str]) -> None:
        self.folder = folder
        self.context = context
        self.interpreter = _interpreter()
        self.sources = {one.id: one for one in _sources(context, repositories, folder / "keys")}
        shutil.rmtree(folder / "root", ignore_errors=True)
        database = folder / "root" / rpm.DATABASES[0]
        if context.base_status:
            shutil.copytree(context.base_status, database)
        else:
            database.mkdir(parents=True)
        (folder / "home").mkdir(exist_ok=True)
        # Distributions differ in where rpm looks for the database, and Debian's looks into the user's own folder.
        (folder / "home" / ".rpmmacros").write_text(f"%_dbpath /{rpm.DATABASES[0]}\n")

    @classmethod
    def of(cls, context: Context, repositories: Sequence[str] = ()) -> _DnfRoot:
        kind = "base" if context.base_status else "empty"
        chosen = tuple(sorted({*(context.base.repositories if context.base_status else ()), *repositories}))
        key = (context.work, context.base.base, kind, chosen)
        with _lock:
            if key not in cls._made:
                folder = context.work / "+".join((f"dnf-{context.base.base}-{kind}", *chosen))
                folder.mkdir(parents=True, exist_ok=True)
                cls._made[key] = cls(folder, context, chosen)
            return cls._made[key]

    def ask(self, request: Sequence[str], *, solve: bool = True, newest: Sequence[str] = ()) -> dict[str, Any]:
        """The solver's answer. Raises OutOfReach or Untrusted for a repository that cannot be read, or trusted."""
        host = self.context.host
        base = self.context.base
        release = base.release.partition(".")[0]
        question = {
            "root": str(self.folder / "root"),
            "cache": str(self.context.work / f"dnf-{base.base}-cache"),
            "arch": ARCHES[base.arch],
            "release": release,
            "platform": f"platform:el{release}",
            "configuration": str(host.etc / "dnf/dnf.conf"),
            "authorities": host.environ.get("SSL_CERT_FILE"),
            "repositories": [one.told() for one in self.sources.values()],
            "install": [one for one in request if not one.startswith("@")],
            "modules": [one.removeprefix("@") for one in request if one.startswith("@")],
            "solve": solve,
            "newest": [*newest],
        }
        with self._running:
            answer: dict[str, Any] = json.loads(
                run(
                    [self.interpreter, "-I", SOLVER],
                    env={"HOME": str(self.folder / "home"), "LC_ALL": "C.UTF-8"},
                    stdin=json.dumps(question),
                    timeout=900,
                ).stdout
            )
        if unread := answer.get("unread"):
            raise _unread(self.sources[unread["repository"]], unread["why"], signature=unread["signature"])
        return {"unknown": [], "packages": [], "strange": [], "removed": [], "newest": {}, **answer}

    def pin(self, one: Mapping[str, Any]) -> Pin:
        """The pin of a package that the solver has chosen. Raises LockError when its repository says no SHA-256."""
        source = self.sources[one["repository"]]
        path = PurePosixPath(one["file"])
        if path.is_absolute() or ".." in path.parts or "://" in one["file"]:
            raise LockError(f"{source.whose}: {one['name']} is outside of it: {one['file']}")
        kind, digest = one["digest"]
        if kind != "sha256":
            raise LockError(
                f"{source.whose}: it knows packages by their {kind} only, and a lock needs their SHA-256",
                hint="Ask its owner to make its metadata with createrepo_c --checksum sha256",
            )
        return Pin(
            name=one["name"],
            version=one["version"],
            file=str(PurePosixPath(source.path) / path),
            size=one["size"],
            sha256=digest,
            registry=source.registry,
        )


def _unread(source: _Source, why: str, *, signature: bool) -> LockError:
    reason = why.split(": ", 1)[-1].strip()
    if signature:
        return Untrusted(
            f"{source.whose}: it is not signed by the key that its manifest names: {reason}",
            hint="Do not go on before its owner says which key signs it",
        )
    kind = OutOfReach if source.repository else LockError
    return kind(f"{source.whose} cannot be read: {reason}", hint="Check the network and its place")


def _interpreter() -> str:
    """The Python that has dnf's modules: the one that its program is run by."""
    program = which("dnf-3")
    with Path(program).open("rb") as file:
        words = file.readline().decode(errors="replace").removeprefix("#!").split()
    if not words or not words[0].startswith("/"):
        raise ProgramError(f"{program}: not a Python program", hint="DSVM resolves RPM packages with dnf 4")
    return words[0]


ECOSYSTEM = Dnf()
