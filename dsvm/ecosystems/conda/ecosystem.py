"""Conda packages, solved and linked by rattler: for each tool a prefix of its own, with a Python of its own.

Not in /opt/envs: what pip and conda both write to breaks, and conda's Python is not the distribution's.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from dsvm.ecosystems.conda import solver
from dsvm.ecosystems.conda.contents import contents, generated, placed
from dsvm.ecosystems.protocol import Asked, Context, Generated, Offered, Pool, Recorded, Request, RunInImage
from dsvm.host import channel_urls, download, expand, redact, run
from dsvm.model import AccessError, Base, Entry, GoneError, LockError, Model, Pin, Section, Stated, Step, StoreError

if TYPE_CHECKING:
    import rattler
    from packageurl import PackageURL

SUBDIRS = {"amd64": "linux-64", "arm64": "linux-aarch64"}
ARCHSPECS = {"amd64": "x86_64", "arm64": "aarch64"}
# What an image may count on wherever it runs: the kernel of Red Hat 8, the oldest that is still kept up for hosts.
LINUX = "4.18"
# `__cuda` of a gpu variant that names none: what a driver of NVIDIA's long-term branch 580 can run.
CUDA = "13.0"
SOLVER_SECONDS, LOADING_SECONDS = 300, 300
PLACE_HINT = "See the channel's place in .condarc, or name it under 'sources' of DSVM's configuration"
MOST_INDEX = 8 << 30  # bytes of a channel's index: the largest has a twentieth
# What needs no parser: NAME, NAME 3.13.*, NAME >=25
PLAIN = re.compile(
    r"[a-z0-9][a-z0-9._-]{,60}( [0-9]{1,8}(\.[0-9]{1,8})*\.\*| (>=|==|<=|<|>)[0-9]{1,8}(\.[0-9]{1,8})*)?"
)
LONGEST = 12  # lines of an explanation


def _spec(text: str) -> str:
    if PLAIN.fullmatch(text):
        return text
    from rattler import MatchSpec

    try:
        spec = MatchSpec(text, strict=True)
    except Exception as error:  # of no class that rattler exports
        raise ValueError(f"'{text}' is not a conda package: {str(error).splitlines()[0]}") from error
    if spec.channel is not None or "url=" in str(spec):
        raise ValueError(f"'{text}': a package says no place here; name the channels in 'channels'")
    if text.startswith("__"):
        raise ValueError(f"'{text}' is a virtual package: a property of the machine, which nothing can install")
    return text


def _prefix(path: str) -> str:
    if path == "/opt/envs":
        raise ValueError("/opt/envs is for the environments of pypi")
    return path


Channel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
Command = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


class Environment(Model):
    """Conda packages, in an environment of the tool's own"""

    packages: tuple[Annotated[str, AfterValidator(_spec)], ...] = Field(
        min_length=1, description="NAME, NAME VERSIONS or NAME VERSIONS BUILD, as conda takes it; the tool's own first"
    )
    channels: tuple[Channel, ...] = Field(
        ("conda-forge",), min_length=1, description="names of channels; one that has a package hides the later ones"
    )
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        pattern=r"^/opt/[a-z0-9][a-z0-9.+-]*$", description="folder of the image that becomes the environment"
    )
    commands: tuple[Command, ...] = Field((), description="programs of its bin to link into /usr/local/bin")
    cuda: str | None = Field(
        None, pattern=r"^\d+\.\d+$", description=f"__cuda of gpu variants, {CUDA} when it is not given"
    )


class Extra(Model):
    """What linking an environment needs to know beside its pins, and for its history what was asked."""

    commands: tuple[Command, ...]
    prefix: str
    # name -> request
    specs: dict[str, str]


class Conda:
    """Conda packages, in an environment of the tool's own"""

    name = "conda"
    placement: Literal["tool"] = "tool"
    request_type = Environment
    runtimes = ("python",)
    builders: Mapping[str, Any] = {"pypi": ("py-rattler ~= 0.28.0",)}
    extra_type = Extra

    def package(self, request: Environment) -> str:
        return _name(request.packages[0])

    def probe(self, request: Environment, index: str | None, context: Context) -> str | None:
        try:
            self._solve(request, context)
        except AccessError:
            raise
        except (LockError, StoreError) as error:
            return error.message
        return None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        if len(request.items) != 1:
            raise LockError(f"{request.section}: a tool is one conda environment, not {len(request.items)}")
        asked: Environment = request.items[0]
        pins = [_pin(found, context) for found in self._solve(asked, context, request.prefer)]
        return sorted(pins, key=lambda pin: pin.name), _extra(asked)

    def strange(self, section: Section, asked: Asked) -> Iterator[str]:
        (environment,) = asked.request.items
        if section.extra != _extra(environment):
            yield f"its 'extra' is {json.dumps(section.extra)}, and not what the manifest makes it"
        channels = expand(environment.channels)
        subdirs = (SUBDIRS[asked.base.arch], "noarch")
        for pin in section.pins:
            if pin.registry not in channels:
                yield f"{pin.name}: it comes from {' or '.join(channels)}, and not from '{pin.registry}'"
            file = re.escape(f"{pin.name}-{pin.version}-")
            if not re.fullmatch(rf"({'|'.join(subdirs)})/{file}[^/-]+\.(conda|tar\.bz2)", pin.file):
                yield f"{pin.name} {pin.version}: {pin.file} is no file of it"
        lacking = {*map(_name, environment.packages)} - {pin.name for pin in section.pins}
        yield from (f"{name} is asked for, and no pin is it" for name in sorted(lacking))

    def _solve(
        self, asked: Environment, context: Context, prefer: Mapping[str, str] = MappingProxyType({})
    ) -> list[dict[str, Any]]:
        """Every package of the environment, as `solver.py` answers. Raises LockError with what it says."""
        answer = self._answer(asked, context, prefer=prefer)
        if "fault" in answer:
            machine = ", ".join(f"{name} {version}" for name, version, _ in _virtual_packages(asked, context))
            raise LockError(
                f"no set of conda packages satisfies {', '.join(asked.packages)} "
                f"from {', '.join(expand(asked.channels))}:\n{_shortened(answer['fault'])}\nThe image has {machine}",
                hint="Loosen a requirement, name another channel, or leave the tool out: --leave-out TOOL",
            )
        packages: list[dict[str, Any]] = answer["packages"]
        return packages

    def _answer(
        self,
        asked: Environment,
        context: Context,
        newest: Sequence[str] = (),
        prefer: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """The solver's answer, which has `packages` or a `fault`, and the newest versions of some names."""
        channels = expand(asked.channels)
        try:
            indexes = [[name, *one] for name in channels for one in _indexes(name, context)]
        except AccessError:
            raise
        except StoreError as error:
            raise LockError(f"conda: {error.message}", hint=error.hint) from error
        question = {
            "specs": asked.packages,
            "machine": _virtual_packages(asked, context),
            "indexes": indexes,
            "newest": [*newest],
            "prefer": dict(prefer),
            "seconds": SOLVER_SECONDS,
        }
        done = run(
            [sys.executable, solver.__file__],
            stdin=json.dumps(question),
            timeout=SOLVER_SECONDS + LOADING_SECONDS,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        if "broken" in answer:
            raise LockError(f"conda: {answer['broken']}", hint=PLACE_HINT)
        return answer

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """The solver takes the newest that fits; of what it does not take it is asked why."""
        (environment,) = asked.request.items
        answer = self._answer(environment, context, newest=[pin.name for pin in section.pins])
        again = {one["name"]: one["version"] for one in answer.get("packages", ())}
        words = _shortened(answer["fault"]) if "fault" in answer else ""
        found = {}
        for pin in section.pins:
            newest = answer["newest"].get(pin.name)
            offer = Offered(newest, again.get(pin.name), words=words if newest else "no channel has it any more")
            least = offer.again or pin.version
            if newest and not words and self.order(least) < self.order(newest):
                offer = self._held(environment, pin.name, offer, context)
            found[pin.name] = offer
        return found

    def _held(self, asked: Environment, name: str, offer: Offered, context: Context) -> Offered:
        """What does not go with the newest version of a package."""
        if self.forbids(asked, name, str(offer.newest)):
            return offer
        wanted = asked.model_copy(update={"packages": (*asked.packages, f"{name} =={offer.newest}")})
        answer = self._answer(wanted, context)
        if "fault" not in answer:
            return replace(offer, words="it goes only with older versions of others")
        words = _shortened(answer["fault"])
        return replace(offer, holders=_holders(words, name), words=words)

    def forbids(self, request: Environment, name: str, version: str) -> str | None:
        import rattler

        for text in request.packages:
            asked = rattler.MatchSpec(text, strict=True).version
            if _name(text) == name and asked and not rattler.VersionSpec(asked).matches(self.order(version)):
                return text
        return None

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        from dsvm.ecosystems.conda.licensed import licenses

        return licenses(artefact)

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return [f"{url}/{pin.file}" for url in channel_urls(context.host, pin.registry)]

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        builder = "builder-conda-pypi"
        return Step(
            script="install-conda",
            args=("--epoch", str(section.epoch), "--rattler", builder, "--python", base.python, section.id),
            sections=(section.id, builder),
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        found: dict[str, str] = json.loads(run(["/usr/bin/python3", "-I", "-c", LIST, section.extra["prefix"]]))
        return found

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return str(section.extra["prefix"])

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        return contents(artefact, place)

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterator[tuple[str, Entry]]:
        return placed(section, contents)

    def pools(self, section: Section) -> Iterable[Pool]:
        return ()

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        return generated(section)

    # https://docs.conda.io/projects/conda/en/stable/dev-guide/specs/conda-meta.html
    records = re.compile(r".*/conda-meta/[^/]+\.json")

    def place(self, section: Section) -> str:
        return str(section.extra["prefix"])

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterator[Recorded]:
        said = json.loads(data)
        try:
            file = f"{said['subdir']}/{said['fn']}"
            yield Recorded(str(said["name"]), str(said["version"]), file, str(said.get("license") or ""))
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no record of a package: it has no {error}") from error

    def folder(self, pin: Pin) -> None:
        return None

    def order(self, version: str) -> rattler.Version:
        """https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-specs.html#version-ordering"""
        import rattler

        try:
            return rattler.Version(version)
        except Exception as error:  # of no class that rattler exports
            raise ValueError(f"'{version}' is no version of conda's") from error

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        kind = next((one for one in ("conda", "tar.bz2") if pin.filename.endswith(f".{one}")), "")
        _, _, build = pin.filename.removesuffix(f".{kind}").rpartition("-")
        *_, subdir = pin.file.rsplit("/", 1)[0].split("/")
        qualifiers = {"build": build, "channel": pin.registry, "subdir": subdir, "type": kind}
        return PackageURL("conda", None, pin.name, pin.version, qualifiers)


# Prints {name: version}: conda's records, with a word where files are missing, and what pip has put beside them.
LIST = """
import json, os, pathlib, sys
prefix = pathlib.Path(sys.argv[1])
found, owned = {}, set()
for path in prefix.glob("conda-meta/*.json"):
    record = json.loads(path.read_text())
    owned.update(record["files"])
    gone = sum(not os.path.lexists(prefix / name) for name in record["files"])
    found[record["name"]] = record["version"] + (f" without {gone} of its files" if gone else "")
for path in prefix.glob("lib/python3*/site-packages/*.dist-info/METADATA"):
    if str(path.relative_to(prefix)) not in owned:
        name, _, version = path.parent.name.removesuffix(".dist-info").rpartition("-")
        found["pypi:" + name] = version
print(json.dumps(found))
"""


def _extra(asked: Environment) -> dict[str, Any]:
    specs = {_name(text): text for text in asked.packages}
    return Extra(commands=asked.commands, prefix=asked.prefix, specs=specs).model_dump(mode="json")


def _name(text: str) -> str:
    """The name in a package request: what stands before blanks, comparisons and brackets."""
    return re.split(r"[\s=<>!~\[]", text, maxsplit=1)[0].lower()


def _virtual_packages(asked: Environment, context: Context) -> list[tuple[str, str, str]]:
    """What packages may demand of the machine, as the image has it: (name, version, build)."""
    cuda = [("__cuda", asked.cuda or CUDA, "0")] if context.accelerator == "gpu" else []
    return [
        ("__archspec", "1", ARCHSPECS[context.base.arch]),
        *cuda,
        ("__glibc", context.base.glibc, "0"),
        ("__linux", LINUX, "0"),
        ("__unix", "0", "0"),
    ]


def _shortened(text: str) -> str:
    """A solver's explanation without its first words, the first lines of it."""
    lines = text.strip().removeprefix("Cannot solve the request because of: ").splitlines()
    rest = len(lines) - LONGEST
    return "\n".join([*lines[:LONGEST], *([f"and {rest} more lines"] if rest > 0 else [])])


def _holders(words: str, name: str) -> tuple[str, ...]:
    """Packages that, as the solver explains it, would require others than a version of the one called `name`."""
    found = re.findall(r"([a-z0-9_][a-z0-9_.-]*) [^\n,]*?,? (?:which requires|would require)", words)
    return tuple(dict.fromkeys(one for one in found if one != name))


def _pin(found: Mapping[str, Any], context: Context) -> Pin:
    file, channel, sha256, size = found["file"], found["channel"], found["sha256"], found["size"]
    if sha256 is None or size is None:
        urls = [f"{url}/{file}" for url in channel_urls(context.host, channel)]
        sha256, size = context.store.download(urls, name=file, host=context.host, sha256=sha256)
    return Pin(name=found["name"], version=found["version"], file=file, size=size, sha256=sha256, registry=channel)


_one_at_a_time = threading.Lock()


def _indexes(channel: str, context: Context) -> Iterator[tuple[str, str]]:
    """(subdir, file) of a channel's indexes: packages for the base's processor and those for any.

    They are kept while the lock is made. Raises StoreError when no place serves one.
    """
    for subdir in (SUBDIRS[context.base.arch], "noarch"):
        with _one_at_a_time:  # sections are resolved side by side, and most ask for the same channel
            path = _index(channel, subdir, context)
        yield subdir, str(path)


def _index(channel: str, subdir: str, context: Context) -> Path:
    from backports import zstd

    path = context.work / "conda" / channel / subdir / "repodata.json"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    faults: list[StoreError] = []
    for url in channel_urls(context.host, channel):
        place = f"{url}/{subdir}/repodata.json"
        try:
            try:
                part = _get(f"{place}.zst", path.with_name("part"), context)
                with zstd.open(part) as packed, path.with_name("unpacked").open("wb") as plain:
                    while chunk := packed.read(1 << 20):
                        plain.write(chunk)
                        if plain.tell() > MOST_INDEX:
                            raise StoreError(f"{place}.zst: it unpacks to more than {MOST_INDEX >> 30} GiB")
                path.with_name("unpacked").replace(path)
            except GoneError:
                _get(place, path.with_name("part"), context).replace(path)
            return path
        except AccessError:
            raise
        except StoreError as error:
            faults.append(error)
        except zstd.ZstdError as error:
            faults.append(StoreError(f"{place}.zst: {error}"))
    raise StoreError(
        f"channel {channel}: " + "\n  ".join(fault.message for fault in faults),
        hint=faults[0].hint
        or "See the channel's place in .condarc, or name it under 'sources' of DSVM's configuration",
    )


def _get(url: str, part: Path, context: Context) -> Path:
    part.unlink(missing_ok=True)
    download(context.host.client, [url], part, name=redact(url))
    return part


ECOSYSTEM = Conda()
