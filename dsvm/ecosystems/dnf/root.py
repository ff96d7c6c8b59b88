"""A private root in which dnf resolves, the archives that it sees, and the keys that sign them."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from dsvm.ecosystems.dnf import rpm
from dsvm.ecosystems.protocol import Context
from dsvm.ecosystems.repositories import OutOfReach, Untrusted, located, place_of, roots, signing_key
from dsvm.host import run, which
from dsvm.model import Key, LockError, Pin, ProgramError, Repository, StoreError
from dsvm.store import Want

ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
SOLVER = Path(__file__).resolve().with_name("solver.py")
running = threading.RLock()


def indented(text: str) -> str:
    return "\n".join(f"    {line.strip()}" for line in text.strip().splitlines()[-12:])


@dataclass(frozen=True)
class Source:
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


def sources(context: Context, repositories: Sequence[str], keys: Path) -> list[Source]:
    """The base's own archive, then `repositories`."""
    base = context.base
    if base.bootstrap is None:
        raise LockError(f"base {base.base} names no archive: it has no 'bootstrap'")
    own: list[Source] = []
    for suite in base.bootstrap.suites:
        archive, _, path = suite.partition("/")
        try:
            mirrors = context.host.apt_mirrors(archive)
        except StoreError as error:
            raise LockError(error.message, hint=error.hint) from error
        key = _own_key(archive, mirrors[0], keys, context)
        signed = base.bootstrap.key is None or base.bootstrap.key.signs == "metadata"
        urls = tuple(f"{mirror}/{path}/" for mirror in mirrors)
        own.append(Source(re.sub("[^A-Za-z0-9_.-]", "-", suite), archive, path, urls, key, signed))
    others: list[Source] = []
    for name in repositories:
        repository = context.repositories[name]
        place = place_of(repository, context)
        urls = tuple(f"{root}/" for root in roots(repository, context))
        if place.key is None:
            key, signed = own[0].key, own[0].signed
        else:
            key = _written(signing_key(f"repository '{name}'", place.key, urls[0], context), keys / f"{name}.asc")
            signed = place.key.signs == "metadata"
        others.append(Source(name, name, "", urls, key, signed, repository))
    return [*own, *others]


def _own_key(archive: str, mirror: str, keys: Path, context: Context) -> Path:
    """A file with the key that signs the base's own archive."""
    assert context.base.bootstrap is not None  # noqa: S101 - sources has looked
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


def fetch_packages(pins: Sequence[Pin], context: Context) -> None:
    wants = [Want(pin.filename, pin.sha256, pin.size, partial(located, pin, context)) for pin in pins]
    context.store.fetch(wants, host=context.host)


def check_packages(pins: Sequence[Pin], source: Source, context: Context) -> None:
    """Fetch the packages of a source without signed metadata and compare each one's signature.

    Raises Untrusted when one is not signed by the key of the source.
    """
    fetch_packages(pins, context)
    files = {pin.filename: context.store.path(pin.sha256) for pin in pins}
    try:
        faults = rpm.unsigned(files, source.key, context.work / f"rpm-{source.registry}") if files else []
    except ProgramError as error:
        raise Untrusted(f"{source.whose}: rpm does not take its key:\n{indented(error.output)}") from error
    if faults:
        raise Untrusted(
            f"{source.whose}: packages are not signed by the key that its manifest names:\n"
            + "\n".join(f"    {fault}" for fault in faults[:12]),
            hint="Do not go on before its owner says which key signs them",
        )


class DnfRoot:
    """A private root in which dnf sees archives and the base's installed packages, and nothing of the host."""

    _made: ClassVar[dict[tuple[Path, str, str, tuple[str, ...]], DnfRoot]] = {}
    # held while dnf runs: no question reads metadata that another one is writing
    _running: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path, context: Context, repositories: Sequence[str]) -> None:
        self.folder = folder
        self.context = context
        self.interpreter = _interpreter()
        self.sources = {one.id: one for one in sources(context, repositories, folder / "keys")}
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
    def of(cls, context: Context, repositories: Sequence[str] = ()) -> DnfRoot:
        kind = "base" if context.base_status else "empty"
        chosen = tuple(sorted({*(context.base.repositories if context.base_status else ()), *repositories}))
        key = (context.work, context.base.base, kind, chosen)
        with running:
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


def _unread(source: Source, why: str, *, signature: bool) -> LockError:
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
