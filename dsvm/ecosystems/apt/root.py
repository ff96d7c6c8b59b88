"""A private root in which apt resolves, and which sees nothing of the host."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from dsvm.ecosystems.apt.repositories import UNTRUSTED, keyring, preferences, release_pin, source_line, stay_at
from dsvm.ecosystems.protocol import Context, Request
from dsvm.ecosystems.repositories import OutOfReach, Untrusted, named_by, roots
from dsvm.host import ACCESS_HINT, PORTAL, redact, run, which, without_user
from dsvm.model import AccessError, LockError, Pin, ProgramError, Repository

URI_LINE = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$")
# What the Release file says of an archive, as apt's pins and its indextargets call it.
RELEASE_FIELDS = {"o": "ORIGIN", "l": "LABEL", "n": "CODENAME", "a": "SUITE", "c": "COMPONENT", "site": "SITE"}
_lock = threading.RLock()


def explanation(output: str) -> str:
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


class AptRoot:
    """A private root in which apt sees archives and the base's installed packages, and nothing of the host.

    The archives are the base's own and, of the repositories that are named, what their manifests let in.
    """

    _made: ClassVar[dict[tuple[Path, str, str, tuple[str, ...]], AptRoot]] = {}

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
    def of(cls, context: Context, repositories: Sequence[str] = ()) -> AptRoot:
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
                    "the distribution's archive cannot be read:\n" + explanation(error.output),
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
