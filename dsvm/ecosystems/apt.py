"""Debian packages, resolved on the host by apt itself in a private root that sees nothing of the host."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

from pydantic import Field, StringConstraints

from dsvm.ecosystems import Context, Request, RunInImage
from dsvm.errors import LockError, ProgramError
from dsvm.model import Base, Pin, Section, Step
from dsvm.run import run, which

# https://www.debian.org/doc/debian-policy/ch-controlfields.html#s-f-source
Package = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
URI_LINE = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$")
_lock = threading.Lock()


class Apt:
    """Packages of the base's own distribution"""

    name = "apt"
    placement: Literal["system"] = "system"
    request_type = Annotated[tuple[Package, ...], Field(min_length=1)]
    runtimes = ()
    builders: Mapping[str, Any] = {}

    def package(self, request: Sequence[str]) -> str:
        return request[0]

    def probe(self, request: Sequence[str], index: str | None, context: Context) -> str | None:
        root = _AptRoot.of(context)
        policy = root.run("apt-cache", "policy", *request)
        known = set(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", policy, re.MULTILINE))
        missing = [name for name in request if name not in known]
        where = " ".join(context.base.bootstrap.suites) if context.base.bootstrap else context.base.base
        return f"{', '.join(missing)}: not in {where}" if missing else None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        root = _AptRoot.of(context)
        names = list(dict.fromkeys(name for item in request.items for name in item))
        try:
            printed = root.run(
                "apt-get",
                *("--yes", "--no-install-recommends", "--print-uris", "--option=Acquire::ForceHash=sha256"),
                *("install", *names),
            )
        except ProgramError as error:
            raise LockError(
                f"apt finds no solution for {request.section}:\n" + _explanation(error.output),
                hint="Correct the package names, or leave the tool out: --leave-out TOOL",
            ) from error
        found = [match for line in printed.splitlines() if (match := URI_LINE.match(line.strip()))]
        pins = sorted((root.pin(match) for match in found), key=lambda pin: pin.name)
        return pins, {}

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """The dpkg status of a system that has exactly `pins` installed."""
        root = _AptRoot.of(context)
        shown = root.run("apt-cache", "show", *(f"{pin.name}={pin.version}" for pin in pins))
        return shown.replace("\nVersion: ", "\nStatus: install ok installed\nVersion: ")

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return [f"{mirror}/{pin.file}" for mirror in context.machine.apt_mirrors(pin.registry)]

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


def _explanation(output: str) -> str:
    """What apt says of a failure, without its preamble."""
    lines = [line for line in output.splitlines() if line.startswith(("E:", " ")) and "Reading" not in line]
    return "\n".join(f"    {line}" for line in lines[-12:]) or f"    {output.strip()}"


class _AptRoot:
    """A private root in which apt sees the base's archive and the base's installed packages, nothing of the host."""

    _made: ClassVar[dict[tuple[Path, str, str], _AptRoot]] = {}

    def __init__(self, folder: Path, context: Context) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        bootstrap = context.base.bootstrap
        if bootstrap is None:
            raise LockError(f"base {context.base.base} names no archive: it has no 'bootstrap'")
        which("apt-get")
        if not Path(bootstrap.keyring).is_file():
            raise LockError(
                f"{bootstrap.keyring}: no such keyring, so packages of {context.base.base} cannot be trusted",
                hint=f"Install the distribution's keyring package ({Path(bootstrap.keyring).stem})",
            )
        for sub in ("lists/partial", "cache/archives/partial", "etc/empty", "log"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text(context.base_status)
        # longest first: debian-security's URI may start with debian's
        self.mirrors: list[tuple[str, str]] = []
        sources = []
        for suite in bootstrap.suites:
            distribution, _, name = suite.partition("/")
            mirrors = context.machine.apt_mirrors(distribution)
            if not mirrors:
                raise LockError(
                    f"no mirror known for '{distribution}'",
                    hint=f"Name one in DSVM's configuration: sources: {{{distribution}: URL}}",
                )
            self.mirrors.append((mirrors[0].rstrip("/") + "/", distribution))
            options = f"arch={context.base.arch} signed-by={bootstrap.keyring}"
            sources.append(f"deb [{options}] {mirrors[0]} {name} {' '.join(bootstrap.components)}\n")
        self.mirrors = sorted(set(self.mirrors), key=lambda pair: -len(pair[0]))
        (folder / "sources.list").write_text("".join(sources))
        self.config = folder / "apt.conf"
        self.config.write_text(
            f'APT::Architecture "{context.base.arch}";\n'
            f'APT::Architectures {{ "{context.base.arch}"; }};\n'
            'APT::Install-Recommends "false";\n'
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
            'Dir::Etc "/";\n'  # nothing of the host's own configuration
            f'Dir::Etc::SourceList "{folder}/sources.list";\n'
            f'Dir::Etc::SourceParts "{folder}/etc/empty";\n'
            f'Dir::Etc::Preferences "{folder}/etc/none";\n'
            f'Dir::Etc::PreferencesParts "{folder}/etc/empty";\n'
            f'Dir::State::Lists "{folder}/lists";\n'
            f'Dir::State::Status "{folder}/status";\n'
            f'Dir::State::Extended_States "{folder}/extended_states";\n'
            f'Dir::Cache "{folder}/cache";\n'
            f'Dir::Log "{folder}/log";\n'
            'APT::Sandbox::User "root";\n'
        )
        self.updated = False

    @classmethod
    def of(cls, context: Context) -> _AptRoot:
        kind = "empty" if not context.base_status else "base"
        key = (context.work, context.base.base, kind)
        with _lock:
            if key not in cls._made:
                cls._made[key] = cls(context.work / f"apt-{context.base.base}-{kind}", context)
        return cls._made[key]

    def run(self, program: str, *args: str) -> str:
        """What an apt program prints about this root; the package lists are brought up to date first, once."""
        env = {"APT_CONFIG": str(self.config), "LC_ALL": "C.UTF-8"}
        with self.lock:
            if not self.updated:
                try:
                    run(["apt-get", "--quiet", "--error-on=any", "update"], env=env, timeout=600)
                except ProgramError as error:
                    raise LockError(
                        "the distribution's archive cannot be read:\n" + _explanation(error.output),
                        hint="Check the network, the mirror and the proxy (apt-get update)",
                    ) from error
                self.updated = True
            return run([program, *args], env=env, timeout=300).stdout

    def pin(self, match: re.Match[str]) -> Pin:
        name, version, _ = match["file"].rsplit("_", 2)
        uri = unquote(match["uri"])
        mirror, distribution = next(pair for pair in self.mirrors if uri.startswith(pair[0]))
        return Pin(
            name=name,
            version=unquote(version),
            file=uri.removeprefix(mirror),
            size=int(match["size"]),
            sha256=match["sha256"],
            registry=distribution,
        )


ECOSYSTEM = Apt()
