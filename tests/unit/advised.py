"""Locks of a few packages, and audits of them by advisories that a folder holds."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny
from osv_records import Record

from dsvm.audit import Evidence
from dsvm.model import Lock
from dsvm.store import Store

TODAY = datetime.date(2026, 11, 27)


def record(id: str, *entries: Record, **more: Any) -> Record:
    return {"id": id, "modified": "2026-11-20T00:00:00Z", "affected": list(entries), **more}


def lock_of(packages: Mapping[str, Mapping[str, str]], **changed: Any) -> Lock:
    """The tiny lock with other packages in some sections; npm's and conda's are sections of the editor's own."""
    lock = tiny.lock()
    sections = {section.id: section for section in lock.sections}
    for id, pins in packages.items():
        section = sections.get(id) or sections["editor-url"].model_copy(
            update={"id": id, "ecosystem": id.rpartition("-")[2]}
        )
        made = tuple(tiny.pin(section.ecosystem, *one) for one in pins.items())
        sections[id] = section.model_copy(update={"pins": made})
    others = {id for id in sections if id not in packages}
    kept = [one for id, one in sections.items() if id not in others or id == "base"]
    kept = [one.model_copy(update={"pins": ()}) if one.id in others else one for one in kept]
    return lock.model_copy(update={"sections": tuple(kept), **changed})


def evidence_of(tmp_path: Path, lock: Lock, *records: Record, **more: Any) -> Evidence:
    folder = tmp_path / "advisories"
    folder.mkdir(exist_ok=True)
    for one in records:
        (folder / f"{one['id']}.json").write_text(json.dumps(one))
    given = (folder,) if records else ()
    return Evidence(tiny.catalog(), lock, Store(tmp_path / "store"), TODAY, **{"advisories": given, **more})


JINJA = lock_of({"env-base": {"arrays": "1.4.0", "jinja2": "2.11.2"}})
