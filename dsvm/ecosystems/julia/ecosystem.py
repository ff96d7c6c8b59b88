"""Julia packages from one state of a registry, in a read-only depot beside the user's own: /opt/julia-depot."""

from __future__ import annotations

import re
import tarfile
import threading
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from dsvm.ecosystems.julia import held
from dsvm.ecosystems.julia.depot import (
    Contents,
    contents,
    manifest_text,
    platform_of,
    project_text,
    slug,
    standard_library,
    tree_hashes,
)
from dsvm.ecosystems.julia.locked import PACKAGE_FILE, Extra, odd_files, odd_texts
from dsvm.ecosystems.julia.registry import NAME, UUID, Julia, Registry, Release, read_registry, solve
from dsvm.ecosystems.julia.versions import ANY, Ranges, Version, allowed, compat
from dsvm.ecosystems.licenses.reading import shown, stated, tar_texts
from dsvm.ecosystems.licenses.texts import own_terms
from dsvm.ecosystems.protocol import (
    Advised,
    Asked,
    Context,
    Generated,
    Offered,
    Pool,
    Recorded,
    Request,
    RunInImage,
    Runtime,
)
from dsvm.ecosystems.registered import get
from dsvm.host import redact
from dsvm.model import (
    AccessError,
    Base,
    DsvmError,
    Entry,
    Index,
    LockError,
    Pin,
    Repository,
    Section,
    Stated,
    Step,
    StoreError,
    all_of,
    upstream_version,
)
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL

DEPOT = "/opt/julia-depot"
ENVIRONMENT = f"{DEPOT}/environments/dsvm"
RUNTIME = "julia"
REQUEST = re.compile(rf"(?P<name>{NAME})(?P<versions>.*)")
# https://pkgdocs.julialang.org/dev/protocol/
PLACE = re.compile(rf"(?P<server>https?://.+|file:///.+)/registry/(?P<uuid>{UUID})/\{{tree\}}")
# Where Julia looks: the user's own first, then the image's, then (what is empty) what Julia brings.
PATHS = {"JULIA_DEPOT_PATH": f"~/.julia:{DEPOT}:", "JULIA_LOAD_PATH": f":{ENVIRONMENT}"}
# What a section falls into: what was downloaded, and what Julia makes of it.
LAYERS = ("packages", "compiled")
LICENSED = re.compile(r"(?i:(?:share/licenses/[^/]+/)?(?:licen[cs]e|copying|copyright)[^/]*)")
TIMES = "Julia writes the time and a random number into what it compiles"
_one_at_a_time = threading.Lock()


def _requirement(text: str) -> str:
    parse_request(text)
    return text


def parse_request(text: str) -> tuple[str, Ranges]:
    """Name and versions of a request such as `CSV` or `DataFrames 1.6`. ValueError for anything else."""
    match = REQUEST.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a Julia package, such as 'CSV' or 'DataFrames 1.6'")
    versions = match["versions"].strip()
    return match["name"], compat(versions) if versions else ANY


class JuliaPackages:
    """Julia packages, from the state of a registry that `index` names; versions as [compat] writes them"""

    name = "julia"
    placement: Literal["image"] = "image"
    request_type = Annotated[tuple[Annotated[str, AfterValidator(_requirement)], ...], Field(min_length=1)]
    runtimes = (RUNTIME,)
    builders: Mapping[str, Any] = {}
    extra_type = Extra

    def package(self, request: Sequence[str]) -> str:
        return parse_request(request[0])[0]

    def probe(self, request: Sequence[str], index: str | None, context: Context) -> str | None:
        try:
            registry, _ = _registry(_index((index,) if index else (), "probe", context.indexes), context)
        except DsvmError as error:
            return error.message
        unknown = [name for name, _ in map(parse_request, request) if name not in registry.names]
        return "; ".join(map(registry.no_package, unknown)) or None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        index = _index(request.indexes, request.section, context.indexes)
        registry, described = _registry(index, context)
        julia, said = _julia(request.runtimes, context)
        wanted = [parse_request(text) for item in request.items for text in item]
        found = solve(wanted, registry, julia)
        packages = sorted((one for one in found.values() if one.tree), key=lambda one: one.name)
        _refuse_namesakes(found.values())
        platform = platform_of(context.base.arch, julia.version)
        with ThreadPoolExecutor(8) as pool:
            pins = list(pool.map(lambda one: _package_pin(one, index.index, context), packages))
            said |= zip((one.uuid for one in packages), pool.map(_reader(platform, context), pins), strict=True)
            artifacts: dict[str, str] = {}
            for one in packages:
                for name, tree in said[one.uuid].artifacts.items():
                    artifacts.setdefault(tree, f"{one.name}/{name}")
            pins += pool.map(lambda tree: _artifact_pin(tree, artifacts[tree], index.index, context), artifacts)
        asked = {name for name, _ in wanted}
        extra = {
            "environment": PATHS,
            "julia": str(julia.version),
            "registry": described,
            "texts": {
                "Project.toml": project_text(one for one in found.values() if one.name in asked),
                "Manifest.toml": manifest_text(found.values(), said, julia),
                # a project in which the build script of any package finds what that needs
                "Build.toml": project_text(found.values()),
                "builds": _lines(f"packages/{one.name}/{_slug(one)}" for one in _ordered(found) if _builds(one, said)),
                "loads": _lines(one.name for one in _ordered(found) if one.name in asked),
            },
        }
        return sorted(pins, key=lambda pin: pin.name), extra

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        names = {name for item in asked.request.items for name, _ in map(parse_request, item)}
        index = _index(asked.request.indexes, section.id, asked.indexes)
        match = PLACE.fullmatch(index.url)
        if match is None or section.extra["registry"]["file"] != f"registry/{match['uuid']}/{index.tree}":
            yield f"its packages were chosen from another state of the registry than that of index '{index.index}'"
        if section.extra["environment"] != PATHS:
            yield "it sets other variables of the image than Julia's paths"
        yield from (
            f"{pin.name}: it comes from '{index.index}', and not from '{pin.registry}'"
            for pin in section.pins
            if pin.registry != index.index
        )
        yield from odd_files(section.pins)
        yield from odd_texts(section.extra, section.pins, names)

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        """Packages; their artifacts are what a package of the same name, NAME_jll, stands for."""
        return (Advised("Julia", pin.name, pin.version),) if PACKAGE_FILE.fullmatch(pin.file) else ()

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        return Version(version)

    def forbids(self, request: Sequence[str], name: str, version: str) -> str | None:
        asked = ((text, *parse_request(text)) for text in request)
        return next(
            (text for text, one, ranges in asked if one == name and not allowed(ranges, Version(version))), None
        )

    def locate(self, pin: Pin, context: Context) -> Iterator[str]:
        for server in _servers(pin.registry, context):
            yield f"{server}/{pin.file}"

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        """Of packages their licence file, and of artifacts those in share/licenses, where BinaryBuilder puts them."""
        try:
            texts = tar_texts(artefact, LICENSED)
        except ValueError as error:
            return Stated(file="LICENSE", why=shown(str(error)))
        read = {file: one for file, text in sorted(texts.items()) if (one := own_terms(text))}
        if read:
            return stated(all_of(read.values()), next(iter(texts.values())), ", ".join(read), by_words=True)
        name, text = next(iter(texts.items()), ("", ""))
        return stated(None, text, name, "" if text else "it has no licence file")

    def file_name(self, pin: Pin) -> str:
        """The pin's folder in the depot, with + for each slash."""
        if match := PACKAGE_FILE.fullmatch(pin.file):
            return f"packages+{pin.name}+{slug(match['uuid'], match['tree'])}.tar.gz"
        return f"artifacts+{pin.filename}.tar.gz"

    def parts(self, section: Section) -> Sequence[Section]:
        return [section.model_copy(update={"id": f"{section.id}_{layer}"}) for layer in LAYERS]

    def install(self, section: Section, base: Base) -> Step:
        whole, _, layer = section.id.rpartition("_")
        return Step(
            script="install-julia",
            args=("--epoch", str(section.epoch), "--depot", DEPOT, "--layer", layer, whole),
            sections=(whole,),
            unreproducible=TIMES if layer == "compiled" else None,
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """What the depot's manifest says, as far as its folders are there, and folders of which it says nothing."""
        folders = set(run(["find", DEPOT, "-mindepth", "2", "-maxdepth", "3", "-type", "d", "-printf", "%P\n"]).split())
        found = {}
        manifest = tomllib.loads(run(["cat", f"{ENVIRONMENT}/Manifest.toml"]))
        entries = manifest["deps"] if "manifest_format" in manifest else manifest
        for name, one in ((name, one) for name, several in entries.items() for one in several):
            place = f"packages/{name}/{slug(one['uuid'], one['git-tree-sha1'])}" if "git-tree-sha1" in one else ""
            if place in folders:
                folders.remove(place)
                found[name] = one["version"]
        for pin in section.pins:
            if (place := f"artifacts/{pin.version}") in folders and pin.file == f"artifact/{pin.version}":
                folders.remove(place)
                found[pin.name] = pin.version
        strange = re.compile(r"packages/[^/]+/[^/]+|artifacts/[^/]+")
        return found | {place: "not in the manifest" for place in folders if strange.fullmatch(place)}

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        return held.contents(artefact)

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterator[tuple[str, Entry]]:
        folder = self.file_name(pin).removesuffix(".tar.gz").replace("+", "/")
        yield from held.placed(f"{DEPOT}/{folder}", contents)
        yield from held.environment(ENVIRONMENT, section)

    def pools(self, section: Section) -> Iterable[Pool]:
        return ()

    def generated(self, section: Section, base: Base) -> Iterator[Generated]:
        return held.generated(DEPOT, section)

    # https://pkgdocs.julialang.org/v1/toml-files/
    records = re.compile(rf"{DEPOT}/packages/[^/]+/[^/]+/(?:Julia)?Project\.toml")

    def place(self, section: Section) -> str:
        return DEPOT

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterator[Recorded]:
        said = tomllib.loads(data.decode())
        if all(isinstance(said.get(key), str) for key in ("name", "version", "uuid")):
            yield Recorded(said["name"], said["version"], f"package/{said['uuid']}/{'0' * 40}")

    def folder(self, pin: Pin) -> str | None:
        return f"{DEPOT}/artifacts/{pin.version}" if pin.file == f"artifact/{pin.version}" else None

    def order(self, version: str) -> Version:
        return Version(version)

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """What the package server's present state of the registry has; an artifact is a part of its package."""
        index = _index(asked.request.indexes, section.id, context.indexes)
        now, _ = _registry(index.model_copy(update={"tree": _present(index, context)}), context)
        julia = Version(section.extra["julia"])
        found = {}
        for pin in section.pins:
            match = PACKAGE_FILE.fullmatch(pin.file)
            if match is None:
                found[pin.name] = Offered(pin.version)
                continue
            fitting = (one for one in now.releases(match["uuid"]) if allowed(one.julia, julia) and one.version.order[1])
            newest = next((str(one.version) for one in fitting), None)
            words = "" if newest else f"the registry has no version of it for Julia {julia}"
            found[pin.name] = Offered(newest, pin.version, words=words, snapshot=index.index)
        return found

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        """Of a package; artifacts, which packages bring, have none."""
        from packageurl import PackageURL

        match = PACKAGE_FILE.fullmatch(pin.file)
        if match is None:
            raise ValueError(f"{pin.name} is no package")
        return PackageURL("julia", None, pin.name, pin.version, {"uuid": match["uuid"]})


# --- places ------------------------------------------------------------------------------------------------


def _index(names: Sequence[str], section: str, known: Mapping[str, Index]) -> Index:
    """The one state of a registry that all Julia packages of an image come from."""
    indexes = [known[name] for name in names]
    if len(indexes) != 1 or not PLACE.fullmatch(indexes[0].url):
        named = " and ".join(names) or "none"
        raise LockError(
            f"{section}: all Julia packages of an image come from one state of a registry; its tools name {named}",
            hint="Give each 'julia' source the same 'index', one of manifests/indexes whose URL is "
            "SERVER/registry/UUID/{tree}",
        )
    return indexes[0]


def _servers(registry: str, context: Context) -> Sequence[str]:
    """Package servers, without trailing slashes: the machine's own, else the one in the index's manifest."""
    index = context.indexes.get(registry)
    match = PLACE.fullmatch(index.url) if index else None
    host = context.host
    return host.source(registry) or host.julia_servers or ((match["server"],) if match else ())


def _present(index: Index, context: Context) -> str:
    """The tree of the registry's present state, as a package server names it. Raises StoreError."""
    match = PLACE.fullmatch(index.url)
    assert match is not None  # noqa: S101 - `_index` let nothing else through
    faults = []
    for server in _servers(index.index, context):
        try:
            text = _document(f"{server}/registries", context)
        except StoreError as error:
            faults.append(error)
            continue
        if found := re.search(rf"^/registry/{match['uuid']}/([0-9a-f]{{40}})$", text, re.MULTILINE):
            return found[1]
        faults.append(StoreError(f"{redact(server)}: it names no state of registry {match['uuid']}"))
    raise faults[0] if faults else StoreError(f"{index.index}: nobody knows a package server")


def _document(url: str, context: Context) -> str:
    if url.startswith("file:"):
        try:
            return Path(unquote(urlsplit(url).path)).read_text()
        except OSError as error:
            raise StoreError(f"{url}: {error.strerror}") from error
    answer = context.host.get(url)
    if answer.status_code >= 400:
        raise StoreError(f"{redact(url)}: HTTP {answer.status_code}")
    return answer.text


@cache
def _read(archive: Path, uuid: str) -> Registry:
    return read_registry(archive, uuid)


def _registry(index: Index, context: Context) -> tuple[Registry, Mapping[str, Any]]:
    """The registry in the state that an index names, and what the lock keeps of it."""
    match = PLACE.fullmatch(index.url)
    assert match is not None  # noqa: S101 - `_index` let nothing else through
    file = f"registry/{match['uuid']}/{index.tree}"
    with _one_at_a_time:  # probes of several tools ask for it at once
        sha256, size = _download(file, f"registry {index.index}", index.index, str(index.tree), context)
        registry = _read(context.store.path(sha256), match["uuid"])
    name = str(registry.about.get("name", ""))
    return registry, {"file": file, "name": name, "sha256": sha256, "size": size}


def _download(file: str, name: str, registry: str, tree: str, context: Context) -> tuple[str, int]:
    """SHA-256 and size of a server's file, fetched once; its content is compared with its tree hash."""
    try:
        return context.store.download(
            [f"{server}/{file}" for server in _servers(registry, context)],
            name=name,
            host=context.host,
            verify=_of_tree(tree),
            key=f"julia {file}",
            dead=context.dead if context.once else None,
        )
    except AccessError:
        raise
    except StoreError as error:
        place = "Another package server: JULIA_PKG_SERVER, or sources: {julia: URL} in DSVM's configuration"
        raise LockError(error.message, hint=f"{error.hint}\n{place}".strip()) from error


def _of_tree(tree: str) -> Callable[[Path], str | None]:
    """A check that a tarball holds the files with a tree hash: what is wrong, or None."""

    def check(path: Path) -> str | None:
        try:
            found = tree_hashes(path)
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            return f"not a package server's tarball: {error}"
        return None if tree in found else f"the tree hash of its files is {' or '.join(sorted(found))}, not {tree}"

    return check


def _package_pin(release: Release, registry: str, context: Context) -> Pin:
    file = f"package/{release.uuid}/{release.tree}"
    sha256, size = _download(file, str(release), registry, str(release.tree), context)
    return Pin(
        name=release.name, version=str(release.version), file=file, size=size, sha256=sha256, registry=registry
    )  # fmt: skip


def _artifact_pin(tree: str, name: str, registry: str, context: Context) -> Pin:
    file = f"artifact/{tree}"
    sha256, size = _download(file, name, registry, tree, context)
    return Pin(name=name, version=tree, file=file, size=size, sha256=sha256, registry=registry)


# --- Julia and its packages --------------------------------------------------------------------------------


def _julia(runtimes: Sequence[Runtime], context: Context) -> tuple[Julia, dict[str, Contents]]:
    """The Julia of the image, with what it brings, and what the parts of that say, read from its own archives."""
    version = None
    archives: list[Path] = []
    for runtime in runtimes:
        ecosystem = get(runtime.ecosystem)
        asked = Request(f"runtime-{RUNTIME}", RUNTIME, (runtime.item,), repositories=runtime.repositories)
        pins, _ = ecosystem.resolve(asked, context)
        for pin in pins:
            if pin.name == ecosystem.package(runtime.item):
                version = version or Version(upstream_version(pin.version))
            if RUNTIME in pin.name:
                urls = ecosystem.locate(pin, context)
                context.store.download(urls, name=pin.name, host=context.host, sha256=pin.sha256)
                archives.append(context.store.path(pin.sha256))
    if version is None:
        raise LockError(f"nobody says which Julia: the tool '{RUNTIME}' names none")
    library = standard_library(archives, version)
    return Julia(version, {uuid: one for uuid, (one, _) in library.items()}), {
        uuid: said for uuid, (_, said) in library.items()
    }


def _reader(platform: Mapping[str, str], context: Context) -> Callable[[Pin], Contents]:
    def read(pin: Pin) -> Contents:
        try:
            return contents(context.store.path(pin.sha256), platform)
        except (tarfile.TarError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise LockError(f"Julia package {pin.name} {pin.version}: {type(error).__name__}: {error}") from error

    return read


def _refuse_namesakes(releases: Iterable[Release]) -> None:
    """An environment may have two packages of one name; nothing else of ours may."""
    seen: dict[str, Release] = {}
    for one in releases:
        other = seen.setdefault(one.name, one)
        if other is not one:
            raise LockError(
                f"two Julia packages that are needed are both called {one.name}: {other.uuid} and {one.uuid}",
                hint="Leave out the tool that needs one of them: --leave-out TOOL",
            )


def _ordered(releases: Mapping[str, Release]) -> list[Release]:
    """Each package after those that it needs."""
    found: dict[str, Release] = {}
    begun: set[str] = set()

    def visit(uuid: str) -> None:
        if uuid not in begun:
            begun.add(uuid)
            for need in releases[uuid].needs:
                visit(need.uuid)
            found[uuid] = releases[uuid]

    for one in sorted(releases.values(), key=lambda one: one.name):
        visit(one.uuid)
    return list(found.values())


def _builds(release: Release, said: Mapping[str, Contents]) -> bool:
    return release.uuid in said and said[release.uuid].builds


def _slug(release: Release) -> str:
    return slug(release.uuid, str(release.tree))


def _lines(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in words)


ECOSYSTEM = JuliaPackages()
