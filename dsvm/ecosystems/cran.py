"""R packages from a dated snapshot of a repository, compiled for the base's own R into /opt/r/site-library."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import operator
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

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
from dsvm.host import Host, redact, unpacked
from dsvm.model import (
    ANY,
    AccessError,
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
    StoreError,
    upstream_version,
)
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL

MOST = 1 << 20  # bytes of a DESCRIPTION
MOST_INDEX = 256 << 20  # bytes of an index
LIBRARY = "/opt/r/site-library"
RUNTIME = "r"
# What R itself consists of; no repository has these.
R_ITSELF = {
    *("base", "compiler", "datasets", "graphics", "grDevices", "grid", "methods", "parallel", "splines", "stats"),
    *("stats4", "tcltk", "tools", "utils"),
}
NAME = r"[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]"
VERSION = r"\d+(?:[.-]\d+)*"
NEED = re.compile(rf"(?P<name>{NAME}|R)\s*(?:\(?\s*(?P<sign>>=|<=|==|>|<)\s*(?P<version>{VERSION})\s*\)?)?")
SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
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


class Need(NamedTuple):
    """A package, or R itself, perhaps of certain versions only."""

    name: str
    sign: str = ""
    version: str = ""

    def allows(self, version: str) -> bool:
        return not self.sign or SIGNS[self.sign](order(version), order(self.version))

    def __str__(self) -> str:
        return f"{self.name} ({self.sign} {self.version})" if self.sign else self.name


class Package(NamedTuple):
    """What the index of a repository says of a package; `file` is relative to src/contrib."""

    name: str
    version: str
    file: str
    md5: str | None
    needs: tuple[Need, ...]


def order(version: str) -> tuple[int, ...]:
    """R's order of versions: number by number, '-' as good as '.'."""
    return tuple(int(number) for number in re.split("[.-]", version))


def parse_need(text: str) -> Need:
    match = NEED.fullmatch(text.strip())
    if match is None or (text.count("("), text.count(")")) not in ((0, 0), (1, 1)):
        raise ValueError(f"'{text}' is not an R package, such as 'glmnet' or 'glmnet >= 4.1'")
    return Need(match["name"], match["sign"] or "", match["version"] or "")


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
        return needed(wanted, _packages(request.indexes[0], context), r, given)

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
        return Described(name, version, {name: [need.name for need in _needs(",".join(fields))]})

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
        from dsvm.ecosystems.offers.cran import offered

        r, _ = _runtime(context)

        def best(packages: Sequence[Package]) -> str | None:
            fitting = [one.version for one in packages if _is_for(one, r)]
            return max(fitting, key=order, default=None)

        def again() -> Mapping[str, str]:
            return {one.name: one.version for one in self._needed(asked.request, context)}

        def read(index: Index) -> Mapping[str, Sequence[Package]]:
            return _packages(index.index, replace(context, indexes={index.index: index}))

        (name,) = asked.request.indexes
        return offered(section, context.indexes[name], datetime.datetime.now(datetime.UTC).date(), read, again, best)

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        return PackageURL("cran", None, pin.name, pin.version)


# --- the repository ----------------------------------------------------------------------------------------


def repositories(registry: str, context: Context) -> tuple[str, ...]:
    """URLs that may hold the snapshot: the machine's own for it or for `cran`, else the one in its manifest."""
    index = context.indexes.get(registry)
    host = context.host
    urls = host.source(registry) or host.source("cran") or ((index.url,) if index else ())
    return tuple(index.at(url) if index else url for url in urls)


def _packages(name: str, context: Context) -> Mapping[str, tuple[Package, ...]]:
    """The index of the first repository that can be read."""
    index: Index = context.indexes[name]
    faults = []
    for repository in repositories(name, context):
        try:
            return read_index(context.host, repository)
        except AccessError:
            raise
        except StoreError as error:
            faults.append(error)
    date = f" of {index.date}" if index.date else ""
    raise LockError(
        f"{name}: the snapshot{date} cannot be read:\n" + "\n".join(f"    {fault.message}" for fault in faults),
        hint=f"{faults[0].hint}\nA mirror of yours: sources: {{{name}: URL}} in DSVM's configuration".strip(),
    )


@lru_cache(maxsize=4)
def read_index(host: Host, repository: str) -> Mapping[str, tuple[Package, ...]]:
    """Name -> its packages in the source index of a repository. StoreError when there is none."""
    refused: list[str] = []
    for name in ("PACKAGES.gz", "PACKAGES"):
        url = f"{repository}/src/contrib/{name}"
        content = _document(host, url, refused)
        if content is not None:
            break
    else:
        fault = refused[0] if refused else f"{redact(repository)}: no R repository: it has no src/contrib/PACKAGES"
        raise StoreError(fault)
    try:
        text = (_unpacked(content) if content.startswith(b"\x1f\x8b") else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StoreError(f"{redact(url)}: not an index of R packages: {error}") from error
    found: dict[str, list[Package]] = {}
    for package in parse_index(text):
        found.setdefault(package.name, []).append(package)
    if not found:
        raise StoreError(f"{redact(url)}: not an index of R packages")
    return {name: tuple(packages) for name, packages in found.items()}


def _unpacked(content: bytes) -> bytes:
    """Raises OSError for what unpacks to more than any index."""
    data = gzip.GzipFile(fileobj=BytesIO(content)).read(MOST_INDEX + 1)
    if len(data) > MOST_INDEX:
        raise OSError(f"it unpacks to more than {MOST_INDEX >> 20} MiB")
    return data


def _document(host: Host, url: str, refused: list[str]) -> bytes | None:
    """A small file, or None when its place says that there is none, or refuses it: then what it says is in `refused`.

    Places in a cloud's storage refuse whatever they do not have.
    """
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        return path.read_bytes() if path.is_file() else None
    answer = host.get(url)
    if answer.status_code == 403:
        refused.append(f"{redact(url)}: HTTP 403 Forbidden")
    if answer.status_code in (403, 404, 410):
        return None
    if answer.status_code >= 400:
        raise StoreError(f"{redact(url)}: HTTP {answer.status_code}")
    return answer.content


def parse_index(text: str) -> Iterator[Package]:
    """The packages of a PACKAGES file; entries that say nothing usable are passed over."""
    from debian.deb822 import Deb822

    for entry in Deb822.iter_paragraphs(text.splitlines(), use_apt_pkg=False):
        name, version = entry.get("Package", ""), entry.get("Version", "")
        folder = entry.get("Path", "")
        safe = not folder.startswith("/") and ".." not in folder.split("/") and re.fullmatch(r"[\w./+-]*", folder)
        if not re.fullmatch(NAME, name) or not re.fullmatch(VERSION, version) or not safe:
            continue
        file = f"{name}_{version}.tar.gz"
        yield Package(
            name=name,
            version=version,
            file=f"{folder.rstrip('/')}/{file}" if folder else file,
            md5=entry.get("MD5sum"),
            needs=tuple(_needs(",".join(entry.get(field, "") for field in ("Depends", "Imports", "LinkingTo")))),
        )


def _asked(request: Request) -> list[Need]:
    return [parse_need(text) for item in request.items for text in item]


def _needs(text: str) -> Iterator[Need]:
    for one in text.split(","):
        try:
            yield parse_need(one)
        except ValueError:
            continue  # nothing between two commas, or R (>= r12345), a state of R's own repository


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


def _is_for(package: Package, r: str) -> bool:
    return all(need.allows(r) for need in package.needs if need.name == "R")


def needed(
    wanted: Iterable[Need], packages: Mapping[str, Sequence[Package]], r: str, given: Mapping[str, str]
) -> list[Package]:
    """The packages that `wanted` stand for, each after those that it needs itself; what R `r` brings is left to it.

    Raises LockError with every fault.
    """
    found: dict[str, Package] = {}
    faults: dict[str, None] = {}

    def visit(need: Need, whose: str) -> None:
        here = given.get(need.name.lower())
        if need.name in R_ITSELF or (whose and here is not None and need.allows(here)):
            return
        offered = packages.get(need.name, ())
        fitting = [one for one in offered if _is_for(one, r)]
        best = max(fitting, key=lambda one: order(one.version), default=None)
        by = f", which {whose} needs" if whose else ""
        if not offered:
            faults[f"{need.name}{by}: not in the snapshot"] = None
        elif best is None:
            newer = next(str(other) for other in offered[-1].needs if other.name == "R" and not other.allows(r))
            faults[f"{need.name} {offered[-1].version}{by}: wants {newer}, the base has R {r}"] = None
        elif not need.allows(best.version):
            faults[f"{need}{by}: the snapshot has {best.version}"] = None
        elif best.name not in found and best.name not in begun:
            begun.add(best.name)
            for other in sorted(best.needs):
                if other.name != "R":
                    visit(other, best.name)
            found[best.name] = best

    begun: set[str] = set()
    for need in sorted(wanted):
        visit(need, "")
    if faults:
        raise LockError(
            "R packages cannot be had:\n" + "\n".join(f"    {fault}" for fault in faults),
            hint="Correct a name, or take a snapshot of the time of the base's R (manifests/indexes)",
        )
    return list(found.values())


ECOSYSTEM = Cran()
