"""Node.js programs from npm: one package each, laid out at a prefix with a Node.js of its own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, StringConstraints

from dsvm.ecosystems.licenses.names import is_vague, loose
from dsvm.ecosystems.licenses.reading import shown, stated, tar_texts
from dsvm.ecosystems.licenses.texts import own_terms
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
from dsvm.host import bounded, bundled, members, run
from dsvm.model import Base, LockError, Model, Pin, ProgramError, Repository, Section, Stated, Step, all_of
from dsvm.model import Entry as FileEntry
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL
    from univers.versions import SemverVersion

NAME = r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*"
# A path inside a package, and a glob pattern for such paths; no part starts with a dot.
Folder = Annotated[str, StringConstraints(pattern=r"^[\w@-][\w@.-]*(/[\w@-][\w@.-]*)*$", max_length=200)]
Pattern = Annotated[str, StringConstraints(pattern=r"^[\w@*+-][\w@*+.-]*(/[\w@*+-][\w@*+.-]*)*$", max_length=200)]
NEEDS = ("dependencies", "optionalDependencies", "peerDependencies")
LOCK_FILES = ("npm-shrinkwrap.json", "package-lock.json")
CPUS = {"amd64": "x64", "arm64": "arm64"}
NODE = "lib/node"  # inside the prefix
LICENSED = re.compile(r"[^/]+/(?:package\.json|(?i:licen[cs]e|copying)[^/]*)")
INNER = re.compile(rf".*/node_modules/{NAME}/package\.json")
MOST = 64 << 20  # bytes of a JSON file in a package
# How npm is set up on this host may not change what a lock says: only where packages come from stays its own.
SETTINGS = {
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
    "npm_config_ignore_scripts": "true",
    "npm_config_omit_lockfile_registry_resolved": "false",
    "npm_config_package_lock": "true",
    "npm_config_loglevel": "error",
}


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


class Entry(NamedTuple):
    """One package at its place in a tree: `place` is like `lib/vscode/node_modules/ws`."""

    place: str
    name: str
    version: str
    integrity: str | None
    url: str
    bundled: bool


class Npm:
    """A program from npm, built in its own prefix"""

    name = "npm"
    placement: Literal["tool"] = "tool"
    request_type = Program
    runtimes = ()
    builders: Mapping[str, Any] = {}
    extra_type = Extra

    def package(self, request: Program) -> str:
        return _split(request.package)[0]

    def probe(self, request: Program, index: str | None, context: Context) -> str | None:
        try:
            _view(request.package, context, timeout=60)
        except LockError as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        if len(request.items) != 1:
            raise LockError(f"{request.section}: a tool is one npm program, not {len(request.items)}")
        program: Program = request.items[0]
        top = _view(program.package, context)
        top_pin = _pin(top, context)
        archive = context.store.path(top_pin.sha256)
        entries, locks = [], {}
        for root in ("", *program.nested):
            manifest, lock = _manifest_and_lock(archive, root, top.name)
            if lock is None:
                work = context.work / f"npm-{request.section}" / (root or "top")
                lock = locks[root] = without_hosts(_solve(manifest, work, top.name, context))
            entries += list(needed(lock, context.base, omit=program.omit, root=root))
        fetched = {(one.name, one.version): one for one in entries if not one.bundled}
        with ThreadPoolExecutor(8) as pool:
            pins = list(pool.map(lambda one: _pin(one, context), fetched.values()))
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
            if pin.registry != "npm" or not re.fullmatch(rf"{re.escape(_bare(pin.name))}/-/[^/]+\.tgz", pin.file):
                yield f"{pin.name} {pin.version}: {pin.file} of '{pin.registry}' is no file of it in npm's registry"
            if not re.fullmatch(r"(sha(1|256|384|512)-[A-Za-z0-9+/=]+ ?)+", pin.integrity or "sha1-0"):
                yield f"{pin.name}: {pin.integrity} is no digest of npm's"
        top = next((pin for pin in section.pins if pin.name == name), None)
        wanted = _split(program.package)[1]
        if top is None or (re.fullmatch(r"\d+\.\d+\.\d+", wanted) and wanted != top.version):
            yield f"{program.package} is asked for, and {f'{name} {top.version} is pinned' if top else 'no pin is it'}"
        pinned = {(_bare(pin.name), pin.version, pin.integrity) for pin in section.pins}
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
        name = _bare(pin.name)
        needs: dict[str, None] = {}
        said: Mapping[str, Any] = {}
        try:
            for place, _, manifest in _documents(artefact, ("package.json",)):
                if not place:
                    said = manifest
                needs |= dict.fromkeys(_names(manifest))
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
        return (Advised("npm", _bare(pin.name), pin.version),)

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        """https://semver.org/#spec-item-11"""
        from semver import Version

        return Version.parse(version, optional_minor_and_patch=True)

    def forbids(self, request: Program, name: str, version: str) -> str | None:
        """Only where the manifest names one version: what a range of npm's allows, npm alone says."""
        asked, allowed = _split(request.package)
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
        from dsvm.ecosystems.offers.npm import offered

        program: Program = asked.request.items[0]
        top = next(pin for pin in section.pins if pin.name == self.package(program))

        def again() -> str:
            return _view(program.package, context).version

        return offered(section, top, context, again, lambda: self._needs(program, top, section.id, context))

    def _needs(self, program: Program, top: Pin, section: str, context: Context) -> dict[tuple[str, str], list[str]]:
        """Name and version of what a program needs, by its own lock files or as npm chooses now -> who needs it."""
        if context.store.size(top.sha256) is None:
            raise LockError(f"{top.name} {top.version} is not in the store, and only it says what it needs")
        archive = context.store.path(top.sha256)
        found: dict[tuple[str, str], list[str]] = {}
        for root in ("", *program.nested):
            manifest, lock = _manifest_and_lock(archive, root, top.name)
            if lock is None:
                work = context.work / f"npm-{section}" / (root or "top")
                solved = _solve(manifest, work, top.name, context)
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


def registry_path(url: str, name: str, version: str) -> str:
    """Path of a tarball below any registry: what `url` says without its host, or else npm's usual form."""
    match = re.search(rf"(?:^|/)({re.escape(name)}/-/[^/]+)$", unquote(urlsplit(url).path))
    return match[1] if match else f"{name}/-/{name.rsplit('/', 1)[-1]}-{version}.tgz"


def without_hosts(lock: Mapping[str, Any]) -> dict[str, Any]:
    """A lock file that says what, not from where."""
    packages = {
        place: {key: value for key, value in entry.items() if key not in ("resolved", "funding")}
        for place, entry in lock["packages"].items()
    }
    return {**lock, "packages": packages}


def needed(lock: Mapping[str, Any], base: Base, *, omit: Iterable[str] = (), root: str = "") -> Iterator[Entry]:
    """The packages of a lock file that `npm ci --omit=dev` installs on `base`, less the optional ones in `omit`.

    Raises LockError for an old lock file and for a package that is not from a registry.
    """
    if lock.get("lockfileVersion", 1) < 2:
        raise LockError(f"{root or 'the package'}: its lock file is of version 1, which names no dependencies")
    packages: Mapping[str, Any] = lock["packages"]
    left_out = set(omit)
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        place = waiting.pop()
        for name, optional in _dependencies(packages[place]):
            target = _find(packages, place, name)
            if target is None or target in seen:
                continue
            entry = packages[target]
            if optional and (name in left_out or not fits(entry, base)):
                continue
            if name in left_out:
                raise LockError(f"{name} cannot be left out: {_name(place, packages[place]) or 'the program'} needs it")
            seen.add(target)
            waiting.append(target)
    for place in sorted(seen):
        entry = packages[place]
        url = entry.get("resolved", "")
        if entry.get("link") or urlsplit(url).scheme not in ("", "http", "https") or "version" not in entry:
            raise LockError(f"{_name(place, entry)} is not from a registry ({url or 'no version'})")
        yield Entry(
            place=f"{root}/{place}".lstrip("/"),
            name=_name(place, entry),
            version=entry["version"],
            integrity=entry.get("integrity"),
            url=url,
            bundled=bool(entry.get("inBundle")),
        )


def _needed_by(
    lock: Mapping[str, Any], base: Base, omit: Iterable[str], top: str
) -> Iterator[tuple[tuple[str, str], str]]:
    """(name, version) of each package of a lock file, with who needs it: `glob 7.2.3: minimatch@^3`."""
    packages = lock["packages"]
    places = {"", *(one.place for one in needed(lock, base, omit=omit))}
    for place in sorted(places):
        entry = packages[place]
        who = f"{_name(place, entry)} {entry['version']}" if place else top
        for name, _ in _dependencies(entry):
            if (target := _find(packages, place, name)) in places and target:
                wanted = next((entry[key][name] for key in NEEDS if name in entry.get(key, {})), "")
                yield (_name(target, packages[target]), packages[target]["version"]), f"{who}: {name}@{wanted}"


def fits(entry: Mapping[str, Any], base: Base) -> bool:
    """Whether a package is for the system and processor of `base`; `!NAME` in its lists excludes."""
    for key, ours in (("os", "linux"), ("cpu", CPUS[base.arch]), ("libc", "glibc")):
        wanted = entry.get(key) or []
        wanted = [wanted] if isinstance(wanted, str) else wanted
        allowed = [word for word in wanted if not word.startswith("!")]
        if f"!{ours}" in wanted or (allowed and ours not in allowed and "any" not in allowed):
            return False
    return True


def labels(found: Set[tuple[str, str]], top: str, version: str) -> dict[str, str]:
    """Label -> version of packages: the plain name where a name has one version, else NAME@VERSION.

    The program itself, `top` at `version`, always has its plain name.
    """
    result = {}
    for name, group in groupby(sorted(found), key=lambda pair: pair[0]):
        versions = [pair[1] for pair in group]
        for one in versions:
            plain = one == version if name == top else len(versions) == 1
            result[name if plain else f"{name}@{one}"] = one
    return result


def label(pins: Sequence[Pin], top: str) -> list[Pin]:
    """The pins under names that are unique in their section, sorted; the first of `pins` is the program itself."""
    names = {
        (_bare(name), version): name
        for name, version in labels({(pin.name, pin.version) for pin in pins}, top, pins[0].version).items()
    }
    unique = {names[pin.name, pin.version]: pin for pin in pins}
    return [pin.model_copy(update={"name": name}) for name, pin in sorted(unique.items())]


def _bare(label: str) -> str:
    """A label without its version; a scope's own @ stays."""
    return label[0] + label[1:].split("@", 1)[0]


def _split(spec: str) -> tuple[str, str]:
    name = _bare(spec)
    return name, spec[len(name) + 1 :]


def _said(program: Program) -> dict[str, Any]:
    """What of a section's `extra` the manifest determines."""
    name, _ = _split(program.package)
    asked = {"nested": list(program.nested), "prefix": program.prefix, "remove": list(program.remove)}
    return {**asked, "node": NODE, "program": name}


def _names(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Packages that a package.json may have installed, under their own names: `a: npm:b@1` is b."""
    for key in NEEDS:
        for name, wanted in (manifest.get(key) or {}).items():
            yield _split(wanted.removeprefix("npm:"))[0] if wanted.startswith("npm:") else name


def _name(place: str, entry: Mapping[str, Any]) -> str:
    name: str = entry.get("name") or place.rsplit("node_modules/", 1)[-1]
    return name


def _dependencies(entry: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """(name, optional) of what an installed package needs; npm installs no optional peers for it."""
    optional, peers = entry.get("optionalDependencies", {}), entry.get("peerDependenciesMeta", {})
    yield from ((name, False) for name in entry.get("dependencies", {}) if name not in optional)
    yield from ((name, False) for name in entry.get("peerDependencies", {}) if not peers.get(name, {}).get("optional"))
    yield from ((name, True) for name in optional)


def _find(packages: Mapping[str, Any], place: str, name: str) -> str | None:
    """Where Node.js finds `name` from `place`: the nearest node_modules upwards."""
    while True:
        target = f"{place}/node_modules/{name}".lstrip("/")
        if target in packages:
            return target
        if not place:
            return None
        place = place.rpartition("node_modules/")[0].rstrip("/")


def _settings(context: Context) -> dict[str, str]:
    return {**SETTINGS, "npm_config_registry": context.host.npm_registry()}


def _view(spec: str, context: Context, *, timeout: float = 300) -> Entry:
    """The newest version that satisfies `spec`, from the registry."""
    done = run(
        [bundled("npm"), "view", spec, "name", "version", "dist", "--json"],
        env=_settings(context),
        timeout=timeout,
        check=False,
    )
    try:
        answer = json.loads(done.stdout or "[]")
    except json.JSONDecodeError:
        answer = {"error": {"summary": done.stdout.strip()}}
    if isinstance(answer, Mapping) and "error" in answer:
        raise LockError(
            f"{spec}: npm says: {answer['error'].get('summary')}",
            hint="See the machine's npm configuration: npm config list",
        )
    found = answer if isinstance(answer, list) else [answer]
    if done.returncode != 0 or not found:
        raise LockError(f"{spec}: npm finds no such version", hint=done.stderr.strip())
    best = max(found, key=lambda one: _order(one["version"]))
    dist = best["dist"]
    return Entry("", best["name"], best["version"], dist.get("integrity"), dist["tarball"], False)


def _order(version: str) -> tuple[tuple[int, ...], bool]:
    """Sorts versions by their numbers, a pre-release before its release."""
    core, _, before = version.partition("+")[0].partition("-")
    return tuple(int(part) for part in core.split(".")), not before


def _pin(entry: Entry, context: Context) -> Pin:
    file = registry_path(entry.url, entry.name, entry.version)
    registry = context.host.npm_registry().rstrip("/")
    sha256, size = context.store.download(
        [f"{registry}/{file}"],
        name=file,
        host=context.host,
        verify=check_integrity(entry.integrity) if entry.integrity else None,
        key=entry.integrity,
    )
    return Pin(
        name=entry.name,
        version=entry.version,
        file=file,
        size=size,
        sha256=sha256,
        registry="npm",
        integrity=entry.integrity,
    )


def check_integrity(integrity: str) -> Callable[[Path], str | None]:
    """A check that a file has one of npm's digests (`sha512-BASE64`, separated by blanks): what is wrong, or None."""
    digests = {tuple(word.partition("?")[0].split("-", 1)) for word in integrity.split()}
    kinds = sorted({kind for kind, *_ in digests} & {"sha512", "sha384", "sha256", "sha1"})

    def check(path: Path) -> str | None:
        found = set()
        for kind in kinds:
            with path.open("rb") as file:
                found.add((kind, base64.b64encode(hashlib.file_digest(file, kind).digest()).decode()))
        if found & digests:
            return None
        return f"npm's index says {integrity}, the file is {' '.join('-'.join(one) for one in sorted(found))}"

    return check


def _license_words(said: Mapping[str, Any]) -> str:
    """What a package.json says of its licence: words, or in old ones an object, or several of which one is chosen."""
    value = said.get("license") or said.get("licenses") or ""
    several = value if isinstance(value, list) else [value]
    words = [one.get("type") if isinstance(one, dict) else one for one in several]
    return " OR ".join(f"({one})" if len(words) > 1 else one for one in words if isinstance(one, str) and one)


def _documents(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(folder, file name, content) of the JSON files called `names` that are the package's own, not others' in it.

    Raises LockError for a file that is no such archive, and for what is no JSON in it.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in bounded(tar):
                # the archive's top folder may have any name
                folder, _, file = member.name.partition("/")[2].rpartition("/")
                if file not in names or "node_modules" in folder.split("/") or member.size > MOST:
                    continue
                if stream := tar.extractfile(member):
                    content = json.load(stream)
                    if isinstance(content, dict):
                        yield folder, file, content
    except (ValueError, KeyError, OSError, EOFError, RecursionError, tarfile.TarError, zlib.error) as error:
        raise LockError(f"{archive.name}: no npm package: {type(error).__name__}: {error}") from error


def _manifest_and_lock(archive: Path, root: str, name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """package.json of a folder in the program's archive, and its lock file when it ships one."""
    files = _documents(archive, ("package.json", *LOCK_FILES))
    found = {file: content for folder, file, content in files if folder == root}
    if "package.json" not in found:
        raise LockError(f"{name} has no {root or '.'}/package.json", hint="Correct 'nested' of the tool's npm source")
    return found["package.json"], next((found[file] for file in LOCK_FILES if file in found), None)


def _solve(manifest: Mapping[str, Any], work: Path, name: str, context: Context) -> dict[str, Any]:
    """The lock file that npm makes for a package.json."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "package-lock.json").unlink(missing_ok=True)
    (work / "package.json").write_text(json.dumps(manifest))
    try:
        run(
            [bundled("npm"), "install", "--package-lock-only", "--omit=dev"],
            env=_settings(context),
            cwd=work,
            timeout=600,
        )
    except ProgramError as error:
        raise LockError(f"npm finds no solution for {name}:\n{error.output.strip()}") from error
    lock: dict[str, Any] = json.loads((work / "package-lock.json").read_text())
    return lock


ECOSYSTEM = Npm()
