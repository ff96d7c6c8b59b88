"""R packages from a dated snapshot of a repository, compiled for the base's own R into /opt/r/site-library."""

from __future__ import annotations

import datetime
import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dsvm.ecosystems.cran.packages import (
    R_ITSELF,
    VERSION,
    Need,
    Package,
    is_for,
    needed,
    order,
    parse_need,
)
from dsvm.ecosystems.cran.repository import (
    needs_in,
    packages_of,
    repositories,
)
from dsvm.ecosystems.licenses.names import cran, is_vague
from dsvm.ecosystems.licenses.reading import shown, stated, tar_texts
from dsvm.ecosystems.licenses.texts import own_terms
from dsvm.ecosystems.protocol import (
    Advised,
    Asked,
    Context,
    Described,
    Generated,
    Offered,
    Pool,
    Recorded,
    Request,
    RunInImage,
)
from dsvm.ecosystems.registered import get, parse_request
from dsvm.host import unpacked
from dsvm.model import (
    ANY,
    Base,
    Entry,
    Index,
    LockError,
    Model,
    Pin,
    Repository,
    Section,
    Stated,
    Step,
    upstream_version,
)
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL

MOST = 1 << 20  # bytes of a DESCRIPTION
LIBRARY = "/opt/r/site-library"
RUNTIME = "r"
# What R makes of a package's source, by pattern below its folder
INSTALLED = {
    "INDEX": "what it documents",
    "Meta/*.rds": "what R reads of it without loading it",
    "R/*.rdb": "its R code, compiled",
    "R/*.rdx": "the index of that",
    "R/*": "the file of R's own that loads it",
    "data/*.rd?": "its data, packed",
    "help/*": "its manual, packed",
    "html/*": "its manual's pages",
    "libs/*.so": "its own code, compiled",
}
# Distributions' packages of R and of R packages: r-base-core and r-cran-mass, R-core and R-MASS.
SYSTEM_R = ("r-base-core", "R-core")
SYSTEM_PACKAGE = re.compile(r"(?:r-cran-|r-bioc-|R-)(?P<name>.+)")


def _requirement(text: str) -> str:
    if parse_need(text).name in {"R", *R_ITSELF}:
        raise ValueError(f"'{text}' is a part of R itself")
    return text


class Extra(Model):
    """The packages in an order in which each comes after those that it needs."""

    order: tuple[str, ...]


class Cran:
    """R packages, from the dated snapshot that `index` names"""

    name = "cran"
    placement: Literal["image"] = "image"
    request_type = Annotated[tuple[Annotated[str, AfterValidator(_requirement)], ...], Field(min_length=1)]
    runtimes = (RUNTIME,)
    builders: Mapping[str, Any] = {}
    extra_type = Extra

    def package(self, request: Sequence[str]) -> str:
        return parse_need(request[0]).name

    def probe(self, request: Sequence[str], index: str | None, context: Context) -> str | None:
        try:
            self._needed(Request("probe", "probe", (request,), (index,) if index else ()), context)
        except LockError as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        found = self._needed(request, context)
        with ThreadPoolExecutor(8) as pool:
            pins = list(pool.map(lambda package: _pin(package, request.indexes[0], context), found))
        return sorted(pins, key=lambda pin: pin.name), {"order": [package.name for package in found]}

    def _needed(self, request: Request, context: Context) -> list[Package]:
        wanted = _asked(request)
        if len(request.indexes) != 1:
            named = " and ".join(request.indexes) or "none"
            raise LockError(
                f"{request.section}: all R packages of an image come from one snapshot; its tools name {named}",
                hint="Give each 'cran' source the same 'index', one of manifests/indexes with a date",
            )
        r, given = _runtime(context)
        return needed(wanted, packages_of(request.indexes[0], context), r, given)

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        pins = {pin.name: pin for pin in section.pins}
        if sorted(section.extra["order"]) != sorted(pin.name for pin in section.pins):
            yield "its 'order' names other packages than its pins"
        for pin in section.pins:
            if pin.registry not in asked.request.indexes:
                yield f"{pin.name}: it comes from {' or '.join(asked.request.indexes)}, and not from '{pin.registry}'"
            if pin.filename != f"{pin.name}_{pin.version}.tar.gz" or not re.fullmatch(r"[\w./+-]+", pin.file):
                yield f"{pin.name} {pin.version}: {pin.file} is no file of it"
        for need in _asked(asked.request):
            found = pins.get(need.name)
            if found is None or not (re.fullmatch(VERSION, found.version) and need.allows(found.version)):
                yield f"{need} is asked for, and {f'{found.version} is pinned' if found else 'no pin is it'}"

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        """https://cran.r-project.org/doc/manuals/r-release/R-exts.html#The-DESCRIPTION-file"""
        from debian.deb822 import Deb822

        try:
            with tarfile.open(artefact) as archive:
                found = (one for one in archive if one.name == f"{pin.name}/DESCRIPTION" and one.size <= MOST)
                stream = archive.extractfile(next(found))
                entry = Deb822(stream.read().decode(errors="replace") if stream is not None else "")
            name, version = entry["Package"], entry["Version"]
        except (StopIteration, KeyError, OSError, EOFError, ValueError, tarfile.TarError) as error:
            raise LockError(f"{pin.filename}: no R package: {type(error).__name__}: {error}") from error
        fields = (entry.get(field, "") for field in ("Depends", "Imports", "LinkingTo"))
        return Described(name, version, {name: [need.name for need in needs_in(",".join(fields))]})

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        return (Advised("CRAN", pin.name, pin.version),)

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        return order(version)

    def forbids(self, request: Sequence[str], name: str, version: str) -> str | None:
        asked = (parse_need(text) for text in request)
        return next((str(need) for need in asked if need.name == name and not need.allows(version)), None)

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        """https://cran.r-project.org/doc/manuals/r-release/R-exts.html#Licensing"""
        from debian.deb822 import Deb822

        place = f"{pin.name}/DESCRIPTION"
        try:
            texts = tar_texts(artefact, re.compile(rf"{re.escape(pin.name)}/(?:DESCRIPTION|LICEN[SC]E)"))
            words = str(Deb822(texts.pop(place, "")).get("License", ""))
        except ValueError as error:
            return Stated(file=place, why=shown(str(error)))
        if (found := cran(words)) or not words:
            return stated(found, words, place, "it has no License")
        read = next(((file, one) for file, text in texts.items() if (one := own_terms(text))), None)
        if read and is_vague(words):
            return stated(read[1], words, read[0], by_words=True)
        return stated(None, words, place)

    def roots(self, asked: Asked) -> Iterator[str]:
        yield from (need.name for need in _asked(asked.request))

    def locate(self, pin: Pin, context: Context) -> Iterator[str]:
        for repository in repositories(pin.registry, context):
            yield f"{repository}/src/contrib/{pin.file}"
            # where a repository without dates keeps what is no longer the newest
            yield f"{repository}/src/contrib/Archive/{pin.name}/{pin.filename}"

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        files = {pin.name: pin.filename for pin in section.pins}
        return Step(
            script="install-cran",
            args=(
                *("--epoch", str(section.epoch), "--library", LIBRARY, section.id),
                *(files[name] for name in section.extra["order"]),
            ),
            sections=(section.id,),
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        fields = ("-exec", "grep", "-HE", "^(Package|Version): ", "{}", ";")
        lines = run(["find", LIBRARY, "-mindepth", "2", "-maxdepth", "2", "-name", "DESCRIPTION", *fields])
        found: dict[str, dict[str, str]] = {}
        for path, field, value in re.findall(r"^(.+?):(Package|Version): (\S+)", lines, re.MULTILINE):
            found.setdefault(path, {})[field] = value
        return {fields.get("Package", path): fields.get("Version", "") for path, fields in found.items()}

    compiles = True

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        """Files of the source, without its own folder."""
        try:
            for path, entry in dict(unpacked(artefact)).items():
                if path.startswith(f"/{pin.name}/"):
                    yield path.removeprefix(f"/{pin.name}/"), entry
        except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
            raise LockError(f"{pin.filename}: no R package: {type(error).__name__}: {error}") from error

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterator[tuple[str, Entry]]:
        """What R puts there whatever the package is, and the files below inst where no script of its own comes first.

        Their modes are R's.
        """
        files = {path: entry for path, entry in contents if entry.kind == "file"}
        # R adds when and by which R it was built
        yield f"{LIBRARY}/{pin.name}/DESCRIPTION", Entry("file")
        own = {path for path in files if path in ("configure", "cleanup", ".Rinstignore")}
        for path, entry in files.items():
            inner = path.removeprefix("inst/") if path.startswith("inst/") and not own else path
            if path == "NAMESPACE" or inner != path:
                yield f"{LIBRARY}/{pin.name}/{inner}", entry._replace(mode=ANY, uid=0, gid=0)

    def pools(self, section: Section) -> Iterator[Pool]:
        yield Pool(LIBRARY, (section.id,), "R CMD INSTALL: what it copies from the sources of packages")

    def generated(self, section: Section, base: Base) -> Iterator[Generated]:
        for pattern, reason in INSTALLED.items():
            how: Literal["any", "copy"] = "copy" if pattern == "R/*" else "any"
            yield Generated(f"{LIBRARY}/*/{pattern}", f"R CMD INSTALL: {reason}", how)

    # what R writes where it installs a package; the same file in a source has no field Built
    records = re.compile(r".*/(?:site-library|library)/[A-Za-z][A-Za-z0-9.]*/DESCRIPTION")

    def place(self, section: Section) -> str:
        return LIBRARY

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterator[Recorded]:
        from debian.deb822 import Deb822

        entry = Deb822(data.decode(errors="replace"))
        if "Built" in entry and "Package" in entry and "Version" in entry:
            yield Recorded(entry["Package"], entry["Version"], license=entry.get("License", ""))

    def folder(self, pin: Pin) -> None:
        return None

    def order(self, version: str) -> tuple[int, ...]:
        return order(version)

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        from dsvm.ecosystems.cran.offered import offered

        r, _ = _runtime(context)

        def best(packages: Sequence[Package]) -> str | None:
            fitting = [one.version for one in packages if is_for(one, r)]
            return max(fitting, key=order, default=None)

        def again() -> Mapping[str, str]:
            return {one.name: one.version for one in self._needed(asked.request, context)}

        def read(index: Index) -> Mapping[str, Sequence[Package]]:
            return packages_of(index.index, replace(context, indexes={index.index: index}))

        (name,) = asked.request.indexes
        return offered(section, context.indexes[name], datetime.datetime.now(datetime.UTC).date(), read, again, best)

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        return PackageURL("cran", None, pin.name, pin.version)


# --- the repository ----------------------------------------------------------------------------------------


def _asked(request: Request) -> list[Need]:
    return [parse_need(text) for item in request.items for text in item]


def _pin(package: Package, registry: str, context: Context) -> Pin:
    """The index knows the MD5 only, so each package is fetched once to learn its SHA-256."""

    def fault(path: Path) -> str | None:
        found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        return f"its MD5 is {found}, the index says {package.md5}" if package.md5 not in (None, found) else None

    pin = Pin(name=package.name, version=package.version, file=package.file, size=0, sha256="0" * 64, registry=registry)
    sha256, size = context.store.download(
        ECOSYSTEM.locate(pin, context),
        name=pin.filename,
        host=context.host,
        verify=fault,
        key=f"cran {pin.filename} md5 {package.md5}" if package.md5 else None,
    )
    return pin.model_copy(update={"sha256": sha256, "size": size})


# --- what is needed ----------------------------------------------------------------------------------------


def _runtime(context: Context) -> tuple[str, Mapping[str, str]]:
    """Version of the base's R, and the R packages that come with it, name in lower case -> version."""
    base = context.base
    if RUNTIME not in base.runtimes:
        raise LockError(f"base {base.base} has no runtime '{RUNTIME}'")
    asked = parse_request(base.ecosystem, base.runtimes[RUNTIME])
    pins, _ = get(base.ecosystem).resolve(Request(f"runtime-{RUNTIME}", f"runtime-{RUNTIME}", (asked,)), context)
    versions = [re.match(r"\d+\.\d+\.\d+", upstream_version(pin.version)) for pin in pins if pin.name in SYSTEM_R]
    if not versions or versions[0] is None:
        raise LockError(f"the runtime '{RUNTIME}' of base {base.base} brings none of {', '.join(SYSTEM_R)}")
    given = {
        match["name"].lower(): upstream_version(pin.version)
        for pin in pins
        if (match := SYSTEM_PACKAGE.fullmatch(pin.name)) and re.fullmatch(VERSION, upstream_version(pin.version))
    }
    return versions[0][0], given


ECOSYSTEM = Cran()
