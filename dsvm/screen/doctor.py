"""What `invoke doctor` answers: what this host has, what is missing or slow."""

from __future__ import annotations

from collections.abc import Mapping

from dsvm import ecosystems
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.container import is_built, needed_bytes
from dsvm.host import diagnose
from dsvm.model import DISK_FORMATS, EngineError, Variant, answers
from dsvm.screen.console import echo
from dsvm.screen.forms import faults_of, shown_as
from dsvm.session import Session
from dsvm.vm import qemu


def show_doctor(session: Session, variant: str | None, form: str = "table") -> None:
    """Diagnoses of this host, for `variant` or for all, as lines or JSON.

    Then raises EngineError when something is missing, and for all variants InputError where one has faults.
    """
    show = shown_as(form, _show)
    answer = doctor_answer(session, variant)
    show(answer)
    missing = [one.subject for one in answer.diagnoses if one.level == "missing"]
    if missing:
        raise EngineError(f"missing: {', '.join(missing)}", hint="How to mend it stands above")
    if variant is None:
        session.catalog.refuse_broken()


def doctor_answer(session: Session, variant: str | None) -> answers.DoctorAnswer:
    """Diagnoses of this host, for `variant` or for all.

    Of a variant that comes out as a container too, the container is what has to be possible.
    """
    catalog = session.catalog
    lock = locks.find(catalog, variant) if variant is not None else None
    asked = [*catalog.variants.values()] if variant is None else [catalog.variant(variant)]
    formats = set(asked[0].formats) if variant is not None else set()
    machines = "docker" not in formats and not formats.isdisjoint(DISK_FORMATS)
    # what is built already needs no disk to be built
    needed = needed_bytes(lock) if lock is not None and not is_built(session, lock) else None
    keyrings, programs = _keyrings(catalog, asked), _programs(catalog, asked)
    others = _needs(session) if needed is not None else {}
    found = [
        *diagnose(needed, keyrings, programs, optional=variant is None, others=others),
        *qemu.diagnose(needed=machines),
    ]
    return answers.DoctorAnswer(
        variant=variant,
        diagnoses=tuple(
            answers.Diagnosed(level=one.level, subject=one.subject, what=one.what, remedy=one.remedy or None)
            for one in found
        ),
        faults=faults_of(catalog) if variant is None else (),
    )


def _needs(session: Session) -> dict[str, int]:
    """Variant -> bytes that its container image takes to build, for all that have a lock."""
    found = {name: locks.find(session.catalog, name) for name in session.catalog.variants}
    return {name: needed_bytes(lock) for name, lock in found.items() if lock is not None}


def _programs(catalog: Catalog, variants: list[Variant]) -> dict[str, str]:
    """Program -> what it is for: those that the system packages of `variants` need."""
    names = dict.fromkeys(catalog.bases[one.base].ecosystem for one in variants)
    found = [one for name in names if isinstance(one := ecosystems.registry().get(name), ecosystems.System)]
    return {program: purpose for one in found for program, purpose in one.programs.items()}


def _keyrings(catalog: Catalog, variants: list[Variant]) -> dict[str, str]:
    """Path of a keyring -> the bases of `variants` that need it."""
    bases: dict[str, dict[str, None]] = {}
    for base in (catalog.bases[one.base] for one in variants):
        if base.bootstrap is not None and base.bootstrap.keyring is not None:
            bases.setdefault(base.bootstrap.keyring, {})[base.base] = None
    return {path: ", ".join(names) for path, names in bases.items()}


def _show(answer: answers.DoctorAnswer) -> None:
    marks: Mapping[str, str] = {"ok": "ok", "optional": "optional", "slow": "SLOW", "missing": "MISSING"}
    wide = [max(map(len, column)) for column in (marks.values(), (one.subject for one in answer.diagnoses))]
    for one in answer.diagnoses:
        what = [*one.what.splitlines(), *([f"to mend it: {one.remedy}"] if one.remedy else [])]
        cells = (f"{marks[one.level]:<{wide[0]}}", f"{one.subject:<{wide[1]}}")
        echo("  ".join((*cells, f"\n{' ' * (sum(wide) + 4)}".join(what))))
