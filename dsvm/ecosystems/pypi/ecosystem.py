"""Python packages, resolved by uv, each environment in a folder of its own, /opt/envs/ENV on Linux.

They come as wheels, but for those that a manifest names as published in source alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import Discriminator, Field, Tag

from dsvm.ecosystems.protocol import (
    Advised,
    Asked,
    Client,
    Context,
    Described,
    Generated,
    Inside,
    Introduced,
    Offered,
    Pool,
    Recorded,
    Request,
    RunInImage,
)
from dsvm.ecosystems.pypi.contents import contents, generated, placed, sources
from dsvm.ecosystems.pypi.indexes import (
    EXTRA,
    ORDINARY,
    in_folders,
    index_places,
    page_files,
    refuse_closed,
    told_apart,
)
from dsvm.ecosystems.pypi.inside import inside
from dsvm.ecosystems.pypi.metadata import called, file_of, holds, name_of, needs, source_metadata, wheel_metadata
from dsvm.ecosystems.pypi.platforms import markers, uv_platform, wheel_tags
from dsvm.ecosystems.pypi.records import RECORDS, recorded
from dsvm.ecosystems.pypi.requested import (
    PlainRequirement,
    Sdist,
    kind,
    sdists_of,
    text_of,
    wanted_by,
)
from dsvm.ecosystems.pypi.solving import NOT_FOUND, explanation, metadata_file, preferences, project_file
from dsvm.host import bundled, run
from dsvm.model import (
    PLATFORMS,
    Base,
    Entry,
    Index,
    LockError,
    Model,
    Pin,
    ProgramError,
    Repository,
    Section,
    Stated,
    Step,
    StoreError,
    digest_of,
    is_empty,
    is_none,
    traits,
)
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL
    from packaging.metadata import RawMetadata
    from packaging.pylock import PackageSdist, PackageWheel

# An environment falls into so many parts: large packages, which seldom change and take long, and small ones.
LARGE = 8_000_000  # bytes of a wheel
LARGE_PARTS, SMALL_PARTS = 8, 4
LATER = LARGE_PARTS + SMALL_PARTS  # what came to it while nothing else moved


class Extra(Model):
    """What installing an environment needs to know beside its pins."""

    # where its Python is, in images in which that is another place than on Linux
    python: str | None = Field(None, exclude_if=is_none)
    # sections with what builds its source distributions
    builds: tuple[str, ...] = Field((), exclude_if=is_empty)


class Pypi:
    """Python requirements, from the machine's own package index"""

    name = "pypi"
    placement: Literal["env"] = "env"
    grows_on_top: Literal[True] = True
    request_type = Annotated[
        tuple[
            Annotated[Annotated[PlainRequirement, Tag("wheel")] | Annotated[Sdist, Tag("sdist")], Discriminator(kind)],
            ...,
        ],
        Field(min_length=1),
    ]
    runtimes = ("python",)
    builders: Mapping[str, Any] = {"pypi": ("uv ~= 0.13.0",)}
    extra_type = Extra
    heeds_versions: Literal[True] = True

    def package(self, request: Sequence[str | Sdist]) -> str:
        return name_of(text_of(request[0]))

    def named(self, request: Request) -> Iterator[str]:
        yield from map(name_of, wanted_by(request))

    def probe(self, request: Sequence[str | Sdist], index: str | None, context: Context) -> str | None:
        try:
            self._pins(Request(self.package(request), "probe", (request,), (index,) if index else ()), context)
        except LockError as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        sdists = sdists_of(request)
        if sdists and not request.builds:
            raise LockError(
                f"{request.section}: nothing says what builds {', '.join(sdists)}",
                hint="Name it beside the requirement, for example: build: {pypi: [setuptools]}",
            )
        if sdists and not traits(context.base).layered:
            raise LockError(
                f"{request.section}: {', '.join(sdists)}: nothing is built from source on {context.base.base}",
                hint="Give its tool a source for this base, with wheels, or tie this one to others with when:",
            )
        pins = told_apart(self._pins(request, context), request.section, context)
        return pins, _extra(request, context.base).model_dump(mode="json")

    def _pins(self, request: Request, context: Context) -> list[Pin]:
        wanted = wanted_by(request)
        indexes = [context.indexes[name] for name in request.indexes]
        project = context.work / f"pypi-{request.section}"
        project.mkdir(parents=True, exist_ok=True)
        faults = []
        for places in index_places(indexes, context):

            def solve(wanted: Sequence[str], known: Sequence[RawMetadata], places: Any = places) -> list[Pin]:
                (project / "uv.toml").write_text(metadata_file(known))
                bound = {name for index in indexes for name in index.packages}
                asked = {name_of(text) for text in wanted}
                while True:
                    (project / "pyproject.toml").write_text(project_file(wanted, indexes, places, context.base))
                    chosen = self._compile(project, request, context, preferences(request.prefer, indexes, places))
                    # uv knows the index of what a project itself asks for, and not of what others need
                    more = {package.name for package, _ in chosen} & bound - asked
                    if not more:
                        return [self._pin(context, indexes, *pair) for pair in chosen]
                    wanted, asked = [*wanted, *sorted(more)], asked | more

            try:
                pins = self._with_sdists(solve, wanted, sdists_of(request), context)
            except LockError as error:
                faults.append(error)
                continue
            return sorted(pins, key=lambda pin: pin.name)
        raise faults[0]

    def _with_sdists(
        self, solve: Callable[..., list[Pin]], wanted: Sequence[str], sdists: Sequence[str], context: Context
    ) -> list[Pin]:
        """Solve for `wanted`, some of which have no wheel that says what they need.

        Solvers run a source's own program to learn that. Here the newest version that fits without its needs is
        fetched and asked for its metadata, and it stays at that version: nothing of it runs before the offline build.
        """
        nothing: list[RawMetadata] = [{"name": name} for name in sdists]
        pins = solve(wanted, nothing)
        chosen = [pin for pin in pins if pin.name in sdists]
        if not chosen:
            return pins
        known = [self._metadata(pin, context) for pin in chosen]
        return solve([*wanted, *(f"{pin.name} == {pin.version}" for pin in chosen)], known)

    def _metadata(self, pin: Pin, context: Context) -> RawMetadata:
        """What a source distribution says of itself, fetched for that."""
        sha256, _ = context.store.download(
            list(self.locate(pin, context)), name=pin.file, host=context.host, sha256=pin.sha256
        )
        found = source_metadata(context.store.path(sha256), pin.file)
        return {**found, "name": pin.name, "version": pin.version}

    def _compile(
        self, project: Path, request: Request, context: Context, preferences: str
    ) -> list[tuple[Any, PackageWheel | PackageSdist]]:
        # slow to load, and only locking needs it
        from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockSelectError

        base, host = context.base, context.host
        sdists = sdists_of(request)
        uv = bundled("uv")
        output = project / "pylock.toml"
        output.unlink(missing_ok=True)
        if preferences:
            output.write_text(preferences)
        exact = project / "constraints.txt"
        exact.write_text("".join(f"{name}=={version}\n" for name, version in sorted(request.exact.items())))
        # by the environment: URLs may hold passwords, and a command line is everybody's to read
        env = {
            "UV_DEFAULT_INDEX": " ".join(host.pypi_indexes[:1]),
            "UV_INDEX": " ".join(host.pypi_indexes[1:]),
            "UV_FIND_LINKS": ",".join(host.find_links),
            "UV_HTTP_RETRIES": "0" if context.once else "",
        }
        try:
            run(
                [
                    *(uv, "pip", "compile", "--quiet", "--no-header", "--constraints", exact),
                    *(() if preferences else ("--upgrade",)),
                    # and no file of the machine's
                    *("--config-file", project / "uv.toml"),
                    *("--format", "pylock.toml", "--output-file", output, "--only-binary", ":all:"),
                    *(word for name in sdists for word in ("--no-binary", name)),
                    # nothing is built, so this one will do: looking for that version among all takes seconds
                    *("--python", sys.executable, "--python-version", base.python),
                    *("--python-platform", uv_platform(base)),
                    # pip's rule, which a machine's configuration is written for: all indexes count the same
                    *("--index-strategy", "unsafe-best-match", *([] if host.pypi_indexes else ["--no-index"])),
                    project / "pyproject.toml",
                ],
                env={name: value for name, value in env.items() if value},
                timeout=600,
            )
        except ProgramError as error:
            refuse_closed(host, NOT_FOUND.findall(error.output))
            raise LockError(
                f"no set of packages satisfies {request.section}:\n{explanation(error.output)}",
                hint="Loosen a requirement, or leave a tool out: --leave-out TOOL",
            ) from error
        lock = Pylock.from_dict(tomllib.loads(output.read_text()))
        try:
            chosen = list(lock.select(environment=markers(base), tags=list(wheel_tags(base))))
        except PylockSelectError as error:
            raise LockError(f"{request.section}: {error}") from error
        kept = [
            (package, file)
            for package, file in chosen
            if isinstance(file, PackageWheel) or (isinstance(file, PackageSdist) and package.name in sdists)
        ]
        if lacking := [package.name for package, file in chosen if (package, file) not in kept]:
            raise LockError(f"{request.section}: no wheel for Python {base.python} of {', '.join(lacking)}")
        return kept

    def _pin(self, context: Context, indexes: Sequence[Index], package: Any, wheel: PackageWheel | PackageSdist) -> Pin:
        version = str(package.version)
        index = next((index for index in indexes if package.name in index.packages), None)
        filename = unquote(wheel.filename)
        sha256 = wheel.hashes.get("sha256")
        size = wheel.size
        if sha256 is None or size is None:
            url = Path(wheel.path).as_uri() if wheel.path else str(wheel.url)
            sha256, size = context.store.download([url], name=filename, host=context.host, sha256=sha256)
        pin = Pin(
            name=package.name,
            version=version,
            file=filename,
            size=size,
            sha256=sha256,
            registry=index.index if index else ORDINARY,
        )
        if fault := _local_fault(pin, index):
            raise LockError(fault, hint="The index serves another build than its name says")
        return pin

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        request, base = asked.request, asked.base
        if section.extra != _extra(request, base).model_dump(mode="json"):
            yield f"its 'extra' is {json.dumps(section.extra)}, and not what the manifests make it"
        indexes = [asked.indexes[name] for name in request.indexes]
        sources = sdists_of(request)
        for pin in section.pins:
            index = next((one for one in indexes if pin.name in one.packages), None)
            if pin.registry not in ([index.index] if index else (ORDINARY, EXTRA)):
                yield f"{pin.name}: it comes from '{index.index if index else ORDINARY}', and not from '{pin.registry}'"
            if fault := _local_fault(pin, index):
                yield fault
            if file_of(pin.file, sources) != (pin.name, Version(pin.version)):
                yield f"{pin.name} {pin.version}: {pin.file} is no file of it"
        pins = {pin.name: pin for pin in section.pins}
        for need in map(Requirement, wanted_by(request)):
            found = pins.get(canonicalize_name(need.name))
            if need.marker is not None and not holds(need.marker, base):
                continue
            if found is None:
                yield f"{need} is asked for, and no pin is it"
            elif not need.specifier.contains(found.version, prereleases=True):
                yield f"{need} is asked for, and {found.name} {found.version} is pinned"

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        said = source_metadata(artefact, pin.file) if _is_sdist(pin) else wheel_metadata(artefact, pin.file)
        name = canonicalize_name(said.get("name", ""))
        offers: dict[str, list[str]] = {name: needs(said, "", base)}
        for extra in said.get("provides_extra", []):
            offers[f"{name}[{canonicalize_name(extra)}]"] = [name, *needs(said, extra, base)]
        return Described(name, str(Version(said.get("version", "0"))), offers)

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return f"{PLATFORMS['linux'].envs}/{section.extra['env']}" if "env" in section.extra else ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        return sources(artefact, place) if _is_sdist(pin) else contents(artefact, place)

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterable[tuple[str, Entry]]:
        """None of a source: what a wheel of it has, only building tells."""
        prefix = f"{traits(base).envs}/{section.extra['env']}"
        return iter(()) if _is_sdist(pin) else placed(prefix, str(base.python), contents)

    def pools(self, section: Section) -> Iterator[Pool]:
        if pins := tuple(pin.name for pin in section.pins if _is_sdist(pin)):
            yield Pool(self.rewritten_for(section), (section.id,), "install-pypi: wheels that are built of these", pins)

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        built = [f"{pin.name.replace('-', '_')}-{pin.version}" for pin in section.pins if _is_sdist(pin)]
        return generated(f"{traits(base).envs}/{section.extra['env']}", str(base.python), built)

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        """By the public part of the version: 2.9.0+cpu is a build of 2.9.0."""
        return (Advised("PyPI", canonicalize_name(pin.name), Version(pin.version).public),)

    def advisory_name(self, name: str) -> str:
        return canonicalize_name(name)

    def advisory_order(self, version: str) -> Any:
        return Version(version)

    def forbids(self, request: Sequence[str | Sdist], name: str, version: str) -> str | None:
        return next(
            (
                text
                for text in map(text_of, request)
                for asked in (Requirement(text),)
                if canonicalize_name(asked.name) == name and not asked.specifier.contains(version, prereleases=True)
            ),
            None,
        )

    def introduced(self, package: str, context: Context) -> Introduced:
        from dsvm.ecosystems.pypi.introduced import introduced

        return introduced(self, package, context)

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        from dsvm.ecosystems.pypi.licensed import licenses

        return licenses(artefact, source=_is_sdist(pin))

    def roots(self, asked: Asked) -> Iterator[str]:
        for text in wanted_by(asked.request):
            yield from called(Requirement(text))

    def locate(self, pin: Pin, context: Context) -> Iterator[str]:
        host = context.host
        index = context.indexes.get(pin.registry)
        here = list(in_folders(host.find_links, pin.filename))
        yield from here
        pages = host.source(pin.registry) or ((index.url,) if index else host.pypi_indexes)
        links = [link for link in host.find_links if link.startswith("http")]
        faults: list[StoreError] = []
        others: list[str] = []
        for page in [*(f"{url.rstrip('/')}/{pin.name}/" for url in pages), *links]:
            try:
                files = list(page_files(host, page))
            except StoreError as error:
                faults.append(error)
                continue
            yield from (url for name, url, sha256 in files if name == pin.filename and sha256 in (None, pin.sha256))
            others += (url for name, url, sha256 in files if name == pin.filename and sha256 not in (None, pin.sha256))
        # last of all: that another file has this name is no missing file, and whoever compares their hashes says so
        yield from others
        if faults and not here:
            raise faults[0]

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        """Packages stay in the part that their name and size give them, whatever else comes or goes.

        The first part brings the environment itself, even when no package belongs to it; the last one what came later.
        """
        found: dict[int, list[Pin]] = {0: []}
        for pin in section.pins:
            number = int(hashlib.sha256(pin.name.encode()).hexdigest(), 16)
            number = number % LARGE_PARTS if pin.size >= LARGE else LARGE_PARTS + number % SMALL_PARTS
            if section.later is not None and pin.name in section.later.packages:
                number = LATER
            found.setdefault(number, []).append(pin)
        return [
            Section(
                id=f"{section.id}_{'later' if number == LATER else number}",
                ecosystem=section.ecosystem,
                request=None,
                input=digest_of([pin.sha256 for pin in pins]),
                epoch=section.epoch,
                pins=tuple(pins),
                extra={
                    "env": section.extra["env"],
                    "first": number == 0,
                    **({"builds": section.extra["builds"]} if any(map(_is_sdist, pins)) else {}),
                },
                later=section.later if number == LATER else None,
            )
            for number, pins in sorted(found.items())
        ]

    def install(self, section: Section, base: Base) -> Step:
        env = section.extra["env"]
        builds = section.extra.get("builds", ())
        here = traits(base)
        if not here.layered:
            return Step(
                script="Install-Pypi.ps1",
                args=(section.id, "builder-pypi-pypi", f"{here.envs}\\{env}", base.python),
                sections=(section.id, "builder-pypi-pypi"),
                helpers=("Common.ps1",),
            )
        return Step(
            script="install-pypi",
            args=(
                *("--prefix", f"{here.envs}/{env}", "--epoch", str(section.epoch), "--python", base.python),
                *(() if section.extra["first"] else ("--packages-only",)),
                *(word for name in builds for word in ("--build", name)),
                section.id,
            ),
            sections=(section.id, "builder-pypi-pypi", *builds),
            helpers=("compile-wheels",),
            cache="bytecode",
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        program = (
            "import importlib.metadata as m, json; "
            "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
        )
        python = section.extra.get("python") or PLATFORMS["linux"].env_python(section.extra["env"])
        found = json.loads(run([python, "-I", "-c", program]))
        return {canonicalize_name(name): version for name, version in found.items()}

    def inside(self, pin: Pin, artefact: Path) -> Iterable[Inside]:
        return inside(artefact, pin.name) if pin.file.endswith(".whl") else ()

    records = RECORDS

    def place(self, section: Section) -> str:
        return f"{PLATFORMS['linux'].envs}/{section.extra['env']}"

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterable[Recorded]:
        return recorded(data)

    def folder(self, pin: Pin) -> None:
        return None

    def clients(self, section: Section) -> Iterator[Client]:
        """Where people can install with pip: a kernel's environment."""
        if "env" in section.extra and section.pin("pip"):
            python = PLATFORMS["linux"].env_python(section.extra["env"])
            yield from (Client("python", python), Client("pip", python))

    def order(self, version: str) -> Version:
        """https://packaging.python.org/en/latest/specifications/version-specifiers/"""
        return Version(version)

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        from dsvm.ecosystems.pypi.offered import offered

        def allowed(name: str, version: str) -> bool:
            return not any(self.forbids(item, name, version) for item in asked.request.items)

        return offered(section, asked.request, context, self._pins, allowed)

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        return PackageURL("pypi", None, pin.name, pin.version)


def _is_sdist(pin: Pin) -> bool:
    return not pin.file.endswith(".whl")


def _extra(request: Request, base: Base) -> Extra:
    return Extra(
        python=None if base.platform == "linux" else traits(base).env_python(request.env),
        builds=request.builds if sdists_of(request) else (),
    )


# --- what files say of themselves --------------------------------------------------------------------------


def _local_fault(pin: Pin, index: Index | None) -> str | None:
    """What is wrong with the build of a package, as its version tells it, or None."""
    if index is None or not index.local or Version(pin.version).local == index.local:
        return None
    return f"{pin.name} {pin.version} from index '{index.index}' is not a '{index.local}' build"


ECOSYSTEM = Pypi()
