"""Where a tool's files come from and how they install: one module each, all behind one Protocol.

A module of this package is an ecosystem when it has an `ECOSYSTEM` object of this Protocol; another distribution
names such an object under the entry-point group `dsvm.ecosystems` (see `outside.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from dsvm.host import Host
from dsvm.model import Base, Entry, Index, Pin, Repository, Section, Stated, Step
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL

# Runs a command in an image and returns what it prints; raises when the command fails.
RunInImage = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Context:
    """What resolving may use: the base, this host's client configuration, the store and a work folder."""

    base: Base
    host: Host
    store: Store
    work: Path
    accelerator: str = "cpu"
    indexes: Mapping[str, Index] = field(default_factory=dict)
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    # What the base image itself holds, in its system ecosystem's own form; "" while the base is resolved.
    base_status: str = ""
    # whether a server that does not answer is asked once and no more
    once: bool = False
    # hosts that could not be reached since it was begun, and why: nobody who asks once waits for them again
    dead: dict[str, str] = field(default_factory=dict)
    # what people should know of where packages come from
    echo: Callable[[str], None] = lambda line: None
    warn: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Runtime:
    """What a tool is made of that others run on: a request of the source that was chosen for it."""

    tool: str
    ecosystem: str
    item: Any
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What one section asks for: the merged requests of its tools."""

    section: str
    env: str
    items: tuple[Any, ...]
    indexes: tuple[str, ...] = ()
    # beside the base's own, for system packages
    repositories: tuple[str, ...] = ()
    # whether the place is a Jupyter kernel's, which needs a kernel beside what its tools ask for
    kernel: bool = False
    # its ecosystem's runtimes that are tools of the image
    runtimes: tuple[Runtime, ...] = ()
    # sections of the same ecosystem with what only building needs
    builds: tuple[str, ...] = ()
    # package -> the version that it must have, where it is needed at all; see `HeedsVersions`
    exact: Mapping[str, str] = field(default_factory=dict)
    # package -> the version that it has unless something forbids it
    prefer: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """What an artefact says of itself: its name and version as pins have them, and how it may be asked for."""

    name: str
    version: str
    # its name, what else it provides, its extras -> what each needs, called as others offer it
    offers: Mapping[str, Sequence[str]]
    # whether it is there whoever asks
    essential: bool = False


@dataclass(frozen=True)
class Advised:
    """What advisories in OSV form call a package: https://ossf.github.io/osv-schema/#affectedpackage-field"""

    ecosystem: str
    name: str
    version: str
    # whether the artefact itself says so; else it follows from the pin, which is nearly always the same
    certain: bool = True


@dataclass(frozen=True)
class Asked:
    """What a locked section is compared with: the request that it answers, and the manifests that this names."""

    request: Request
    base: Base
    indexes: Mapping[str, Index] = field(default_factory=dict)
    repositories: Mapping[str, Repository] = field(default_factory=dict)


@runtime_checkable
class Ecosystem(Protocol):
    name: str
    # system: one transaction for the whole image; image: one place beside that; env: one for each Python environment;
    # tool: one for each tool
    placement: Literal["system", "image", "env", "tool"]
    # pydantic type of what a source says under this ecosystem's key
    request_type: Any
    # what the stage installing it starts from: runtimes of the base (keys of its `runtimes`), or tools of the image
    runtimes: tuple[str, ...]
    # ecosystem -> request: programs used only while building, locked once for each variant
    builders: Mapping[str, Any]
    # pydantic type of what `resolve` gives as `Section.extra`, and of nothing else: a lock is a file that anybody edits
    extra_type: Any

    def package(self, request: Any) -> str:
        """The package that a tool's version is read from: the first one asked for."""

    def probe(self, request: Any, index: str | None, context: Context) -> str | None:
        """Why this host cannot get `request` now, or None when it can. Asks the network, in seconds.

        `index` is the index that the source names, or the repository when these are system packages.
        """

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        """All artefacts for `request`, sorted by name, and what installing needs to know (`Section.extra`).

        Of the latter, `texts`, file name -> text, are small files that `install` finds beside the artefacts, and
        `environment`, name -> value, are variables of the image.

        Raises LockError, with the solver's own explanation, when there is no solution.
        """

    def strange(self, section: Section, asked: Asked) -> Iterable[str]:
        """What a locked section says that `resolve` cannot have said, a line each; its `extra` is of the right type.

        Above all pins of another registry, or with another URL, than the request allows.
        """

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        """URLs (http, https or file) that may hold `pin` on this host, the best first."""

    def file_name(self, pin: Pin) -> str:
        """Name of a pin's file in the folder that `install` reads; unique in its section."""

    def parts(self, section: Section) -> Sequence[Section]:
        """The section itself, or what it falls into: parts that are installed, cached and shipped on their own.

        A part has an id of its own, SECTION_PART, and nothing that other parts' pins determine.
        """

    def install(self, section: Section, base: Base) -> Step:
        """The one step that installs a section, or a part of one, from the store, offline."""

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """Name -> version of what an image really holds in the place of `section`."""


@runtime_checkable
class GrowsOnTop(Ecosystem, Protocol):
    """An ecosystem whose `parts` put what came later (`Section.later`) into a part of its own, with `later` too.

    All other parts are as they were without it, so they stay the same layers, and it lies above them.
    """

    grows_on_top: Literal[True]


@runtime_checkable
class System(Ecosystem, Protocol):
    """An ecosystem that an operating system consists of: what a base needs beyond all that."""

    # what a base made from an archive begins with, before what its manifest includes
    essential: tuple[str, ...]
    # files, without a leading slash, in which an image keeps the status of its packages; the first that is there counts
    status_files: tuple[str, ...]
    # the program that makes a base, for the history of its image
    bootstrapper: str
    # programs of this host that it needs -> what for
    programs: Mapping[str, str]

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """The status of a system that has exactly `pins` installed.

        Raises ProgramError or GoneError when the archive has moved on from them.
        """

    def image_status(self, files: Mapping[str, bytes], context: Context) -> str:
        """The status of an image that has these of `status_files`. Raises LockError when they tell nothing."""

    def packages(self, status: str) -> Mapping[str, str]:
        """Name -> version of what a system with this status holds."""

    def bootstrap(self, base: Base, section: Section, store: Store, work: Path, log: Path) -> Path:
        """Make a base of locked packages in the folder `work`, offline; returns an archive (tar) of its files."""


@runtime_checkable
class ReadsArtefacts(Ecosystem, Protocol):
    """What an ecosystem has beside all that when its artefacts say themselves what they are, and what they need.

    Then pins are compared with them before anything is built: a lock cannot bring what nobody asked for.
    """

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        """What the file `artefact` says of itself. Raises LockError when it is no artefact of this ecosystem."""

    def roots(self, asked: Asked) -> Iterable[str]:
        """What was asked for, called as artefacts offer it."""


@dataclass(frozen=True)
class Generated:
    """Paths of an image that a step makes, and no artefact has: a pattern of fnmatch, in which * takes slashes too.

    `how` says what may stand there: `any`thing; a `copy` of a file that an artefact has; a `link` to something that is
    there; a `device`, or a link; what an artefact has there, with another `mode`; or nothing, though an artefact has
    something there (`gone`).
    """

    pattern: str
    reason: str
    how: Literal["any", "copy", "link", "device", "mode", "gone"] = "any"


@dataclass(frozen=True)
class Pool:
    """A place below which any file of these sections' artefacts may stand, told by its name and its digest."""

    prefix: str
    sections: tuple[str, ...]
    reason: str
    # names of the pins whose files these are; of all when it is empty
    pins: tuple[str, ...] = ()


@runtime_checkable
class HoldsFiles(Ecosystem, Protocol):
    """What an ecosystem has beside all that when its artefacts tell which files an image gets of them."""

    # whether installing makes other files of them, which then do not speak for the artefact
    compiles: bool

    def rewritten_for(self, section: Section) -> str:
        """The folder of an image for which files are rewritten when they are put there; "" where none are."""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterable[tuple[str, Entry]]:
        """Paths in the artefact's own terms, and what stands there once it is rewritten for `place`.

        The same for every section that is. Raises LockError when it is no artefact of this ecosystem.
        """

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterable[tuple[str, Entry]]:
        """The same at the paths of an image; what an installation takes no part of is left out."""

    def pools(self, section: Section) -> Iterable[Pool]:
        """Places where the section's files stand as the installation finds it best."""

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        """What installing the section makes beside that."""


@dataclass(frozen=True)
class Inside:
    """What an artefact brings of others inside itself, as far as it says so."""

    name: str
    version: str | None
    # in the artefact: the thing itself, or what names it
    file: str
    purl: str | None = None
    sha256: str | None = None
    # an SPDX expression
    license: str | None = None


@runtime_checkable
class BringsOthers(Ecosystem, Protocol):
    """What an ecosystem has beside all that when its artefacts may have other packages and libraries inside."""

    def inside(self, pin: Pin, artefact: Path) -> Iterable[Inside]:
        """What the file `artefact` brings of others. Raises LockError, ValueError or OSError when it cannot be read."""


@dataclass(frozen=True)
class Recorded:
    """A package in an image, as its own record there has it."""

    # as pins have them
    name: str
    version: str
    # what the file of a pin would be, as far as a package URL needs it
    file: str = ""
    # its licence, in its own words
    license: str = ""


@runtime_checkable
class LeavesRecords(Ecosystem, Protocol):
    """What an ecosystem has beside all that when files of an image say which packages it has installed there."""

    # the paths of such files, in whichever place of an image
    records: re.Pattern[str]

    def place(self, section: Section) -> str:
        """The folder of an image below which the section's packages stand; "" for the whole system."""

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterable[Recorded]:
        """What the file `path` says; `section` is the one in whose place it stands. Raises ValueError for no record."""

    def folder(self, pin: Pin) -> str | None:
        """The folder of an image that has what a pin brings, where there is no record of it."""


@runtime_checkable
class HasAdvisories(Ecosystem, Protocol):
    """What an ecosystem has beside all that when advisories in OSV form are published for its packages."""

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        """What advisories call what a pin brings, the likeliest first; nothing when there are none for its registry.

        Artefacts are read where they are in the store, each once.
        """

    def advisory_name(self, name: str) -> str:
        """`name` in the one form that all spellings of it share."""

    def advisory_order(self, version: str) -> Any:
        """What sorts as versions do. Raises ValueError for what is no version."""

    def forbids(self, request: Any, name: str, version: str) -> str | None:
        """What of a source's request does not allow `version` of package `name`, as far as that can be said here."""


@runtime_checkable
class OrdersVersions(Ecosystem, Protocol):
    """What an ecosystem has beside all that when of two of its versions one is the newer."""

    def order(self, version: str) -> Any:
        """What sorts as `version` does among those of this ecosystem. Raises ValueError when it is none of them."""


@runtime_checkable
class HeedsVersions(Ecosystem, Protocol):
    """What an ecosystem has beside all that when its solver heeds `Request.exact` and `Request.prefer`.

    Sections of others are held back whole.
    """

    heeds_versions: Literal[True]

    def named(self, request: Request) -> Iterable[str]:
        """The packages that a request asks for by name, called as pins are."""


@dataclass(frozen=True)
class Offered:
    """What a registry offers of a pinned package now, and what stands between that and the lock."""

    # the newest version that is for everybody, was not taken back and fits the base; None when nobody says
    newest: str | None
    # what locking again brings within what the manifests allow; None when that is not known
    again: str | None = None
    # packages that do not go with the newest version, by the solver's word
    holders: tuple[str, ...] = ()
    # the solver's word; or why nobody says what is the newest
    words: str = ""
    # the index that is the state of one day, and so has no newer version
    snapshot: str = ""


@runtime_checkable
class OffersVersions(OrdersVersions, Protocol):
    """What an ecosystem has beside all that when its registries can be asked for newer versions."""

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """Name of each pin of a section -> what its registry offers now. Pins that it leaves out nobody knows.

        The solver is asked about versions that the request allows and the lock has not. Raises DsvmError when nothing
        can be asked at all.
        """

    def forbids(self, request: Any, name: str, version: str) -> str | None:
        """What of a source's request does not allow `version` of package `name`, in its words."""


@dataclass(frozen=True)
class Introduced:
    """What a registry tells of a package for a manifest to begin with; "" where it says nothing."""

    package: str
    version: str
    # what a source asks for, with a range of versions
    request: list[str]
    summary: str
    homepage: str
    # SPDX expression
    license: str
    # commands: one that prints the version, and one that does a little with the package
    version_check: str
    use_check: str


@runtime_checkable
class Introduces(Ecosystem, Protocol):
    """What an ecosystem has beside all that when manifests can be begun with its packages."""

    def introduced(self, package: str, context: Context) -> Introduced:
        """What the newest version of `package` for the base says. Raises LockError when there is none."""


@runtime_checkable
class HasPurls(Ecosystem, Protocol):
    """What an ecosystem has beside all that when package URLs have a type for its packages.

    https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst
    """

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        """The package URL of a pin in an image of `base`. Raises ValueError for one that has none."""


@runtime_checkable
class StatesLicenses(Ecosystem, Protocol):
    """What an ecosystem has beside all that when its artefacts say which licences they are under."""

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        """What the file `artefact` says of its licences, and where in it; what it does not say is unknown.

        Nothing of it is unpacked or run. Raises OSError when it cannot be read.
        """


@runtime_checkable
class BringsScripts(Ecosystem, Protocol):
    """What an ecosystem from outside has beside all that when its steps run scripts that scripts/image lacks."""

    # name, install-NAME or install-NAME-..., -> text, whose first line says which program of the stage runs it
    scripts: Mapping[str, str]


@dataclass(frozen=True)
class Client:
    """A program that fetches over a network."""

    # how the suite of checks calls programs of its kind: curl, git, python, ...
    kind: str
    # its name, or its path in the image
    program: str


@runtime_checkable
class BringsClients(Ecosystem, Protocol):
    """What an ecosystem has beside all that when its sections bring programs that fetch, apart from their tools."""

    def clients(self, section: Section) -> Iterable[Client]:
        """Those of `section`, in a stable order; all sections of an ecosystem have theirs configured alike."""
