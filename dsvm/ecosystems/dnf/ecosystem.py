"""RPM packages, resolved on the host by dnf itself in a private root that sees nothing of the host."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from dsvm.ecosystems.dnf import database, header, held, rpm
from dsvm.ecosystems.dnf.advised import advised, order
from dsvm.ecosystems.dnf.root import DnfRoot, check_packages, fetch_packages, indented, running
from dsvm.ecosystems.protocol import Advised, Asked, Context, Generated, Offered, Pool, Recorded, Request, RunInImage
from dsvm.ecosystems.repositories import OutOfReach, located, out_of_place
from dsvm.model import Base, Entry, LockError, NoExtra, Pin, Repository, Section, Stated, Step, digest_of
from dsvm.store import Store

if TYPE_CHECKING:
    from packageurl import PackageURL
    from univers.rpm import RpmVersion

# https://rpm-software-management.github.io/rpm/manual/spec.html (Name), and a module's stream to take packages from
NAME = "[A-Za-z0-9_][A-Za-z0-9_.+-]*"
Package = Annotated[str, StringConstraints(pattern=rf"^(@{NAME}:)?{NAME}$", max_length=200)]
# What install-dnf works with, and a registry's image may lack.
HELPER = "findutils"


def _has_a_package(request: tuple[str, ...]) -> tuple[str, ...]:
    if all(one.startswith("@") for one in request):
        raise ValueError("it names no package beside streams of modules (@MODULE:STREAM)")
    return request


class Dnf:
    """Packages of the base's own distribution, or of the 'repository' that the source names; @MODULE:STREAM"""

    name = "dnf"
    placement: Literal["system"] = "system"
    request_type = Annotated[tuple[Package, ...], Field(min_length=1), AfterValidator(_has_a_package)]
    runtimes = ()
    builders: Mapping[str, Any] = {}
    extra_type = NoExtra
    # the Python is what dnf itself runs on, and pins the times of rpm's database
    essential = ("bash", HELPER, "python3", "rpm")
    status_files = rpm.DATABASE_FILES
    bootstrapper = "rpm"
    programs: Mapping[str, str] = MappingProxyType(
        {
            "dnf-3": "resolves RPM packages; building needs none",
            "rpm": "reads RPM packages and makes a base where no registry can be reached",
            "rpmkeys": "compares the signatures of RPM packages",
        }
    )

    def package(self, request: Sequence[str]) -> str:
        return next(one for one in request if not one.startswith("@"))

    def probe(self, request: Sequence[str], index: str | None, context: Context) -> str | None:
        try:
            unknown = DnfRoot.of(context, (index,) if index else ()).ask(request, solve=False)["unknown"]
        except OutOfReach as error:
            return error.message
        return _unknown(unknown, context, index) if unknown else None

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        root = DnfRoot.of(context, request.repositories)
        asked = _asked(request)
        answer = root.ask(asked)
        if unknown := answer["unknown"]:
            raise LockError(
                f"{request.section}: {_unknown(unknown, context, *request.repositories)}",
                hint="Correct the package names, or leave the tool out: --leave-out TOOL",
            )
        if "fault" in answer:
            raise LockError(
                f"dnf finds no solution for {request.section}:\n" + indented(answer["fault"]),
                hint="Correct the package names, or leave the tool out: --leave-out TOOL",
            )
        if strange := [one for one in answer["packages"] if one["name"] in answer["strange"]]:
            raise LockError(
                "\n".join(
                    f"{one['name']}: it would come from repository '{root.sources[one['repository']].registry}', "
                    "whose manifest does not name it"
                    for one in strange
                ),
                hint="Name the package under 'packages' of the repository's manifest",
            )
        if gone := answer["removed"]:
            raise LockError(
                f"{request.section}: it would take {', '.join(gone)} out of base {context.base.base}",
                hint="Ask for packages that can be beside those of the base",
            )
        pins = {one["name"]: root.pin(one) for one in answer["packages"]}
        held = self.packages(context.base_status) if context.base_status else {}
        if replaced := [one for one in asked if not one.startswith("@") and one not in pins and one not in held]:
            raise LockError(
                f"{request.section}: {', '.join(replaced)}: another package has taken its place",
                hint=f"Ask for what there is instead: one of {', '.join(sorted(pins))}",
            )
        for source in root.sources.values():
            if not source.signed:
                theirs = [pins[one["name"]] for one in answer["packages"] if one["repository"] == source.id]
                check_packages(theirs, source, context)
        return [pins[name] for name in sorted(pins)], {}

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """A folder with the rpm database of a system that has exactly `pins` installed."""
        name = digest_of(sorted(pin.sha256 for pin in pins))[:12]
        folder = context.work / f"dnf-{context.base.base}-{name}"
        with running:
            if not folder.exists():
                fetch_packages(pins, context)
                part = folder.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                rpm.record(part, [context.store.path(pin.sha256) for pin in pins])
                part.rename(folder)
        return str(folder)

    def image_status(self, files: Mapping[str, bytes], context: Context) -> str:
        places = [place for place in rpm.DATABASES if any(name.startswith(f"{place}/") for name in files)]
        if not places:
            raise LockError(
                f"the registry image holds no /{rpm.DATABASE_FILES[0]}",
                hint="Is it an image of a distribution of RPM packages?",
            )
        folder = context.work / f"dnf-{context.base.base}-image"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in files.items():
            if name.startswith(f"{places[-1]}/"):
                (folder / PurePosixPath(name).name).write_bytes(content)
        return str(folder)

    def packages(self, status: str) -> Mapping[str, str]:
        return rpm.packages(Path(status))

    def bootstrap(self, base: Base, section: Section, store: Store, work: Path, log: Path) -> Path:
        return rpm.make_base(section, store, work, log)

    def strange(self, section: Section, asked: Asked) -> Iterable[str]:
        return out_of_place(section.id, section.pins, asked, ending=".rpm")

    def advised(self, pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
        """Binary and source packages, for some distributions' advisories name these and some those."""
        return advised(pin, base, store)

    def advisory_name(self, name: str) -> str:
        return name

    def advisory_order(self, version: str) -> Any:
        return order(version)

    def forbids(self, request: Sequence[str], name: str, version: str) -> str | None:
        return None

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        return located(pin, context)

    def licenses(self, pin: Pin, artefact: Path) -> Stated:
        return header.licenses(artefact)

    def file_name(self, pin: Pin) -> str:
        return pin.filename

    def parts(self, section: Section) -> Sequence[Section]:
        return (section,)

    def install(self, section: Section, base: Base) -> Step:
        return Step(
            script="install-dnf",
            args=("--epoch", str(section.epoch), section.id),
            sections=(section.id,),
            helpers=("clamp-system", "pin-rpmdb"),
        )

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """Every installed package of the image: base and system together."""
        return rpm.listed(run(["rpm", *rpm.LIST]))

    compiles = False

    def rewritten_for(self, section: Section) -> str:
        return ""

    def contents(self, pin: Pin, artefact: Path, place: str) -> Iterator[tuple[str, Entry]]:
        return held.contents(artefact)

    def placed(
        self, section: Section, pin: Pin, contents: Iterable[tuple[str, Entry]], base: Base
    ) -> Iterable[tuple[str, Entry]]:
        return contents

    def pools(self, section: Section) -> Iterable[Pool]:
        return ()

    def generated(self, section: Section, base: Base) -> Iterable[Generated]:
        return held.GENERATED

    records = database.RECORDS

    def place(self, section: Section) -> str:
        return ""

    def recorded(self, path: str, data: bytes, section: Section | None) -> Iterable[Recorded]:
        return database.recorded(data)

    def folder(self, pin: Pin) -> None:
        return None

    def order(self, version: str) -> RpmVersion:
        """https://rpm-software-management.github.io/rpm/man/rpm-version.7"""
        from univers.rpm import RpmVersion

        found: RpmVersion = RpmVersion.from_string(version)  # type: ignore[no-untyped-call]
        return found

    def offered(self, section: Section, asked: Asked, context: Context) -> Mapping[str, Offered]:
        """dnf is told to take the best of everything, so what it chooses otherwise something else forbids."""
        root = DnfRoot.of(context, asked.request.repositories)
        answer = root.ask(_asked(asked.request), newest=[pin.name for pin in section.pins])
        again = {one["name"]: one["version"] for one in answer["packages"]}
        words = indented(answer["fault"]).strip() if "fault" in answer else "dnf chooses otherwise"
        newest = answer["newest"]
        return {
            pin.name: Offered(newest[pin.name], again.get(pin.name), words=words)
            if pin.name in newest
            else Offered(None, words="no repository has it any more")
            for pin in section.pins
        }

    def purl(self, pin: Pin, base: Base) -> PackageURL:
        from packageurl import PackageURL

        epoch, _, version = pin.version.rpartition(":")
        file, ending, _ = pin.filename.partition(".rpm")
        qualifiers = {"distro": f"{base.os}-{base.release}", **({"epoch": epoch} if epoch else {})}
        qualifiers |= {"arch": file.rpartition(".")[2]} if ending else {}
        return PackageURL("rpm", base.os, pin.name, version, qualifiers)


def _asked(request: Request) -> list[str]:
    """Packages and streams of modules, with what installing works with."""
    return list(dict.fromkeys((*(one for item in request.items for one in item), HELPER)))


def _unknown(names: Sequence[str], context: Context, *repositories: str | None) -> str:
    where = " ".join(context.base.bootstrap.suites) if context.base.bootstrap else context.base.base
    named = [f"'{name}'" for name in (*context.base.repositories, *repositories) if name]
    let_in = "repositories {} let" if named[1:] else "repository {} lets"
    beside = f", and {let_in.format(', '.join(named))} in no such package" if named else ""
    return f"{', '.join(names)}: not in {where}{beside}"


# --- where packages come from ------------------------------------------------------------------------------


# --- dnf ---------------------------------------------------------------------------------------------------


ECOSYSTEM = Dnf()
