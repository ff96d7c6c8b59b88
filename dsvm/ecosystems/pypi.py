"""Python packages as wheels, resolved by uv, each environment in a folder of its own: /opt/envs/ENV on Linux."""

from __future__ import annotations

import hashlib
import json
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from packaging import tags
from packaging.markers import Environment
from packaging.pylock import PackageWheel, Pylock, PylockSelectError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import AfterValidator, Field

from dsvm.ecosystems import Context, Request, RunInImage
from dsvm.errors import LockError, ProgramError, StoreError
from dsvm.machine import Machine
from dsvm.model import Base, Index, Pin, Section, Step, digest_of
from dsvm.platforms import PLATFORMS, traits
from dsvm.run import bundled, run
from dsvm.urls import redact

# What a kernel's environment holds beside its tools: the kernel itself, and pip for `%pip install` in a notebook
KERNEL_PACKAGES = ("ipykernel", "pip")
ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
# The tags of wheels for Windows, and what Python's platform.machine() says there
WINDOWS_TAGS = {"amd64": "win_amd64", "arm64": "win_arm64"}
WINDOWS_MACHINES = {"amd64": "AMD64", "arm64": "ARM64"}
# An environment falls into so many parts: large packages, which seldom change and take long, and small ones.
LARGE = 8_000_000  # bytes of a wheel
LARGE_PARTS, SMALL_PARTS = 8, 4
# Modification time of what wheels install. It is the same for all, so that layers of equal pins are equal, however
# long ago each was locked; and not 1970, which zip cannot express. npm packs its files with this one.
FILE_TIME = 499162500  # 1985-10-26 08:15 UTC
# The newest glibc 2 that uv solves for. On a base with a newer one, a wheel for that alone is not found by uv.
UV_GLIBC = 40
# PEP 600: manylinux2014, 2010 and 1 are names for these glibc versions
LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"'{text}' is not a requirement: {str(error).splitlines()[0]}") from error
    if requirement.url:
        raise ValueError(f"'{text}': a URL is no requirement here; use the 'url' ecosystem")
    return text


class Pypi:
    """Python requirements, from the machine's own package index"""

    name = "pypi"
    placement: Literal["env"] = "env"
    request_type = Annotated[tuple[Annotated[str, AfterValidator(_requirement)], ...], Field(min_length=1)]
    runtimes = ("python",)
    builders: Mapping[str, Any] = {"pypi": ("uv ~= 0.13.0",)}

    def package(self, request: Sequence[str]) -> str:
        return canonicalize_name(Requirement(request[0]).name)

    def probe(self, request: Sequence[str], index: str | None, context: Context) -> str | None:
        try:
            self.resolve(Request(self.package(request), "probe", (request,), (index,) if index else ()), context)
        except LockError as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        wanted = [text for item in request.items for text in item]
        if request.kernel:
            wanted += KERNEL_PACKAGES
        indexes = [context.indexes[name] for name in request.indexes]
        project = context.work / f"pypi-{request.section}"
        project.mkdir(parents=True, exist_ok=True)
        faults = []
        for places in _index_places(indexes, context):
            (project / "pyproject.toml").write_text(_project(wanted, indexes, places, context.base))
            try:
                found = self._compile(project, request, context)
            except LockError as error:
                faults.append(error)
                continue
            pins = [self._pin(context, indexes, *pair) for pair in found]
            return sorted(pins, key=lambda pin: pin.name), _elsewhere(context.base, request.env)
        raise faults[0]

    def _compile(self, project: Path, request: Request, context: Context) -> list[tuple[Any, PackageWheel]]:
        base, machine = context.base, context.machine
        output = project / "pylock.toml"
        output.unlink(missing_ok=True)
        indexes = [
            *(word for url in machine.pypi_indexes[:1] for word in ("--default-index", url)),
            *(word for url in machine.pypi_indexes[1:] for word in ("--index", url)),
        ]
        try:
            run(
                [
                    *(bundled("uv"), "pip", "compile", "--quiet", "--no-config", "--no-header", "--upgrade"),
                    *("--format", "pylock.toml", "--output-file", output, "--only-binary", ":all:"),
                    # nothing is built, so this one will do: looking for that version among all takes seconds
                    *("--python", sys.executable, "--python-version", base.python),
                    *("--python-platform", _uv_platform(base)),
                    # pip's rule, which a machine's configuration is written for: all indexes count the same
                    *("--index-strategy", "unsafe-best-match", *(indexes or ["--no-index"])),
                    *(word for url in machine.find_links for word in ("--find-links", url)),
                    project / "pyproject.toml",
                ],
                timeout=600,
            )
        except ProgramError as error:
            raise LockError(
                f"no set of packages satisfies {request.section}:\n{_explanation(error.output)}",
                hint="Loosen a requirement, or leave a tool out: --leave-out TOOL",
            ) from error
        lock = Pylock.from_dict(tomllib.loads(output.read_text()))
        try:
            chosen = list(lock.select(environment=_environment(base), tags=list(_tags(base))))
        except PylockSelectError as error:
            raise LockError(f"{request.section}: {error}") from error
        sources = [package.name for package, wheel in chosen if not isinstance(wheel, PackageWheel)]
        if sources:
            raise LockError(f"{request.section}: no wheel for Python {base.python} of {', '.join(sources)}")
        return [(package, wheel) for package, wheel in chosen if isinstance(wheel, PackageWheel)]

    def _pin(self, context: Context, indexes: Sequence[Index], package: Any, wheel: PackageWheel) -> Pin:
        version = str(package.version)
        index = next((index for index in indexes if package.name in index.packages), None)
        if index and index.local and Version(version).local != index.local:
            raise LockError(
                f"{package.name} {version} from index '{index.index}' is not a '{index.local}' build",
                hint="The index serves another build than its name says",
            )
        filename = unquote(wheel.filename)
        sha256 = wheel.hashes.get("sha256")
        size = wheel.size
        if sha256 is None or size is None:
            url = Path(wheel.path).as_uri() if wheel.path else str(wheel.url)
            sha256, size = context.store.download([url], name=filename, machine=context.machine, sha256=sha256)
        return Pin(
            name=package.name,
            version=version,
            file=filename,
            size=size,
            sha256=sha256,
            registry=index.index if index else "pypi",
        )

    def locate(self, pin: Pin, context: Context) -> Iterator[str]:
        machine = context.machine
        index = context.indexes.get(pin.registry)
        here = list(_in_folders(machine.find_links, pin.filename))
        yield from here
        pages = machine.source(pin.registry) or ((index.url,) if index else machine.pypi_indexes)
        links = [link for link in machine.find_links if link.startswith("http")]
        faults: list[StoreError] = []
        others: list[str] = []
        for page in [*(f"{url.rstrip('/')}/{pin.name}/" for url in pages), *links]:
            try:
                files = list(page_files(machine, page))
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
                epoch=FILE_TIME,
                pins=tuple(pins),
                extra={"env": section.extra["env"], "first": number == 0},
            )
            for number, pins in sorted(found.items())
        ]

    def install(self, section: Section, base: Base) -> Step:
        env = section.extra["env"]
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
                *("--prefix", f"{here.envs}/{env}", "--epoch", str(FILE_TIME), "--python", base.python),
                *(() if section.extra["first"] else ("--packages-only",)),
                section.id,
            ),
            sections=(section.id, "builder-pypi-pypi"),
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


def _explanation(output: str) -> str:
    """What uv says of a failure, indented, without the words that introduce it."""
    lines = output.strip().splitlines()
    if len(lines) > 1 and lines[0].startswith("error: No solution found"):
        lines = [lines[1].replace("cause: ", "       "), *lines[2:]]
    return "\n".join(f"    {line}" for line in textwrap.dedent("\n".join(lines)).splitlines())


def _in_folders(links: Iterable[str], filename: str) -> Iterator[str]:
    """Where `filename` lies in the find-links that are folders of this machine."""
    for link in links:
        if not link.startswith("http"):
            path = Path(unquote(urlsplit(link).path)) / filename
            if path.is_file():
                yield path.as_uri()


def page_files(machine: Machine, page: str) -> Iterator[tuple[str, str, str | None]]:
    """(file name, URL, SHA-256 if it is given) of every file on a page of a package index; none for a missing page.

    https://packaging.python.org/en/latest/specifications/simple-repository-api/
    Raises StoreError when the index cannot be asked.
    """
    from pypi_simple import ACCEPT_ANY, ProjectPage, UnsupportedRepoVersionError

    project = urlsplit(page).path.rstrip("/").rsplit("/", 1)[-1]
    try:
        if page.startswith("file:"):
            path = Path(unquote(urlsplit(page).path)) / "index.html"
            if not path.is_file():
                return
            found = ProjectPage.from_html(project, path.read_text(encoding="utf-8"), base_url=page)
        else:
            answer = machine.get(page, accept=ACCEPT_ANY)
            if answer.status_code in (404, 410):
                return
            if answer.status_code >= 400:
                raise StoreError(f"{redact(page)}: HTTP {answer.status_code}")
            if "json" in answer.headers.get("content-type", ""):
                found = ProjectPage.from_json_data(answer.json(), base_url=str(answer.url))
            else:
                found = ProjectPage.from_html(project, answer.text, base_url=str(answer.url))
    except (UnsupportedRepoVersionError, ValueError, OSError) as error:
        raise StoreError(f"{redact(page)}: {error}") from error
    for file in found.packages:
        yield file.filename, file.url, (file.digests or {}).get("sha256")


def _elsewhere(base: Base, env: str) -> Mapping[str, str]:
    """Where the Python of an environment is, for images in which that is another place than on Linux."""
    return {} if base.platform == "linux" else {"python": traits(base).env_python(env)}


def _glibc(base: Base) -> int:
    """Minor version of the base's glibc 2."""
    return int(base.glibc.split(".")[1])


def _uv_platform(base: Base) -> str:
    """What uv calls the base's platform: https://docs.astral.sh/uv/reference/cli/#uv-pip-compile--python-platform"""
    if base.platform == "windows":
        return f"{ARCHES[base.arch]}-pc-windows-msvc"
    return f"{ARCHES[base.arch]}-manylinux_2_{min(_glibc(base), UV_GLIBC)}"


def _tags(base: Base) -> Iterator[tags.Tag]:
    """Wheel tags that fit a base, the best first."""
    platforms = [WINDOWS_TAGS[base.arch]] if base.platform == "windows" else list(_linux_tags(base))
    major, micro = map(int, base.python.split("."))
    yield from tags.cpython_tags((major, micro), platforms=platforms)
    yield from tags.compatible_tags((major, micro), interpreter=f"cp{major}{micro}", platforms=platforms)


def _linux_tags(base: Base) -> Iterator[str]:
    arch = ARCHES[base.arch]
    for step in range(_glibc(base), 4, -1):
        yield f"manylinux_2_{step}_{arch}"
        if step in LEGACY_MANYLINUX:
            yield f"{LEGACY_MANYLINUX[step]}_{arch}"
    yield f"linux_{arch}"


def _environment(base: Base) -> Environment:
    """The values of environment markers on a base.

    https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers
    """
    windows = base.platform == "windows"
    return Environment(
        implementation_name="cpython",
        implementation_version=f"{base.python}.0",
        os_name="nt" if windows else "posix",
        platform_machine=WINDOWS_MACHINES[base.arch] if windows else ARCHES[base.arch],
        platform_release="",
        platform_system="Windows" if windows else "Linux",
        platform_version="",
        python_full_version=f"{base.python}.0",
        platform_python_implementation="CPython",
        python_version=base.python,
        sys_platform="win32" if windows else "linux",
    )


def _index_places(indexes: Sequence[Index], context: Context) -> Iterator[Mapping[str, tuple[str, bool]]]:
    """Where named indexes may be found, as index -> (place, flat): as configured, then in find-links folders."""
    if not indexes:
        yield {}
        return
    machine = context.machine
    yield {index.index: ((machine.source(index.index) or (index.url,))[0], False) for index in indexes}
    for link in machine.find_links:
        yield {index.index: (link, True) for index in indexes}


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
            if any(canonicalize_name(Requirement(text).name) == name for text in wanted)
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


ECOSYSTEM = Pypi()
