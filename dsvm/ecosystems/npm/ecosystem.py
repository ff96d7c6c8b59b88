"""Node.js programs from npm: one package each, laid out at a prefix with a Node.js of its own."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field, StringConstraints

from dsvm.ecosystems.licenses.names import is_vague, loose
from dsvm.ecosystems.licenses.reading import shown, stated, tar_texts
from dsvm.ecosystems.licenses.texts import own_terms
from dsvm.ecosystems.npm.registry import (
    documents,
    manifests_and_locks,
    needs_of,
    pin_of,
    solve,
    split,
    view,
)
from dsvm.ecosystems.npm.tree import (
    _needed_by,
    bare,
    label,
    labels,
    needed,
    without_hosts,
)
from dsvm.ecosystems.protocol import (
    Advised,
    Asked,
    Context,
    Described,
    Generated,
    Inside,
    Offered,
    Pool,
    Recorded,
    Request,
    RunInImage,
)
from dsvm.host import members
from dsvm.model import Base, LockError, Model, Pin, Repository, Section, Stated, Step, all_of
from dsvm.model import Entry as FileEntry
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL
    from univers.versions import SemverVersion

NAME = r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*"
# A path inside a package, and a glob pattern for such paths; no part starts with a dot.
Folder = Annotated[str, StringConstraints(pattern=r"^[\w@-][\w@.-]*(/[\w@-][\w@.-]*)*$", max_length=200)]
Pattern = Annotated[str, StringConstraints(pattern=r"^[\w@*+-][\w@*+.-]*(/[\w@*+-][\w@*+.-]*)*$", max_length=200)]
NODE = "lib/node"  # inside the prefix
LICENSED = re.compile(r"[^/]+/(?:package\.json|(?i:licen[cs]e|copying)[^/]*)")
INNER = re.compile(rf".*/node_modules/{NAME}/package\.json")


class Program(Model):
    """One npm package that is a program, with everything it needs, as `npm install` in its own folder gives it."""

    package: str = Field(
        pattern=rf"^{NAME}@[0-9A-Za-z^~<>=|*.+ -]+$",
        description="NAME@VERSION or NAME@RANGE, as npm takes it",
    )
    prefix: str = Field(
        pattern=r"^/opt/[a-z0-9][a-z0-9.+-]*$",
        description="folder of the image that becomes the package's own",
    )
    nested: tuple[Folder, ...] = Field(
        (), description="folders in the package whose packages its install script installs too"
    )
    omit: tuple[Annotated[str, StringConstraints(pattern=rf"^{NAME}$")], ...] = Field(
        (), description="optional packages to leave out"
    )
    remove: tuple[Pattern, ...] = Field(
        (), description="glob patterns inside the prefix: what is not needed once it is built"
    )


class Extra(Model):
    """What building a program needs to know beside its pins."""

    # places of packages that come inside other packages
    bundled: tuple[str, ...]
    # folder of the program -> the package-lock.json for it, where its makers ship none
    locks: dict[str, dict[str, Any]]
    nested: tuple[Folder, ...]
    node: Literal["lib/node"]
    prefix: str
    program: str
    remove: tuple[Pattern, ...]


class Npm:
    """A program from npm, built in its own prefix"""

    name = "npm"
    placement: Literal["tool"] = "tool"
    request_type = Program
    runtimes = ()
    builders: Mapping[str, Any] = {}
    extra_type = Extra

    def package(self, request: Program) -> str:
        return split(request.package)[0]

    def probe(self, request: Program, index: str | None, context: Context) -> str | None:
        try:
            view(request.package, context, timeout=60)
        except LockError as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        if len(request.items) != 1:
            raise LockError(f"{request.section}: a tool is one npm program, not {len(request.items)}")
        program: Program = request.items[0]
        top = view(program.package, context)
        top_pin = pin_of(top, context)
        archive = context.store.path(top_pin.sha256)
        entries, locks = [], {}
        folders = manifests_and_locks(archive, ("", *program.nested), top.name)
        for root, (manifest, lock) in folders.items():
            if lock is None:
                work = context.work / f"npm-{request.section}" / (root or "top")
                lock = locks[root] = without_hosts(solve(manifest, work, top.name, context))
            entries += list(needed(lock, context.base, omit=program.omit, root=root))
        fetched = {(one.name, one.version): one for one in entries if not one.bundled}
        with ThreadPoolExecutor(8) as pool:
            pins = list(pool.map(lambda one: pin_of(one, context), fetched.values()))
        bundled = sorted(one.place for one in entries if one.bundled)
        return label([top_pin, *pins], top.name), {**_said(program), "bundled": bundled, "locks": locks}

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        (program,) = asked.request.items
        extra, name = section.extra, self.package(program)
        if {key: extra[key] for key in _said(program)} != _said(program):
            yield "its 'extra' is not what the manifest makes it"
        if not extra["locks"].keys() <= {"", *program.nested}:
            yield f"it has lock files for {', '.join(extra['locks'])}, and not only for the folders of the manifest"
        for pin in section.pins:
            if pin.registry != "npm" or not re.fullmatch(rf"{re.escape(bare(pin.name))}/-/[^/]+\.tgz", pin.file):
                yield f"{pin.name} {pin.version}: {pin.file} of '{pin.registry}' is no file of it in npm's registry"
            if not re.fullmatch(r"(sha(1|256|384|512)-[A-Za-z0-9+/=]+ ?)+", pin.integrity or "sha1-0"):
                yield f"{pin.name}: {pin.integrity} is no digest of npm's"
        top = next((pin for pin in section.pins if pin.name == name), None)
        wanted = split(program.package)[1]
        if top is None or (re.fullmatch(r"\d+\.\d+\.\d+", wanted) and wanted != top.version):
            yield f"{program.package} is asked for, and {f'{name} {top.version} is pinned' if top else 'no pin is it'}"
        pinned = {(bare(pin.name), pin.version, pin.integrity) for pin in section.pins}
        for root, lock in extra["locks"].items():
            try:
                entries = [*needed(lock, asked.base, omit=program.omit, root=root)]
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                yield f"its lock file for {root or name} cannot be read: {type(error).__name__}: {error}"
                continue
            for one in entries:
                if not one.bundled and (one.name, one.version, one.integrity) not in pinned:
                    yield f"{one.name} {one.version}: its lock file for {root or name} needs it, and no pin is it"

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        """A program's own folders may have needs of their own: all count, for what is asked for names them."""
        name = bare(pin.name)
        needs: dict[str, None] = {}
        said: Mapping[str, Any] = {}
        try:
            for place, _, manifest in documents(artefact, ("package.json",)):
                if not place:
                    said = manifest
                needs |= dict.fromkeys(needs_of(manifest))
            return Described(str(said["name"]), str(said["version"]), {name: [*needs]})
        except (KeyError, AttributeError, TypeError) as error:
            raise LockError(f"{pin.filename}: no npm package: its package.json is not one") from error

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, FileEntry]]:
        """npm calls a package's .gitignore .npmignore where it unpacks it."""
        try:
            with gzip.open(artefact) as packed:
                for path, entry in members(packed):
                    inner = path.partition("/")[2].partition("/")[2]
                    yield inner, entry
                    if inner.endswith(".gitignore"):
                        yield f"{inner.removesuffix('.gitignore')}.npmignore", entry
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise LockError(f"{pin.filename}: no npm package: {error}") from error

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, FileEntry]], base: Base
    ) -> Iterable[tuple[str, FileEntry]]:
        """None: npm decides where a package goes, and the tool's manifest what is removed again."""
        return ()

    def pools(self, section: Section) -> Iterable[Pool]:
        sections = (section.id, f"{section.tools[0]}-build-pypi")
        yield Pool(section.extra["prefix"], sections, "npm, as the program's tree of packages says")

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        prefix = section.extra["prefix"]
        return (
            Generated(f"{prefix}/*/build/Release/*", "modules that are compiled when the program is installed"),
            Generated(f"{prefix}/*", "links that npm and the program's own scripts make", "link"),
            Generated(f"{prefix}/bin/*", "our script: it starts the program with its own Node.js"),
            Generated(f"{prefix}/{section.extra['node']}", "our script: Node.js out of its wheel, stripped"),
            Generated(f"{prefix}/{section.extra['node']}.LICENSE", "our script: Node.js out of its wheel"),
            Generated("/usr/local/bin/*", "our script: links to the program's commands", "link"),
        )

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        return (Advised("npm", bare(pin.name), pin.version),)

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        """https://semver.org/#spec-item-11"""
        from semver import Version

        return Version.parse(version, optional_minor_and_patch=True)

    def forbids(self, request: Program, name: str, version: str) -> str | None:
        """Only where the manifest names one version: what a range of npm's allows, npm alone says."""
        asked, allowed = split(request.package)
        exact = re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", allowed)
        return f"{asked}@{allowed}" if exact and (asked, allowed) != (name, version) and asked == name else None

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        """By `license`, or the older `licenses`, of package.json, as npm documents it."""
        try:
            texts = tar_texts(artefact, LICENSED)
            name = next((one for one in texts if one.endswith("/package.json")), None)
            said = json.loads(texts.pop(name)) if name is not None else None
        except (ValueError, RecursionError) as error:
            return Stated(file="package.json", why=shown(str(error)))
        if name is None or not isinstance(said, dict):
            return Stated(file="package.json", why="it has no readable package.json")
        words = _license_words(said)
        if words and (found := loose(words)):
            return stated(found, words, name)
        read = {file: one for file, text in sorted(texts.items()) if (one := own_terms(text))}
        if read and is_vague(words):
            return stated(all_of(read.values()), words or next(iter(texts.values())), ", ".join(read), by_words=True)
        told = " ".join(one for one in (words, *texts.values()) if one)
        return stated(None, told, name, "" if told else "it says nothing of its licence")

    def roots(self, asked: Asked) -> Iterator[str]:
        yield from (self.package(program) for program in asked.request.items)

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return [f"{context.host.npm_registry().rstrip('/')}/{pin.file}"]

    def file_name(self, pin: Pin) -> str:
        return file_name(pin)

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        node = f"{section.tools[0]}-build-pypi"
        return Step(
            script="install-npm",
            args=("--epoch", str(section.epoch), "--node", node, section.id),
            sections=(section.id, node),
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        prefix = section.extra["prefix"]
        roots = [prefix, *(f"{prefix}/{root}" for root in section.extra["nested"])]
        rows: list[list[str]] = json.loads(run([f"{prefix}/{section.extra['node']}", "-e", WALK, *roots]))
        bundled = {f"{prefix}/{place}" for place in section.extra["bundled"]}
        top, *others = rows
        found = {(name, version) for place, name, version in others if place not in bundled}
        return dict(labels({(top[1], top[2]), *found}, top[1], top[2]).items())

    def inside(self, pin: Pin, artefact: Path) -> Iterator[Inside]:
        """Packages that a tarball brings in folders of its own (bundleDependencies)."""
        for path, text in sorted(tar_texts(artefact, INNER).items()):
            try:
                said = json.loads(text)
                name, version = said["name"], said["version"]
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if isinstance(name, str) and isinstance(version, str):
                whole = quote(name, safe="/")
                yield Inside(name, version, path, f"pkg:npm/{whole}@{version}", license=loose(_license_words(said)))

    # a program of ours at its prefix, and each package in a folder of packages
    records = re.compile(rf"/opt/[^/]+/package\.json|.*/node_modules/{NAME}/package\.json")

    def place(self, section: Section) -> str:
        return str(section.extra["prefix"])

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterator[Recorded]:
        said = json.loads(data)
        if not isinstance(said, dict):
            raise ValueError("it is no JSON object")
        name, version = said.get("name"), said.get("version")
        if isinstance(name, str) and isinstance(version, str):
            yield Recorded(name, version, license=_license_words(said))

    def folder(self, pin: Pin) -> None:
        return None

    def order(self, version: str) -> SemverVersion:
        """https://semver.org/#spec-item-11"""
        from univers.versions import SemverVersion

        return SemverVersion(version)

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        from dsvm.ecosystems.npm.offered import offered

        program: Program = asked.request.items[0]
        top = next(pin for pin in section.pins if pin.name == self.package(program))

        def again() -> str:
            return view(program.package, context).version

        return offered(section, top, context, again, lambda: self._needs(program, top, section.id, context))

    def _needs(self, program: Program, top: Pin, section: str, context: Context) -> dict[tuple[str, str], list[str]]:
        """Name and version of what a program needs, by its own lock files or as npm chooses now -> who needs it."""
        if context.store.size(top.sha256) is None:
            raise LockError(f"{top.name} {top.version} is not in the store, and only it says what it needs")
        archive = context.store.path(top.sha256)
        found: dict[tuple[str, str], list[str]] = {}
        folders = manifests_and_locks(archive, ("", *program.nested), top.name)
        for root, (manifest, lock) in folders.items():
            if lock is None:
                work = context.work / f"npm-{section}" / (root or "top")
                solved = solve(manifest, work, top.name, context)
                for other, who in _needed_by(solved, context.base, program.omit, top.name):
                    found.setdefault(other, []).append(who)
                continue
            for one in needed(lock, context.base, omit=program.omit, root=root):
                found.setdefault((one.name, one.version), []).append(f"{top.name} {top.version} has it in a lock file")
        return found

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        scope, _, name = pin.plain_name.rpartition("/")
        return PackageURL("npm", scope or None, name, pin.version)


# Prints [[place, name, version], ...]: the program itself, then every package below each root's node_modules.
WALK = """
const fs = require('fs'), rows = [];
const add = (place) => {
  const {name, version} = JSON.parse(fs.readFileSync(place + '/package.json'));
  rows.push([place, name, version]);
};
const list = (folder) => fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => name[0] !== '.') : [];
const walk = (root) => {
  for (const name of list(root + '/node_modules')) {
    const folder = root + '/node_modules/' + name;
    for (const place of name[0] === '@' ? list(folder).map((one) => folder + '/' + one) : [folder]) {
      add(place);
      walk(place);
    }
  }
};
add(process.argv[1]);
process.argv.slice(1).forEach(walk);
console.log(JSON.stringify(rows));
"""


def file_name(pin: Pin) -> str:
    """Name of a pin's file in the folder that a build mounts, unique: `@xterm+headless+headless-6.1.0.tgz`."""
    return pin.file.replace("/-/", "/").replace("/", "+")


def _said(program: Program) -> dict[str, Any]:
    """What of a section's `extra` the manifest determines."""
    name, _ = split(program.package)
    asked = {"nested": list(program.nested), "prefix": program.prefix, "remove": list(program.remove)}
    return {**asked, "node": NODE, "program": name}


def _license_words(said: Mapping[str, Any]) -> str:
    """What a package.json says of its licence: words, or in old ones an object, or several of which one is chosen."""
    value = said.get("license") or said.get("licenses") or ""
    several = value if isinstance(value, list) else [value]
    words = [one.get("type") if isinstance(one, dict) else one for one in several]
    return " OR ".join(f"({one})" if len(words) > 1 else one for one in words if isinstance(one, str) and one)


ECOSYSTEM = Npm()
