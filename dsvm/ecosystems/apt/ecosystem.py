"""Debian packages, resolved on the host by apt itself in a private root that sees nothing of the host."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from debian.deb822 import Deb822
from debian.debian_support import NativeVersion
from pydantic import Discriminator, Field, StringConstraints, Tag

from dsvm.ecosystems.apt.advised import advised
from dsvm.ecosystems.apt.bootstrap import make_base
from dsvm.ecosystems.apt.contents import GENERATED, contents
from dsvm.ecosystems.apt.control import control_of
from dsvm.ecosystems.apt.repositories import UNTRUSTED, keyring, preferences, release_pin, source_line, stay_at
from dsvm.ecosystems.protocol import (
    Advised,
    Asked,
    Client,
    Context,
    Described,
    Generated,
    Offered,
    Pool,
    Recorded,
    Request,
    RunInImage,
)
from dsvm.ecosystems.repositories import OutOfReach, Untrusted, named_by, out_of_place, roots
from dsvm.host import ACCESS_HINT, PORTAL, redact, run, which, without_user
from dsvm.model import (
    AccessError,
    Base,
    DsvmError,
    Entry,
    GoneError,
    LockError,
    Model,
    NoExtra,
    Pin,
    ProgramError,
    Repository,
    Section,
    Sha256,
    Stated,
    Step,
    StoreError,
)
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL

# https://www.debian.org/doc/debian-policy/ch-controlfields.html#s-f-source
Package = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
URI_LINE = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$")
# What the Release file says of an archive, as apt's pins and its indextargets call it.
RELEASE_FIELDS = {"o": "ORIGIN", "l": "LABEL", "n": "CODENAME", "a": "SUITE", "c": "COMPONENT", "site": "SITE"}
STATUS = "var/lib/dpkg/status"
_lock = threading.RLock()


class Deb(Model):
    """A package file with a fixed URL; what it needs comes from the repositories."""

    deb: Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\s'\"]+\.deb$")] = Field(
        description="URL of the .deb"
    )
    package: Package = Field(description="name of the package that it holds")
    sha256: Sha256 | None = Field(None, description="taken from the first download when it is not given")


def _kind(value: object) -> str:
    return "name" if isinstance(value, str) else "deb"


class Apt:
    """Packages of the base's own distribution, or of the 'repository' that the source names, or with a URL"""

    name = "apt"
    placement: Literal["system"] = "system"
    request_type = Annotated[
        tuple[Annotated[Annotated[Package, Tag("name")] | Annotated[Deb, Tag("deb")], Discriminator(_kind)], ...],
        Field(min_length=1),
    ]
    runtimes = ()
    builders: Mapping[str, Any] = {}
    extra_type = NoExtra
    essential = ("?essential", "apt")
    status_files = (STATUS,)
    bootstrapper = "mmdebstrap"
    programs: Mapping[str, str] = MappingProxyType(
        {
            "apt-get": "resolves Debian and Ubuntu packages; building needs none",
            "mmdebstrap": "makes a base where no registry can be reached",
        }
    )

    def package(self, request: Sequence[str | Deb]) -> str:
        first = request[0]
        return first if isinstance(first, str) else first.package

    def probe(self, request: Sequence[str | Deb], index: str | None, context: Context) -> str | None:
        for one in request:
            if isinstance(one, Deb) and (fault := context.host.unreachable(one.deb)):
                return fault
        wanted = [one for one in request if isinstance(one, str)]
        if not wanted:
            return None
        try:
            root = _AptRoot.of(context, (index,) if index else ())
            policy = root.run("apt-cache", "policy", *wanted)
        except OutOfReach as error:
            return error.message
        known = set(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", policy, re.MULTILINE))
        missing = [name for name in wanted if name not in known]
        where = " ".join(context.base.bootstrap.suites) if context.base.bootstrap else context.base.base
        beside = f", and repository '{index}' has no such package that its manifest lets in" if index else ""
        return f"{', '.join(missing)}: not in {where}{beside}" if missing else None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        root = _AptRoot.of(context, request.repositories)
        asked = _asked(request)
        files = {one: _fetched(one, context) for one in asked if isinstance(one, Deb)}
        names = [one if isinstance(one, str) else root.local(files[one]) for one in asked]
        try:
            printed = self._solved(root, request, names)
        except ProgramError as error:
            raise LockError(
                f"apt finds no solution for {request.section}:\n" + _explanation(error.output),
                hint="Correct the package names, or leave the tool out: --leave-out TOOL",
            ) from error
        found = [match for line in printed.splitlines() if (match := URI_LINE.match(line.strip()))]
        own = f"file:{root.folder}/debs/"  # package files with a URL: they are pinned already
        pins = [*files.values(), *(root.pin(match) for match in found if not match["uri"].startswith(own))]
        return sorted(root.told_apart(pins), key=lambda pin: pin.name), {}

    def _solved(self, root: _AptRoot, request: Request, names: Sequence[str]) -> str:
        """What apt would fetch for `names`: with the versions of `prefer` that the archive still has, or the newest."""
        options = ("--yes", "--no-install-recommends", "--print-uris", "--option=Acquire::ForceHash=sha256")
        if request.prefer:
            try:
                return root.run("apt-get", *root.preferring(request), *options, "install", *names)
            except ProgramError:  # apt's pins are no wishes: what is asked for may need a newer version
                pass
        return root.run("apt-get", *options, "install", *names)

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """The dpkg status of a system that has exactly `pins` installed; GoneError where an archive lacks one."""
        root = _AptRoot.of(context, sorted({pin.registry for pin in pins if pin.registry in context.repositories}))
        shown = root.run("apt-cache", "show", *(f"{pin.name}={pin.version}" for pin in pins if pin.registry != "url"))
        for pin in pins:
            if pin.registry == "url":
                sha256, _ = context.store.download([pin.file], name=pin.name, host=context.host, sha256=pin.sha256)
                shown += run(["dpkg-deb", "--field", context.store.path(sha256)], timeout=60).stdout + "\n"
        known = {(one["Package"], one["Version"]) for one in Deb822.iter_paragraphs(shown, use_apt_pkg=False)}
        if gone := [pin.filename for pin in pins if (pin.name, pin.version) not in known]:  # apt-cache passes over them
            raise GoneError(f"the archive of {context.base.base} has moved on from {', '.join(gone)}", gone=gone)
        return shown.replace("\nVersion: ", "\nStatus: install ok installed\nVersion: ")

    def image_status(self, files: Mapping[str, bytes], context: Context) -> str:
        if not files:
            raise LockError(f"the registry image holds no /{STATUS}", hint="Is it a Debian or Ubuntu image?")
        return files[STATUS].decode()

    def packages(self, status: str) -> Mapping[str, str]:
        return {
            entry["Package"]: entry["Version"]
            for entry in Deb822.iter_paragraphs(status.splitlines(), use_apt_pkg=False)
            if entry.get("Status", "").endswith(" installed")
        }

    def bootstrap(self, base: Base, section: Section, store: Store, work: Path, log: Path) -> Path:
        return make_base(base, section, store, work, log)

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        debs = {one.deb: one for one in _asked(asked.request) if isinstance(one, Deb)}
        ours = [pin for pin in section.pins if pin.registry != "url"]
        yield from out_of_place(section.id, ours, asked, ending=".deb")
        for pin in section.pins:
            if pin.registry == "url" and (pin.file not in debs or debs[pin.file].package != pin.name):
                yield f"{pin.name}: no manifest asks for {pin.file}"
        for deb in debs.values():
            found = next((pin for pin in section.pins if (pin.registry, pin.file) == ("url", deb.deb)), None)
            if found is None or deb.sha256 not in (None, found.sha256):
                yield f"{deb.package}: the manifest asks for {deb.deb}{', and for another SHA-256' if found else ''}"

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        control = control_of(artefact, pin.filename)
        name, version = control["Package"], control["Version"]
        needs = [*_names(control.get("Pre-Depends", "")), *_names(control.get("Depends", ""))]
        provided = {other: (name,) for other in _names(control.get("Provides", "")) if other != name}
        return Described(name, version, {**provided, name: needs}, essential=control.get("Essential") == "yes")

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        return contents(artefact)

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterable[tuple[str, Entry]]:
        return contents

    def pools(self, section: Section) -> Iterable[Pool]:
        return ()

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        return GENERATED

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        """Source packages of the distribution; what others publish for it, its advisories say nothing of."""
        return advised(pin, base, store, repositories)

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        return NativeVersion(version)

    def forbids(self, request: Sequence[str | Deb], name: str, version: str) -> str | None:
        return None

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        from dsvm.ecosystems.apt.copyright import licenses

        return licenses(pin, artefact)

    def roots(self, asked: Asked) -> Iterator[str]:
        for one in _asked(asked.request):
            yield one if isinstance(one, str) else one.package

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        if pin.registry == "url":
            return [pin.file]
        repository = context.repositories.get(pin.registry)
        places = roots(repository, context) if repository else context.host.apt_mirrors(pin.registry)
        return [f"{place}/{pin.file}" for place in places]

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        return Step(
            script="install-apt",
            args=("--epoch", str(section.epoch), section.id),
            sections=(section.id,),
            helpers=("clamp-system", "pin-java-truststore", "sort-gitconfig"),
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """Every installed package of the image: base and system together."""
        lines = run(["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\t${Package}\t${Version}\n"])
        rows = [line.split("\t") for line in lines.splitlines()]
        return {row[1]: row[2] for row in rows if row[0].startswith("ii")}

    # https://manpages.debian.org/bookworm/dpkg/dpkg.1.en.html, FILES
    records = re.compile("/var/lib/dpkg/status")

    def place(self, section: Section) -> str:
        return ""

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterator[Recorded]:
        for entry in Deb822.iter_paragraphs(data, use_apt_pkg=False):
            if entry.get("Status", "").split()[-1:] == ["installed"]:
                name, version = entry.get("Package", ""), entry.get("Version", "")
                if not name or not version:
                    raise ValueError("a paragraph in it names no package, or no version")
                yield Recorded(name, version, f"{name}_{version}_{entry.get('Architecture', 'all')}.deb")

    def folder(self, pin: Pin) -> None:
        return None

    def clients(self, section: Section) -> Iterator[Client]:
        """The base's; packages of one from a registry stand beside its one artefact."""
        if section.pin("apt") or "apt" in section.extra.get("packages", {}):
            yield Client("apt", "apt-get")

    def order(self, version: str) -> NativeVersion:
        return NativeVersion(version)

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """apt takes the newest version that the preferences let in, so that is what locking again brings."""
        root = _AptRoot.of(context, asked.request.repositories)
        names = [pin.name for pin in section.pins if pin.registry != "url"]
        policy = root.run("apt-cache", "policy", *names) if names else ""
        newest = dict(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))(\S+)", policy, re.MULTILINE))
        found = {name: Offered(newest[name]) for name in names if name in newest}
        found |= {name: Offered(None, words="the archive has it no more") for name in names if name not in newest}
        if all(newest.get(pin.name, pin.version) == pin.version for pin in section.pins):
            return found
        try:
            again = {pin.name: pin.version for pin in self.resolve(asked.request, context)[0]}
            words = "apt chooses otherwise"
        except DsvmError as error:
            again, words = {}, f"locking again finds no solution: {error.message}"
        return {name: replace(one, again=again.get(name), words=one.words or words) for name, one in found.items()}

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        file, ending, _ = pin.filename.partition(".deb")
        arch = {"arch": file.rpartition("_")[2]} if ending else {}
        return PackageURL("deb", base.os, pin.name, pin.version, {"distro": f"{base.os}-{base.release}", **arch})


def _asked(request: Request) -> list[str | Deb]:
    return list(dict.fromkeys(one for item in request.items for one in item))


def _names(relations: str) -> list[str]:
    """The packages of a field such as `libc6 (>= 2.36), python3:any | python3.11`, each of several that will do."""
    words = (one.strip() for one in re.split(r"[,|]", relations))
    return [re.split(r"[\s(:\[<]", one, maxsplit=1)[0] for one in words if one]


def _fetched(deb: Deb, context: Context) -> Pin:
    """The pin of a package file with a fixed URL, which is in the store afterwards."""
    try:
        sha256, size = context.store.download([deb.deb], name=deb.package, host=context.host, sha256=deb.sha256)
    except StoreError as error:
        if context.host.unreachable(deb.deb) is None:
            raise
        # one that cannot be had may be left out; one that is not what the manifest says is for somebody to look at
        raise LockError(error.message, hint=error.hint) from error
    try:
        shown = run(["dpkg-deb", "--field", context.store.path(sha256), "Package", "Version"], timeout=60).stdout
    except ProgramError as error:
        said = error.output.strip().splitlines()[-1:] or [error.message]
        raise LockError(f"{deb.deb}: not a Debian package: {said[0]}", hint="Correct its URL") from error
    control = dict(line.split(": ", 1) for line in shown.splitlines())
    if control["Package"] != deb.package:
        raise LockError(
            f"{deb.deb}: holds the package {control['Package']}, and the manifest says {deb.package}",
            hint="Correct 'package' or the URL in the manifest",
        )
    return Pin(
        name=deb.package, version=control["Version"], file=deb.deb, size=size, sha256=sha256, registry="url"
    )  # fmt: skip


def _explanation(output: str) -> str:
    """What apt says of a failure, without its preamble."""
    lines = [line for line in output.splitlines() if line.startswith(("E:", " ")) and "Reading" not in line]
    return "\n".join(f"    {line}" for line in lines[-12:]) or f"    {output.strip()}"


def _repository_fault(repository: Repository, output: str) -> LockError:
    """What apt says of a repository that it cannot read, sorted by whether another source may take over."""
    said = [line for line in output.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    name = f"repository '{repository.repository}'"
    if any(UNTRUSTED.search(line) for line in said) and not re.search(r"\b403 ", output):
        return Untrusted(
            f"{name}: it is not signed by the key that its manifest names:\n"
            + "\n".join(f"    {line}" for line in said[-4:]),
            hint="Do not go on before its owner says which key signs it",
        )
    reasons = [line.partition(": ")[2] for line in said if line.startswith("E:")] or [output.strip()[-200:]]
    return OutOfReach(f"{name} cannot be read: {reasons[0].strip()}", hint="Check the network and its URI")


def _access_fault(whose: str, output: str) -> AccessError | None:
    """What apt says of a place that asks for credentials, or shows a page of its own: no fault of a signature."""
    if refused := re.search(r"\b40[17]  ?[A-Z][A-Za-z ]+", output):
        return AccessError(f"{whose} does not serve us: {refused[0].strip()}", hint=ACCESS_HINT)
    if "NOSPLIT" in output or "does the network require authentication" in output:
        return AccessError(f"{whose}: {PORTAL}", hint=ACCESS_HINT)
    return None


def _write_credentials(path: Path, places: Iterable[str], context: Context) -> None:
    """What this host knows for these places as apt_auth.conf(5), for nobody else to read."""
    lines = []
    for place in dict.fromkeys(places):
        found, parts = context.host.credentials(place), urlsplit(without_user(place))
        if found is not None:
            if re.search(r"\s", "".join(found)):
                raise AccessError(
                    f"{redact(place)}: apt takes no user or password with blanks",
                    hint="Have another password set for it",
                )
            where = f"{parts.scheme}://{parts.netloc}{parts.path}"
            lines.append(f"machine {where} login {found[0]} password {found[1]}\n")
    path.touch(mode=0o600)
    path.write_text("".join(lines))


def _digests(path: Path) -> Iterator[str]:
    """SHA-256 of every package of a list."""
    with path.open("rb") as lines:
        yield from (line[8:72].decode() for line in lines if line.startswith(b"SHA256: "))


class _Lists:
    """apt's package lists for one base, shared by all roots of a run: each archive is read once."""

    _made: ClassVar[dict[Path, _Lists]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # held while apt runs: no root reads lists that another one is writing
        self.lock = threading.Lock()
        # source -> what went wrong with it, or None
        self.read: dict[str, LockError | None] = {}

    @classmethod
    def of(cls, folder: Path) -> _Lists:
        with _lock:
            return cls._made.setdefault(folder, cls(folder))


class _AptRoot:
    """A private root in which apt sees archives and the base's installed packages, and nothing of the host.

    The archives are the base's own and, of the repositories that are named, what their manifests let in.
    """

    _made: ClassVar[dict[tuple[Path, str, str, tuple[str, ...]], _AptRoot]] = {}

    def __init__(self, folder: Path, context: Context, repositories: Sequence[Repository]) -> None:
        self.folder = folder
        self.context = context
        self.repositories = repositories
        self.lists = _Lists.of(context.work / f"apt-{context.base.base}-lists")
        bootstrap = context.base.bootstrap
        if bootstrap is None:
            raise LockError(f"base {context.base.base} names no archive: it has no 'bootstrap'")
        which("apt-get")
        if bootstrap.keyring is None:
            raise LockError(f"base {context.base.base}: apt takes the keys of an archive from a file: 'keyring'")
        if not Path(bootstrap.keyring).is_file():
            raise LockError(
                f"{bootstrap.keyring}: no such keyring, so packages of {context.base.base} cannot be trusted",
                hint=f"scripts/base-tools installs it, as does the distribution's keyring package "
                f"({Path(bootstrap.keyring).stem})",
            )
        for sub in ("cache/archives/partial", "etc/empty", "etc/sources.list.d", "keys", "debs", "log"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (self.lists.folder / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text(context.base_status)
        # longest first: debian-security's URI may start with debian's
        self.mirrors: list[tuple[str, str]] = []
        sources, places = [], []
        for suite in bootstrap.suites:
            distribution, _, name = suite.partition("/")
            mirrors = context.host.apt_mirrors(distribution)
            if not mirrors:
                raise LockError(
                    f"no mirror known for '{distribution}'",
                    hint=f"Name one in DSVM's configuration: sources: {{{distribution}: URL}}",
                )
            places.append(mirrors[0])
            mirror = without_user(mirrors[0])
            self.mirrors.append((mirror.rstrip("/") + "/", distribution))
            options = f"arch={context.base.arch} signed-by={bootstrap.keyring}"
            sources.append(f"deb [{options}] {mirror} {name} {' '.join(bootstrap.components)}\n")
        for repository in repositories:
            places.append(roots(repository, context)[0])
            self.mirrors.append((without_user(places[-1]) + "/", repository.repository))
        _write_credentials(folder / "auth.conf", places, context)
        # apt says file:/ for what we write as file:///
        known = {re.sub(r"^file:/+", "file:/", uri): registry for uri, registry in reversed(self.mirrors)}
        self.mirrors = sorted(known.items(), key=lambda pair: -len(pair[0]))
        (folder / "sources.list").write_text("".join(sources))
        self.config = folder / "apt.conf"
        self.config.write_text(
            f'APT::Architecture "{context.base.arch}";\n'
            f'APT::Architectures {{ "{context.base.arch}"; }};\n'
            'APT::Install-Recommends "false";\n'
            'APT::Get::List-Cleanup "false";\n'  # the lists are other roots' too
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
            'Dir::Etc "/";\n'  # nothing of the host's own configuration
            f'Dir::Etc::SourceList "{folder}/sources.list";\n'
            f'Dir::Etc::SourceParts "{folder}/etc/sources.list.d";\n'
            f'Dir::Etc::Parts "{folder}/etc/empty";\n'
            f'Dir::Etc::Preferences "{folder}/etc/preferences";\n'
            f'Dir::Etc::Netrc "{folder}/auth.conf";\n'
            f'Dir::Etc::NetrcParts "{folder}/etc/empty";\n'
            f'Dir::Etc::PreferencesParts "{folder}/etc/empty";\n'
            f'Dir::State::Lists "{self.lists.folder}";\n'
            f'Dir::State::Status "{folder}/status";\n'
            f'Dir::State::Extended_States "{folder}/extended_states";\n'
            f'Dir::Cache "{folder}/cache";\n'
            f'Dir::Log "{folder}/log";\n'
            'APT::Sandbox::User "root";\n'
        )
        self.updated = False

    @classmethod
    def of(cls, context: Context, repositories: Sequence[str] = ()) -> _AptRoot:
        status = context.base_status
        kind = f"base-{hashlib.sha256(status.encode()).hexdigest()[:8]}" if status else "empty"
        chosen = tuple(sorted({*(context.base.repositories if status else ()), *repositories}))
        key = (context.work, context.base.base, kind, chosen)
        with _lock:
            if key not in cls._made:
                folder = context.work / "+".join((f"apt-{context.base.base}-{kind}", *chosen))
                cls._made[key] = cls(folder, context, [context.repositories[name] for name in chosen])
        return cls._made[key]

    def run(self, program: str, *args: str) -> str:
        """What an apt program prints about this root; the package lists are brought up to date first, once."""
        with self.lists.lock:
            self._update()
            return self._run(program, *args)

    def preferring(self, request: Request) -> tuple[str, ...]:
        """Options by which apt stays at the versions of `request.prefer`, where its lists have these."""
        path = self.folder / "etc" / f"preferences-{request.section}"
        with self.lists.lock:
            self._update()
            # of what is said of a version apt heeds the first
            path.write_text(stay_at(request.prefer) + (self.folder / "etc/preferences").read_text())
        return (f"--option=Dir::Etc::Preferences={path}",)

    def local(self, pin: Pin) -> str:
        """Path of a fetched package file under a name by which apt knows that it is one."""
        path = self.folder / "debs" / f"{pin.name}.deb"
        path.unlink(missing_ok=True)
        path.symlink_to(self.context.store.path(pin.sha256))
        return str(path)

    def _run(self, program: str, *args: str, timeout: float = 300) -> str:
        env = {"APT_CONFIG": str(self.config), "LC_ALL": "C.UTF-8"}
        return run([program, *args], env=env, timeout=timeout).stdout

    def _update(self) -> None:
        if self.updated:
            return
        main = self.folder / "sources.list"
        if "" not in self.lists.read:
            try:
                self._read(main)
            except ProgramError as error:
                if refused := _access_fault("the distribution's archive", error.output):
                    raise refused from error
                raise LockError(
                    "the distribution's archive cannot be read:\n" + _explanation(error.output),
                    hint="Check the network, the mirror and the proxy (apt-get update)",
                ) from error
            self.lists.read[""] = None
        for repository in self.repositories:
            name = repository.repository
            line = self.folder / "etc/sources.list.d" / f"{name}.list"
            if fault := self.lists.read.get(name):
                raise fault
            try:
                key = keyring(repository, self.folder / "keys", self.context)
                line.write_text(source_line(repository, key, self.context) + "\n")
                if name not in self.lists.read:
                    self._read(line)
            except ProgramError as error:
                if refused := _access_fault(f"repository '{name}'", error.output):
                    raise refused from error
                self.lists.read[name] = _repository_fault(repository, error.output)
            except LockError as error:
                self.lists.read[name] = error
            else:
                self.lists.read[name] = None
            if fault := self.lists.read[name]:
                line.unlink(missing_ok=True)
                raise fault
        own = [fields for fields, _ in self._targets(main)] if self.repositories else []
        text = ""
        for repository in self.repositories:
            targets = self._targets(self.folder / "etc/sources.list.d" / f"{repository.repository}.list")
            text += preferences(repository, (release_pin(repository, fields, own) for fields, _ in targets))
        (self.folder / "etc/preferences").write_text(text)
        self.updated = True

    def _read(self, sources: Path) -> None:
        """Bring the lists of one file of sources up to date."""
        alone = (f"--option=Dir::Etc::SourceList={sources}", f"--option=Dir::Etc::SourceParts={self.folder}/etc/empty")
        self._run("apt-get", "--quiet", "--error-on=any", *alone, "update", timeout=600)

    def _targets(self, sources: Path) -> Iterator[tuple[Mapping[str, str], Path]]:
        """What one file of sources has brought: fields of the Release file, and the list of packages."""
        alone = (f"--option=Dir::Etc::SourceList={sources}", f"--option=Dir::Etc::SourceParts={self.folder}/etc/empty")
        form = "\t".join(f"$({name})" for name in ("FILENAME", *RELEASE_FIELDS.values()))
        shown = self._run("apt-get", *alone, "indextargets", "--format", form, "Created-By: Packages")
        for line in shown.splitlines():
            file, *values = line.split("\t")
            yield dict(zip(RELEASE_FIELDS, values, strict=True)), Path(file)

    def told_apart(self, pins: Sequence[Pin]) -> Sequence[Pin]:
        """The same pins, those of a repository under its name, though it may be at the place of another archive.

        Raises LockError for those that its manifest neither names nor lets in: preferences make apt choose so, and
        this makes sure, whatever the repository says of itself.
        """
        if not self.repositories:
            return pins
        origin: dict[str, str] = {}
        faults = []
        with self.lists.lock:
            own = {digest for _, path in self._targets(self.folder / "sources.list") for digest in _digests(path)}
            for repository in self.repositories:
                line = self.folder / "etc/sources.list.d" / f"{repository.repository}.list"
                listed = {digest for _, path in self._targets(line) for digest in _digests(path)} - own
                theirs = [pin for pin in pins if pin.registry != "url" and pin.sha256 in listed]
                origin |= {pin.sha256: repository.repository for pin in theirs}
                named = [pin.name for pin in theirs if named_by(repository, pin.name)]
                needed = self._needed_by(named) if repository.needs and named else set()
                faults += [
                    f"{pin.name}: it would come from repository '{repository.repository}', "
                    "whose manifest does not name it"
                    for pin in theirs
                    if pin.name not in named and pin.name not in needed
                ]
        if faults:
            raise LockError("\n".join(faults), hint="Name the package under 'packages' of the repository's manifest")
        return [pin.model_copy(update={"registry": origin.get(pin.sha256, pin.registry)}) for pin in pins]

    def _needed_by(self, packages: Sequence[str]) -> set[str]:
        """All that `packages` need, directly or not."""
        kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        shown = self._run("apt-cache", "depends", "--recurse", *(f"--no-{kind}" for kind in kinds), *packages)
        return set(re.findall(r"^([a-z0-9]\S*)$", shown, re.MULTILINE))

    def pin(self, match: re.Match[str]) -> Pin:
        name, version, _ = match["file"].rsplit("_", 2)
        uri = unquote(match["uri"])
        mirror, distribution = next(pair for pair in self.mirrors if uri.startswith(pair[0]))
        return Pin(
            name=name,
            version=unquote(version),
            file=uri.removeprefix(mirror).removeprefix("./"),
            size=int(match["size"]),
            sha256=match["sha256"],
            registry=distribution,
        )


ECOSYSTEM = Apt()
