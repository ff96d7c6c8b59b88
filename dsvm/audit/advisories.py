"""Advisories in OSV form, and folders and zip files of them: https://ossf.github.io/osv-schema/"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from dsvm.audit.documents import Fault, Location, documents, plain, read_again, shown_place

ID = r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}"
# What of an advisory tells whether it has to be read, without reading JSON
KEYS = re.compile(rb'"(name|ecosystem|modified)"\s*:\s*"((?:[^"\\\x00-\x1f]|\\.){0,500})"')


def _not_null(value: object) -> object:
    return () if value is None else value


def _text(value: object) -> object:
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_text)]


class Lenient(BaseModel):
    """What we read of a record; there is more in it, and more will be."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Event(Lenient):
    """Where in the order of versions a range begins or ends."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None


class Range(Lenient):
    type: str
    events: Annotated[tuple[Event, ...], BeforeValidator(_not_null)] = ()


class Package(Lenient):
    ecosystem: str
    name: str


class Severity(Lenient):
    """`type` CVSS_V2, CVSS_V3 or CVSS_V4 with a vector as `score`, or a distribution's name with a word."""

    type: str
    score: str


class Affected(Lenient):
    """Versions of one package that are affected."""

    package: Package | None = None
    ranges: Annotated[tuple[Range, ...], BeforeValidator(_not_null)] = ()
    versions: Annotated[tuple[str, ...], BeforeValidator(_not_null)] = ()
    severity: Annotated[tuple[Severity, ...], BeforeValidator(_not_null)] = ()
    ecosystem_specific: dict[str, Any] | None = None
    database_specific: dict[str, Any] | None = None


class Advisory(Lenient):
    """One record."""

    id: Annotated[str, StringConstraints(pattern=rf"^{ID}$")]
    modified: datetime.datetime
    withdrawn: datetime.datetime | None = None
    aliases: Annotated[tuple[str, ...], BeforeValidator(_not_null)] = ()
    related: Annotated[tuple[str, ...], BeforeValidator(_not_null)] = ()
    upstream: Annotated[tuple[str, ...], BeforeValidator(_not_null)] = ()
    summary: Text = ""
    severity: Annotated[tuple[Severity, ...], BeforeValidator(_not_null)] = ()
    affected: Annotated[tuple[Affected, ...], BeforeValidator(_not_null)] = ()
    database_specific: dict[str, Any] | None = None

    def is_withdrawn(self, today: datetime.date) -> bool:
        """Whether its makers took it back; a day that is still to come takes nothing back."""
        return self.withdrawn is not None and self.withdrawn.date() <= today


@dataclass
class Collection:
    """What folders and zip files hold, by the names of packages: only what names a wanted one is read again."""

    # name, as `simple` writes it -> places
    by_name: dict[str, list[Location]] = field(default_factory=dict)
    ecosystems: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    # the newest day on which one of them was changed, as far as that is not still to come
    newest: datetime.date | None = None
    count: int = 0

    def naming(self, names: Iterable[str]) -> list[Advisory]:
        """The advisories that name one of these packages, in the order of their files."""
        wanted = {place for name in names for place in self.by_name.get(simple(name), ())}
        found: dict[str, Advisory] = {}
        for place, data in read_again(sorted(wanted)):
            record = _record(data)
            if isinstance(record, Advisory) and (
                record.id not in found or found[record.id].modified.timestamp() < record.modified.timestamp()
            ):
                found[record.id] = record
            elif isinstance(record, str):  # it changed meanwhile
                self.faults.append(Fault(shown_place(place), record))
        return list(found.values())


def simple(name: str) -> str:
    """A name in a form that no ecosystem's spellings differ in: different packages may share it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(data: bytes) -> Advisory:
    """A record. Raises ValueError with what is wrong with it, in one line."""
    found = _record(data)
    if isinstance(found, str):
        raise ValueError(found)
    return found


def _record(data: bytes) -> Advisory | str:
    """A record, or what is wrong with it."""
    try:
        return Advisory.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return plain(f"no advisory in OSV form: {where + ': ' if where else ''}{first['msg']}")
    except (ValueError, RecursionError) as error:
        return plain(f"no advisory in OSV form: {error}")


def collect(places: Sequence[Path], today: datetime.date) -> Collection:
    """What there is in folders and zip files. What cannot be read is among its `faults`."""
    found = Collection()
    for place in places:
        before = found.count
        faults = len(found.faults)
        for location, data in documents(place):
            if isinstance(data, str):
                found.faults.append(Fault(shown_place(location), data))
            else:
                _note(found, location, data, today)
        if found.count == before and len(found.faults) == faults:
            found.faults.append(Fault(shown_place((str(place), "")), "there is no advisory in it"))
    return found


def _note(found: Collection, place: Location, data: bytes, today: datetime.date) -> None:
    """Where an advisory is, by the packages that it names. What looks wrong is read, to say what it is."""
    names: set[str] = set()
    ecosystems: set[str] = set()
    newest = ""
    escaped = False
    for key, value in KEYS.findall(data):
        text = value.decode("utf-8", "replace")
        escaped = escaped or "\\" in text
        if key == b"name":
            names.add(simple(text))
        elif key == b"ecosystem":
            ecosystems.add(text)
        else:
            newest = max(newest, text[:10])
    body = data.strip()
    whole = body[:1] == b"{" and body[-1:] == b"}" and b"\0" not in body
    day = _day(newest)
    if escaped or not (whole and names and day and day <= today):
        record = _record(data)
        if isinstance(record, str):
            found.faults.append(Fault(shown_place(place), record))
            return
        if (day := record.modified.date()) > today + datetime.timedelta(days=1):
            found.faults.append(Fault(shown_place(place), f"it says that it was changed on {day}, which is to come"))
        names = {simple(one.package.name) for one in record.affected if one.package is not None}
        ecosystems = {one.package.ecosystem for one in record.affected if one.package is not None}
    found.count += 1
    found.ecosystems |= ecosystems
    if day is not None and day <= today and (found.newest is None or found.newest < day):
        found.newest = day
    for name in names:
        found.by_name.setdefault(name, []).append(place)


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
