"""What installs an image on a machine that has a vendor's operating system already, as one archive.

It is unpacked to / and holds /dsvm: `install` (the plan's stages as a list of shell commands), `lib` (what runs
them), `bin` and `store` (scripts and artefacts, laid out as the steps of a container build find them), `base` (the
layers of the image's base, in which everything is built that has a prefix of its own) and `files`.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from dsvm import ecosystems
from dsvm.container import prepare
from dsvm.host import sha256_of
from dsvm.model import Plan, traits
from dsvm.plan import TEMPLATES, context_name, files_context, render
from dsvm.store import Store

LIBRARY = TEMPLATES.parent / "scripts" / "install"
TOP = "dsvm"


@dataclass(frozen=True)
class Archive:
    """A written archive. `size` in bytes, `sha256` in hex."""

    path: Path
    sha256: str
    size: int


def install_text(plan: Plan) -> str:
    """The program that installs `plan`: its stages with the commands of the Dockerfile, in the same order."""
    last = (plan.machine.finish,) if plan.machine is not None else ()
    return render("install.j2", plan=plan, on_machine=_on_machine(plan), last=last)


def write(plan: Plan, store: Store, base: tuple[Path, str], folder: Path) -> Archive:
    """Write the archive of `plan`, which is rendered into `folder`, to `folder`/install.tar.

    `base` is an OCI layout and the digest of its manifest. The same plan gives the same bytes, and a file under the
    final name is whole. Raises StoreError when an artefact is not in the store.
    """
    files = dict(_members(plan, store, base, folder))
    target = folder / "install.tar"
    part = target.with_suffix(".part")
    digest = hashlib.sha256()
    with part.open("wb") as stream, tarfile.open(fileobj=_Hashed(stream, digest), mode="w|") as tar:
        for name, (source, mode) in sorted(files.items()):
            member = tarfile.TarInfo(f"{TOP}/{name}")
            member.mode, member.mtime = mode, plan.epoch
            if isinstance(source, bytes):
                member.size = len(source)
                tar.addfile(member, io.BytesIO(source))
            else:
                member.size = source.stat().st_size
                with source.open("rb") as data:
                    tar.addfile(member, data)
    part.replace(target)
    return Archive(target, digest.hexdigest(), target.stat().st_size)


def write_windows(plan: Plan, store: Store, folder: Path) -> Archive:
    """Write what provisions a Windows machine, which is rendered into `folder`, to `folder`/install.zip.

    Its `provision.ps1` finds the folders scripts, files and store beside itself. The same plan gives the same bytes.
    """
    here = traits(plan.base)
    files = {here.rendered: folder / here.rendered}
    places = {"scripts": "scripts", files_context(plan): "files"}
    for context, place in prepare(plan, store, folder).items():
        top = places.get(context) or f"store/{context.removeprefix(context_name(''))}"
        files |= {f"{top}/{path.relative_to(place).as_posix()}": path for path in place.rglob("*") if path.is_file()}
    target = folder / "install.zip"
    part = target.with_suffix(".part")
    # what is in it is compressed already; a zip knows no time before 1980
    time = datetime.fromtimestamp(plan.epoch, UTC).timetuple()[:6]
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(files.items()):
            with path.open("rb") as source, archive.open(zipfile.ZipInfo(name, time), "w", force_zip64=True) as member:
                shutil.copyfileobj(source, member, 1 << 20)
    part.replace(target)
    return Archive(target, sha256_of(target), target.stat().st_size)


def _members(
    plan: Plan, store: Store, base: tuple[Path, str], folder: Path
) -> Iterator[tuple[str, tuple[Path | bytes, int]]]:
    """Name in the archive -> content or file, and mode."""
    yield "install", (install_text(plan).encode(), 0o755)
    for path in LIBRARY.iterdir():
        yield f"lib/{path.name}", (path, 0o755 if path.stat().st_mode & 0o100 else 0o644)
    # a machine's plan prepares what only it has; here its container's stages run too
    whole = plan.model_copy(update={"machine": None})
    places = {"scripts": "bin", files_context(whole): "files"}
    places |= {context_name(section): f"store/{section}" for section in _sections(plan)}
    for context, place in prepare(whole, store, folder).items():
        for path in place.rglob("*"):
            if path.is_file():
                name = f"{places[context]}/{path.relative_to(place).as_posix()}"
                yield name, (path, 0o755 if path.stat().st_mode & 0o100 else 0o644)
    for name, sha256 in _fellows(plan).items():
        yield f"store/{_section(plan, plan.system)}/{name}", (store.path(sha256), 0o644)
    layout, digest = base
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_bytes())
    for number, layer in enumerate(manifest["layers"]):
        yield f"base/{number:03}", (blobs / layer["digest"].removeprefix("sha256:"), 0o644)


def _sections(plan: Plan) -> set[str]:
    return {name for stage in plan.stages for step in stage.steps for name in step.sections}


def _on_machine(plan: Plan) -> tuple[str, ...]:
    """The stages that change the machine itself, in order; all others hand over a folder."""
    return (plan.system, *((plan.machine.stage,) if plan.machine is not None else ()))


def _section(plan: Plan, stage: str) -> str:
    return next(one.section for one in plan.stages if one.name == stage)


def _fellows(plan: Plan) -> Mapping[str, str]:
    """What is installed together with the system's packages, file name -> SHA-256.

    The vendor's machine has other versions of some packages that the lock has too, and packages go together only in
    the versions that were locked together: so all of them come in one transaction.
    """
    sections = {section.id: section for section in plan.sections}
    together = [sections[_section(plan, stage)] for stage in _on_machine(plan)]
    if plan.base_kind == "bootstrap":
        together.append(sections["base"])
    system = sections[_section(plan, plan.system)]
    own = {pin.sha256 for pin in system.pins}
    ecosystem = ecosystems.get(system.ecosystem)
    return {ecosystem.file_name(pin): pin.sha256 for one in together for pin in one.pins if pin.sha256 not in own}


class _Hashed(io.RawIOBase):
    """Hashes what is written through it."""

    def __init__(self, stream: IO[bytes], digest: hashlib._Hash) -> None:
        self.stream, self.digest = stream, digest

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.digest.update(data)
        return self.stream.write(data)
