"""Python packages, resolved by uv, each environment in a folder of its own, /opt/envs/ENV on Linux.

They come as wheels, but for those that a manifest names as published in source alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tarfile
import textwrap
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.metadata import RawMetadata, parse_email
from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockSelectError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version
from pydantic import AfterValidator, Discriminator, Field, Tag

from dsvm.ecosystems.protocol import (
    Advised,
    Asked,
    Client,
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
from dsvm.ecosystems.pypi.platforms import markers, uv_platform, wheel_tags
from dsvm.ecosystems.pypi.records import RECORDS, recorded
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

# What a kernel's environment holds beside its tools: the kernel itself, and pip for `%pip install` in a notebook
KERNEL_PACKAGES = ("ipykernel", "pip")
# An environment falls into so many parts: large packages, which seldom change and take long, and small ones.
LARGE = 8_000_000  # bytes of a wheel
LARGE_PARTS, SMALL_PARTS = 8, 4
MOST = 16 << 20  # bytes of what a package says of itself
# What uv says of a name that no index gives, whether it has none or lets nobody in
NOT_FOUND = re.compile(r"(?:Because|and|no versions of) ([a-z0-9]+(?:-[a-z0-9]+)*)(?= was not found| and )")


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"'{text}' is not a requirement: {str(error).splitlines()[0]}") from error
    if requirement.url:
        raise ValueError(f"'{text}': a URL is no requirement here; use the 'url' ecosystem")
    return text


PlainRequirement = Annotated[str, AfterValidator(_requirement)]


class Sdist(Model):
    """A package whose makers publish its source alone: its wheel is built with the image, offline."""

    sdist: PlainRequirement = Field(
        description="requirement; 'build' of its source says what builds it, for example pypi: [setuptools]"
    )


def _kind(value: object) -> str:
    return "wheel" if isinstance(value, str) else "sdist"


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
    request_type = Annotated[
        tuple[
            Annotated[Annotated[PlainRequirement, Tag("wheel")] | Annotated[Sdist, Tag("sdist")], Discriminator(_kind)],
            ...,
        ],
        Field(min_length=1),
    ]
    runtimes = ("python",)
    builders: Mapping[str, Any] = {"pypi": ("uv ~= 0.13.0",)}
    extra_type = Extra
    heeds_versions: Literal[True] = True

    def package(self, request: Sequence[str | Sdist]) -> str:
        return _name(_text(request[0]))

    def probe(self, request: Sequence[str | Sdist], index: str | None, context: Context) -> str | None:
        try:
            self._pins(Request(self.package(request), "probe", (request,), (index,) if index else ()), context)
        except LockError as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        sdists = _sdists(request)
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
        wanted = _wanted(request)
        indexes = [context.indexes[name] for name in request.indexes]
        project = context.work / f"pypi-{request.section}"
        project.mkdir(parents=True, exist_ok=True)
        faults = []
        for places in index_places(indexes, context):

            def solve(wanted: Sequence[str], known: Sequence[RawMetadata], places: Any = places) -> list[Pin]:
                (project / "uv.toml").write_text(_metadata_file(known))
                bound = {name for index in indexes for name in index.packages}
                asked = {_name(text) for text in wanted}
                while True:
                    (project / "pyproject.toml").write_text(_project(wanted, indexes, places, context.base))
                    chosen = self._compile(project, request, context, _preferences(request.prefer, indexes, places))
                    # uv knows the index of what a project itself asks for, and not of what others need
                    more = {package.name for package, _ in chosen} & bound - asked
                    if not more:
                        return [self._pin(context, indexes, *pair) for pair in chosen]
                    wanted, asked = [*wanted, *sorted(more)], asked | more

            try:
                pins = self._with_sdists(solve, wanted, _sdists(request), context)
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
        found = _source_metadata(context.store.path(sha256), pin.file)
        return {**found, "name": pin.name, "version": pin.version}

    def _compile(
        self, project: Path, request: Request, context: Context, preferences: str
    ) -> list[tuple[Any, PackageWheel | PackageSdist]]:
        base, host = context.base, context.host
        sdists = _sdists(request)
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
                f"no set of packages satisfies {request.section}:\n{_explanation(error.output)}",
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
        sources = _sdists(request)
        for pin in section.pins:
            index = next((one for one in indexes if pin.name in one.packages), None)
            if pin.registry not in ([index.index] if index else (ORDINARY, EXTRA)):
                yield f"{pin.name}: it comes from '{index.index if index else ORDINARY}', and not from '{pin.registry}'"
            if fault := _local_fault(pin, index):
                yield fault
            if _file_of(pin.file, sources) != (pin.name, Version(pin.version)):
                yield f"{pin.name} {pin.version}: {pin.file} is no file of it"
        pins = {pin.name: pin for pin in section.pins}
        for need in map(Requirement, _wanted(request)):
            found = pins.get(canonicalize_name(need.name))
            if need.marker is not None and not _holds(need.marker, base):
                continue
            if found is None:
                yield f"{need} is asked for, and no pin is it"
            elif not need.specifier.contains(found.version, prereleases=True):
                yield f"{need} is asked for, and {found.name} {found.version} is pinned"

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        said = _source_metadata(artefact, pin.file) if _is_sdist(pin) else _wheel_metadata(artefact, pin.file)
        name = canonicalize_name(said.get("name", ""))
        offers: dict[str, list[str]] = {name: _needs(said, "", base)}
        for extra in said.get("provides_extra", []):
            offers[f"{name}[{canonicalize_name(extra)}]"] = [name, *_needs(said, extra, base)]
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
                for text in map(_text, request)
                for asked in (Requirement(text),)
                if canonicalize_name(asked.name) == name and not asked.specifier.contains(version, prereleases=True)
            ),
            None,
        )

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        from dsvm.ecosystems.pypi.licensed import licenses

        return licenses(artefact, source=_is_sdist(pin))

    def roots(self, asked: Asked) -> Iterator[str]:
        for text in _wanted(asked.request):
            yield from _called(Requirement(text))

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

        The first part brings the environment itself, even when no package belongs to it.
        """
        found: dict[int, list[Pin]] = {0: []}
        for pin in section.pins:
            number = int(hashlib.sha256(pin.name.encode()).hexdigest(), 16)
            number = number % LARGE_PARTS if pin.size >= LARGE else LARGE_PARTS + number % SMALL_PARTS
            found.setdefault(number, []).append(pin)
        return [
            Section(
                id=f"{section.id}_{number}",
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


def _explanation(output: str) -> str:
    """What uv says of a failure, indented, without the words that introduce it."""
    lines = output.strip().splitlines()
    if len(lines) > 1 and lines[0].startswith("error: No solution found"):
        lines = [lines[1].replace("cause: ", "       "), *lines[2:]]
    return "\n".join(f"    {line}" for line in textwrap.dedent("\n".join(lines)).splitlines())


def _text(one: str | Sdist) -> str:
    return one if isinstance(one, str) else one.sdist


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


def _sdists(request: Request) -> list[str]:
    """Names of the packages that may come as source."""
    return sorted({_name(one.sdist) for item in request.items for one in item if isinstance(one, Sdist)})


def _is_sdist(pin: Pin) -> bool:
    return not pin.file.endswith(".whl")


def _extra(request: Request, base: Base) -> Extra:
    return Extra(
        python=None if base.platform == "linux" else traits(base).env_python(request.env),
        builds=request.builds if _sdists(request) else (),
    )


def _wanted(request: Request) -> list[str]:
    """All requirements of an environment, those of a kernel included."""
    return [*(_text(one) for item in request.items for one in item), *(KERNEL_PACKAGES if request.kernel else ())]


# --- what files say of themselves --------------------------------------------------------------------------


def _local_fault(pin: Pin, index: Index | None) -> str | None:
    """What is wrong with the build of a package, as its version tells it, or None."""
    if index is None or not index.local or Version(pin.version).local == index.local:
        return None
    return f"{pin.name} {pin.version} from index '{index.index}' is not a '{index.local}' build"


def _file_of(file: str, sources: Sequence[str]) -> tuple[str, Version] | None:
    """Name and version that a file's name says; None for a name of another form, and for a source that may not be."""
    try:
        if file.endswith(".whl"):
            name, version, *_ = parse_wheel_filename(file)
            return name, version
        name, version = parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return (name, version) if name in sources else None


def _source_metadata(path: Path, file: str) -> RawMetadata:
    """What a source distribution says of itself, in its PKG-INFO.

    https://packaging.python.org/en/latest/specifications/source-distribution-format/: from version 2.2 of the
    metadata on, a file without needs is a package without needs.
    """
    try:
        with tarfile.open(path) as archive:
            infos = (one for one in archive if one.isfile() and one.name.split("/")[1:] == ["PKG-INFO"])
            member = next(infos, None)
            stream = archive.extractfile(member) if member is not None and member.size <= MOST else None
            found, _ = parse_email(stream.read() if stream is not None else b"")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise LockError(f"{file}: no source distribution: {error}") from error
    if stream is None:
        raise LockError(f"{file}: no source distribution: it has no PKG-INFO")
    if Version(found.get("metadata_version", "0")) < Version("2.2"):
        raise LockError(
            f"{file}: its metadata is of version {found.get('metadata_version', 'none')}, and only 2.2 and "
            "newer tell what a source distribution needs",
            hint="Ask for a newer version of it",
        )
    return found


def _wheel_metadata(path: Path, file: str) -> RawMetadata:
    """https://packaging.python.org/en/latest/specifications/binary-distribution-format/"""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = (one for one in archive.infolist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one.filename))
            member = next(infos, None)
            if member is None or member.file_size > MOST:
                raise LockError(f"{file}: no wheel: it has no METADATA")
            found, _ = parse_email(archive.read(member))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise LockError(f"{file}: no wheel: {error}") from error
    return found


def _needs(said: RawMetadata, extra: str, base: Base) -> list[str]:
    """What a package needs on `base`, or with an extra of it."""
    found: list[str] = []
    for text in said.get("requires_dist", []):
        try:
            need = Requirement(text)
        except InvalidRequirement:
            continue  # old packages have such, and installers pass over them
        if need.marker is None or _holds(need.marker, base, extra):
            found += _called(need)
    return found


def _holds(marker: Marker, base: Base, extra: str = "") -> bool:
    return marker.evaluate({**cast("dict[str, str]", markers(base)), "extra": extra})


def _called(need: Requirement) -> list[str]:
    """What a requirement asks for, as `Pypi.described` offers it."""
    name = canonicalize_name(need.name)
    return [name, *(f"{name}[{canonicalize_name(extra)}]" for extra in sorted(need.extras))]


def _project(
    wanted: Sequence[str], indexes: Sequence[Index], places: Mapping[str, tuple[str, bool]], base: Base
) -> str:
    """A pyproject.toml for uv in which the packages of a named index come from there and nowhere else.

    JSON strings are TOML strings.
    """
    lines = [
        "[project]",
        'name = "this-environment"',
        'version = "0"',
        f'requires-python = ">= {base.python}"',
        f"dependencies = {json.dumps(list(wanted))}",
    ]
    if indexes:
        lines.append("[tool.uv.sources]")
        lines += [
            f"{json.dumps(name)} = {{index = {json.dumps(index.index)}}}"
            for index in indexes
            for name in index.packages
            if any(_name(text) == name for text in wanted)
        ]
    for name, (url, flat) in places.items():
        lines += [
            "[[tool.uv.index]]",
            f"name = {json.dumps(name)}",
            f"url = {json.dumps(url)}",
            "explicit = true",
        ]
        lines += ['format = "flat"'] if flat else []
    return "\n".join(lines) + "\n"


def _preferences(versions: Mapping[str, str], indexes: Sequence[Index], places: Mapping[str, tuple[str, bool]]) -> str:
    """A lock for uv, which stays at what one says; "" where nothing is preferred.

    https://packaging.python.org/en/latest/specifications/pylock-toml/
    """
    if not versions:
        return ""
    bound = {name: places[index.index][0] for index in indexes for name in index.packages}
    lines = ['lock-version = "1.0"', 'created-by = "dsvm"']
    for name, version in sorted(versions.items()):
        lines += ["[[packages]]", f"name = {json.dumps(name)}", f"version = {json.dumps(version)}"]
        # uv passes over a version that it does not know to be of the index that a package is bound to
        lines += [f"index = {json.dumps(bound[name])}"] if name in bound else []
    return "\n".join(lines) + "\n"


def _metadata_file(known: Sequence[RawMetadata]) -> str:
    """A uv.toml that says what packages need whose own program would otherwise be run and asked."""
    lines = []
    for one in known:
        lines += [
            "[[dependency-metadata]]",
            f"name = {json.dumps(one['name'])}",
            *([f"version = {json.dumps(one['version'])}"] if "version" in one else []),
            f"requires-dist = {json.dumps(one.get('requires_dist', []))}",
            f"provides-extra = {json.dumps(one.get('provides_extra', []))}",
        ]
    return "\n".join(lines) + "\n"


ECOSYSTEM = Pypi()
