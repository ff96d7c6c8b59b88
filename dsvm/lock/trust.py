"""What a lock may say: nothing that resolving the manifests could not have said.

People review a lock as names and versions. Everything else in it either follows from the manifests, and is compared
with them, or has a form in which it can do no harm.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dsvm import ecosystems
from dsvm.catalog import Catalog
from dsvm.ecosystems import Asked, Ecosystem, GrowsOnTop, Request, bases
from dsvm.lock.requests import Wanted, wanted_sections
from dsvm.lock.selection import choice_of
from dsvm.lock.sources import tools_of
from dsvm.model import Base, Lock, LockError, Section

MOST_SHOWN = 20
# A file's name in the folder that a step reads, beside the description of its section
FILE_NAME = re.compile(r"[^\s/\\\x00-\x1f]{1,255}")
DESCRIPTION = "section.json"
# Variables that change what programs load or run as they start: no package needs an image to have them
STARTING = re.compile(
    r"(LD|DYLD|PYTHON|PERL|RUBY|NODE|BASH|GIT|GCONV|LUA)_?[A-Z_]*|GCONV_PATH|ENV|IFS|PATH|SHELLOPTS|PS4|PROMPT_COMMAND"
    r"|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|R_PROFILE.*|R_ENVIRON.*|PAGER|EDITOR|VISUAL|SHELL|HOME"
)
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def check(catalog: Catalog, lock: Lock) -> Lock:
    """`lock` itself, which fits the manifests. Raises LockError with all that it says and they do not."""
    found = list(dict.fromkeys(faults(catalog, lock)))
    if found:
        more = [f"and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
        listed = "\n".join(f"    {line}" for line in (*found[:MOST_SHOWN], *more))
        raise LockError(
            f"the lock of {lock.variant} says what its manifests do not:\n{listed}",
            hint="Somebody edited it: restore it from version control, or remove it and run: "
            f"invoke lock --variant {lock.variant}",
        )
    return lock


def faults(catalog: Catalog, lock: Lock) -> Iterator[str]:
    """What a lock that fits the manifests says beyond them, a line each."""
    variant = catalog.variant(lock.variant)
    base = catalog.bases[variant.base]
    tools = {tool.tool for tool in tools_of(catalog, variant, (left.tool for left in lock.left_out))}
    if tools != {choice.tool for choice in lock.choices}:
        yield "its choices are of other tools than those of the variant that are not left out"
        return
    for choice in lock.choices:
        if choice.formats != choice_of(catalog.tools[choice.tool], choice.source).formats:
            yield f"{choice.tool}: it is for other formats than its manifest says"
    twice = Counter([*(choice.tool for choice in lock.choices), *(section.id for section in lock.sections)])
    yield from (f"{name}: it stands there twice" for name, count in twice.items() if count > 1)
    wanted = {one.id: one for one in wanted_sections(catalog, variant, lock.choices)}
    for section in lock.sections:
        if section.id == "base":
            found = _base_faults(lock, section, base, catalog)
        else:
            found = _section_faults(section, wanted[section.id], base, catalog)
        yield from (f"{section.id}: {fault}" for fault in found)


def asked(catalog: Catalog, lock: Lock) -> dict[str, Asked]:
    """What each section of a lock that fits the manifests is the answer to."""
    variant = catalog.variant(lock.variant)
    base = catalog.bases[variant.base]
    requests = {one.id: one.request for one in wanted_sections(catalog, variant, lock.choices)}
    if lock.base_kind == "bootstrap":
        requests["base"] = _base_request(base)
    return {name: _asked(request, base, catalog) for name, request in requests.items()}


def _asked(request: Request, base: Base, catalog: Catalog) -> Asked:
    return Asked(request, base, catalog.indexes, catalog.repositories)


def _base_request(base: Base) -> Request:
    system = ecosystems.system(base)
    include = base.bootstrap.include if base.bootstrap else ()
    return Request("base", "base", ((*system.essential, *include),))


def _base_faults(lock: Lock, section: Section, base: Base, catalog: Catalog) -> Iterator[str]:
    """Of the base's own section, which is made in one of three ways."""
    if section.ecosystem != base.ecosystem or section.tools or section.formats:
        yield "it is another section than that of the base"
    if section.request != bases.request_of(base, lock.base_kind):
        yield f"its request is not what base '{base.base}' says for '{lock.base_kind}'"
        return
    if lock.base_kind == "bootstrap":
        yield from content_faults(section, _asked(_base_request(base), base, catalog))
    else:
        yield from _form_faults(section, None)
        yield from bases.strange(base, lock.base_kind, section)


def _section_faults(section: Section, wanted: Wanted, base: Base, catalog: Catalog) -> Iterator[str]:
    if (section.ecosystem, section.tools, section.formats) != (wanted.ecosystem, wanted.tools, wanted.formats):
        yield "it is of another ecosystem, of other tools or for other formats than the manifests say"
        return
    if section.request != wanted.as_json():
        yield "its request is another than that of the manifests"
        return
    extra = section.extra
    if section.id.startswith("env-"):
        if extra.get("env") != wanted.request.env:
            yield f"its environment is '{wanted.request.env}', and not {json.dumps(extra.get('env'))}"
        extra = {name: value for name, value in extra.items() if name != "env"}
    yield from content_faults(section.model_copy(update={"extra": extra}), _asked(wanted.request, base, catalog))


def content_faults(section: Section, asked: Asked) -> Iterator[str]:
    """Of pins, and of what installing them is told."""
    ecosystem = ecosystems.get(section.ecosystem)
    try:
        TypeAdapter(ecosystem.extra_type).validate_python(section.extra, strict=False)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False)[:MOST_SHOWN]:
            yield f"extra.{'.'.join(map(str, one['loc']))}: {one['msg']}"
        return
    found = list(_form_faults(section, ecosystem))
    yield from found
    if not found:
        yield from ecosystem.strange(section, asked)


def _form_faults(section: Section, ecosystem: Ecosystem | None) -> Iterator[str]:
    """What no section may have, whatever its ecosystem."""
    names = Counter(pin.name for pin in section.pins)
    yield from (f"{name}: it is pinned {count} times" for name, count in names.items() if count > 1)
    if section.later and not isinstance(ecosystem, GrowsOnTop):
        yield "later: its ecosystem has no layer for what came later"
    texts = section.extra.get("texts", {})
    files = [DESCRIPTION, *texts]
    files += [ecosystem.file_name(pin) for pin in section.pins] if ecosystem is not None else []
    for name, count in Counter(files).items():
        if not FILE_NAME.fullmatch(name) or name in (".", ".."):
            yield f"{json.dumps(name)} is no name of a file"
        elif count > 1:
            yield f"{name}: {count} files have this name"
    environment = section.extra.get("environment", {})
    if not _is_text_table(texts) or not _is_text_table(environment):
        yield "extra: 'texts' and 'environment' are tables of texts"
        return
    for name, value in environment.items():
        if not VARIABLE.fullmatch(name) or STARTING.fullmatch(name) or not value.isprintable():
            yield f"a package may not set the image's variable {json.dumps(name)}"
    if hidden := next(_hidden(section.extra), None):
        yield f"extra: {json.dumps(hidden[:40])} has characters that nobody sees"


def _is_text_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())


def _hidden(value: Any) -> Iterator[str]:
    """Texts below `value` with control characters, or with such as turn the text around."""
    if isinstance(value, str):
        if any(unicodedata.category(one) in ("Cc", "Cf", "Co", "Cs") and one not in "\n\t" for one in value):
            yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _hidden(key)
            yield from _hidden(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _hidden(one)
