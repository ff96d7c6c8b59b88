"""Releases of machines: files beside a disk, all named by its list of digests, and that is signed.

The list is what `sha256sum --check` reads, and its signature, a key's or an identity's, what `cosign verify-blob` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from dsvm import ROOT, vm
from dsvm.host import read_bounded, sha256_of, write_whole
from dsvm.model import DISK_FORMATS, AlteredError, Audit, Format, InputError, Lock, Report, canonical_json
from dsvm.release import agreement
from dsvm.release.agreement import Thing
from dsvm.release.candidates import documents_of
from dsvm.release.cosign import FileSignature, claimed
from dsvm.release.provenance import PROVENANCE, Statement, provenance_of, statement_about
from dsvm.release.seals import Signer
from dsvm.release.surroundings import Surroundings, revisions
from dsvm.release.verifiers import Verifier
from dsvm.report import PAGE
from dsvm.sbom import Bill
from dsvm.session import Session

SUMS = "sha256"
SIGNATURES = tuple(f"{SUMS}.{end}" for end in get_args(FileSignature))
DESCRIPTION = "json"  # of the build: what the disk is, and how it was made
BILL, LOCK, REPORT, STATEMENT = "sbom.cdx.json", "lock.json", "report.json", "provenance.json"
# the ends of the names of what has to be there; the others may
NEEDED = (DESCRIPTION, BILL, "sbom.spdx.json", LOCK, REPORT, STATEMENT)
BESIDE = (*NEEDED, "audit.json", PAGE)
MOST_SUMS, MOST_SIGNATURE = 1 << 16, 1 << 20  # bytes


def is_disk(text: str) -> bool:
    """Whether people mean a disk by `text`, and nothing in a registry."""
    path = Path(text)
    return path.suffix.removeprefix(".") in DISK_FORMATS or path.is_file()


def beside(disk: Path, end: str) -> Path:
    """A file that belongs to a disk."""
    return disk.with_name(f"{disk.name}.{end}")


@dataclass(frozen=True)
class Disk:
    """The verified disk of a machine in one of its formats, and what stands of it beside it."""

    path: Path
    format: Format
    known: vm.MachineImage
    lock: Lock
    report: Path

    @property
    def digest(self) -> str:
        return f"sha256:{self.known.sha256}"


def disk_of(session: Session, variant: str, format: Format, lock: Lock) -> Disk:
    """The verified disk of a variant, made from `lock`; a conversion is made where it is missing.

    Raises InputError where there is no verified machine, AlteredError for a disk that has changed since.
    """
    place, machine, _ = vm.need_verified(session, variant)
    report = vm.report_of(place, machine)
    path = place.image(format) if format == vm.VERIFIED else vm.convert(place, format)
    known = place.known(path)
    if known is None or sha256_of(path) != known.sha256:
        hint = f"Remove it and build it again: invoke build --variant {variant} --format {format}"
        raise AlteredError(f"{path} is not what was verified, or made of that", hint=hint)
    return Disk(path, format, known, lock, report)


def release_disk(
    session: Session,
    disk: Disk,
    bill: Bill,
    audits: Sequence[Audit],
    page: Path,
    signer: Signer | None,
    around: Surroundings,
) -> list[Path]:
    """Write all that belongs to a disk beside it, signed by `signer`; returns the files, the list of digests last.

    Where this ends in the middle there is no list, and so no release.
    """
    provenance = provenance_of(
        disk.lock,
        session.catalog.bases[disk.lock.base],
        around,
        revisions([ROOT, *session.catalog.folders]),
        format=disk.format,
        plan=disk.known.plan,
        version=version("dsvm"),
    )
    statement = statement_about(disk.path.name, disk.digest, PROVENANCE, provenance.written).data
    files = {one.name: one.data for one in documents_of(disk.lock, replace(bill, image=disk.digest), audits)}
    files |= {
        DESCRIPTION: canonical_json(disk.known).encode(),
        REPORT: read_bounded(disk.report),
        PAGE: read_bounded(page),
        STATEMENT: signer.attestation(statement, PROVENANCE) if signer is not None else statement,
    }
    for end in (*SIGNATURES, SUMS):
        beside(disk.path, end).unlink(missing_ok=True)
    for end, data in files.items():
        write_whole(beside(disk.path, end), data)
    named = [disk.path, *(beside(disk.path, end) for end in BESIDE if end in files)]
    sums = "".join(f"{sha256_of(path)}  {path.name}\n" for path in named).encode()
    if signer is not None:
        signature = beside(disk.path, f"{SUMS}.{signer.signature_end}")
        write_whole(signature, signer.signature(sums))
        named.append(signature)
    write_whole(beside(disk.path, SUMS), sums)
    return [*named[1:], beside(disk.path, SUMS)]


# --- is it what was released? ------------------------------------------------------------------------------


@dataclass
class CheckedDisk:
    """What was found out about a released disk: it is good where there are no faults."""

    path: Path
    variant: str = ""
    format: str = ""
    digest: str = ""
    lock: str = ""
    # bytes of the disk, and how many files there are beside it
    size: int = 0
    files: int = 0
    components: int | None = None
    artefacts: int | None = None
    builder: str = ""
    faults: list[str] = field(default_factory=list)


def verify_disk(disk: Path, verifier: Verifier | None) -> CheckedDisk:
    """Compare a disk and all files beside it with what was released; without `verifier`, no signature is looked for.

    Raises InputError where there is no disk.
    """
    if not disk.is_file():
        raise InputError(f"{disk}: no such file", hint="Name the disk of a machine: build/VARIANT/VARIANT.qcow2")
    found = CheckedDisk(disk)
    digests = dict(_compared(found, verifier))
    if not found.faults:
        _agree(found, digests, verifier)
    return found


def _compared(found: CheckedDisk, verifier: Verifier | None) -> Iterator[tuple[str, str]]:
    """Compare every file with the list, and that with its signature: the end of each name, and its digest."""
    disk, sums = found.path, beside(found.path, SUMS)
    try:
        text = read_bounded(sums, MOST_SUMS)
    except OSError as error:
        hint = "it is no release" if isinstance(error, FileNotFoundError) else str(error.strerror)
        found.faults.append(f"{sums}: cannot be read: {hint}")
        return
    if verifier is not None and (why := _refusal(disk, text, verifier)):
        found.faults.append(f"{sums}: nobody {verifier.whose} has signed it: {why}")
    lines = [re.fullmatch(rb"([0-9a-f]{64})  ([^/\0\n]{1,255})", line) for line in text.split(b"\n")[:-1]]
    named = {one[2].decode(errors="replace"): one[1].decode() for one in lines if one is not None}
    known = {disk.name: "", **{f"{disk.name}.{end}": end for end in BESIDE}}
    if not text.endswith(b"\n") or len(named) != len(lines) or not {*named} <= {*known}:
        found.faults.append(f"{sums}: altered: no list of the digests of a disk and of what belongs to it")
        return
    for name in ("", *NEEDED):
        if (beside(disk, name) if name else disk).name not in named:
            found.faults.append(f"{sums}: it does not name {(beside(disk, name) if name else disk).name}")
    for name, digest in named.items():
        path = disk.with_name(name)
        try:
            if not path.is_file():
                found.faults.append(f"{path}: it is missing")
            elif (seen := sha256_of(path)) != digest:
                found.faults.append(f"{path}: altered: its SHA-256 is {seen}, and was {digest}")
        except OSError as error:
            found.faults.append(f"{path}: cannot be read: {error.strerror}")
        yield known[name], digest
    found.files = len(named) - 1


def _refusal(disk: Path, text: bytes, verifier: Verifier) -> str:
    signature = beside(disk, f"{SUMS}.{verifier.signature_end}")
    try:
        return verifier.refusal(text, read_bounded(signature, MOST_SIGNATURE))
    except FileNotFoundError:
        return f"there is no {signature.name}"
    except OSError as error:
        return f"{signature.name} cannot be read: {error.strerror or error}"


def _agree(found: CheckedDisk, digests: dict[str, str], verifier: Verifier | None) -> None:
    """Compare what the files beside a disk say; what they hold is what their digests said."""
    disk = found.path
    found.digest, found.size = f"sha256:{digests['']}", disk.stat().st_size

    def read(end: str) -> bytes:
        return read_bounded(beside(disk, end))

    def fault(why: str) -> None:
        found.faults.append(f"{disk}: {why}")

    try:
        known = vm.MachineImage.model_validate_json(read(DESCRIPTION))
    except (OSError, ValueError):
        fault("its description is none of ours")
        return
    found.variant, found.format, found.lock = known.variant, known.format, known.lock
    if f"sha256:{known.sha256}" != found.digest:
        fault("its description is of another disk")
    thing = Thing(known.variant, known.format, known.lock, (found.digest,))
    lock = agreement.read_lock(read(LOCK), thing, fault)
    envelope = read(STATEMENT)
    text = verifier.attested(envelope) if verifier is not None else claimed(envelope) or envelope
    if text is None:
        fault(f"nobody {verifier.whose if verifier is not None else ''} says its provenance")
    else:
        said = _statement(text, found.digest, fault)
        provenance = agreement.read_provenance(said.predicate, thing, lock, fault) if said is not None else None
        if provenance is not None:
            found.artefacts, found.builder = len(provenance.artefacts), provenance.run_details.builder.id
    try:
        report = Report.model_validate_json(read(REPORT))
    except ValueError:
        fault("its report is none of ours")
    else:
        # a conversion was compared with the machine that was verified
        other = known.format == vm.VERIFIED and report.image != found.digest
        if other or report.variant != known.variant or report.lock != known.lock:
            fault("its report is of another machine")
        if report.count("failed"):
            fault("its report says that checks have failed")
    try:
        bill = json.loads(read(BILL))
    except (ValueError, RecursionError):
        bill = None
    found.components = agreement.components_of(bill, thing, lock, fault)


def _statement(text: bytes, digest: str, fault: agreement.Fault) -> Statement | None:
    try:
        found = Statement.of(text)
    except ValueError as error:
        fault(f"its provenance is no statement: {error}")
        return None
    if found.predicate_type != PROVENANCE or not found.speaks_of(digest):
        fault("its provenance speaks of something else")
        return None
    return found
