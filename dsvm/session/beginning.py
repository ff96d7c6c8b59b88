"""Manifests to begin with: a file that passes, with what a registry knows, and words for what people must add."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from dsvm import ecosystems
from dsvm.catalog import MANIFESTS, load, near
from dsvm.ecosystems import Introduced, Introduces
from dsvm.host import scratch, write_whole
from dsvm.model import InputError
from dsvm.session.session import Session

KINDS = {"tool": "tools", "variant": "variants"}
NAME = re.compile(r"[a-z][a-z0-9.-]{0,63}")
OPEN = "LicenseRef-to-be-filled-in"


def begin(session: Session, kind: str, name: str, *, package: str = "", like: str = "cpu-minimal") -> Path:
    """Write the manifest of a new tool or variant to the latest of the catalog's folders, and give its path.

    A tool comes from `package` of the first ecosystem that introduces packages, by default one of its own name, as it
    is offered for the base of the variant `like`; a variant extends that one. Raises InputError for a bad or taken
    name, LockError where the registry has no such package.
    """
    if kind not in KINDS:
        raise InputError(f"'{kind}' cannot be begun{near(kind, KINDS)}", hint="There are: tool, variant")
    if not NAME.fullmatch(name):
        raise InputError(
            f"'{name}' is no name of a {kind}",
            hint="Small letters, digits, '-' and '.', a letter first, 64 of them at most: scikit-learn",
        )
    catalog = session.catalog
    if kind == "tool":
        catalog.refuse_retired([name])
    folder = (MANIFESTS, *session.overlays)[-1] / KINDS[kind]
    path = folder / f"{name}.yaml"
    taken = catalog.origin.get((KINDS[kind], name)) or (path if path.exists() or path.is_symlink() else None)
    if taken is not None:
        raise InputError(f"{taken}: there is a {kind} '{name}' already", hint="Take another name, or change that file")
    catalog.variant(like)
    text = _variant(name, like) if kind == "variant" else _tool(session, name, package or name, like)
    with scratch("new") as place:
        trial = place / KINDS[kind] / path.name
        trial.parent.mkdir()
        trial.write_text(text, encoding="utf-8")
        load([*session.overlays, place])
    folder.mkdir(exist_ok=True)
    write_whole(path, text)
    return path


def _variant(name: str, like: str) -> str:
    return f"""\
{_schema("variant")}variant: {name}
extends: {like}
# fill in: what people read in lists
summary: Everything of {like}
# fill in: tools to add, by name or by group (invoke list shows both), and under 'without' what goes
tools: []
"""


def _tool(session: Session, name: str, package: str, like: str) -> str:
    introducing = [one for one in ecosystems.registry().values() if isinstance(one, Introduces)]
    with session.using_store(), session.context(like) as context:
        told, ecosystem = next((one.introduced(package, context), one.name) for one in introducing)
    use = told.use_check or told.version_check
    lines = [
        f"{_schema('tool')}tool: {name}",
        *_filled("summary", told.summary, f"What {name} is for"),
        *_filled("homepage", told.homepage, "https://example.invalid"),
        *_filled("license", told.license, OPEN),
        "# fill in: where lists show it; 'invoke list' has the groups that there are",
        "group: more",
        "env: base",
        "sources:",
        f"  - {ecosystem}: [{', '.join(told.request)}]",
        "checks:",
        f"  - version: {told.version_check}",
        "  # fill in: let it do its work and compare the outcome; that it can be imported proves little",
        f"  - run: {use}",
        *_expected(told, use),
    ]
    return "\n".join(lines) + "\n"


def _schema(kind: str) -> str:
    return f"# yaml-language-server: $schema=../schema/{kind}.json\n"


def _filled(key: str, value: str, otherwise: str) -> list[str]:
    """The lines of a key: what is known of it, or what stands in for it until somebody fills it in."""
    said = yaml.safe_dump({key: value or otherwise}, width=10_000, allow_unicode=True).strip()
    return [said] if value else ["# fill in: its package does not say", said]


def _expected(told: Introduced, use: str) -> list[str]:
    return [f"    expect: ^{re.escape(told.version)}\\s*$"] if use == told.version_check else []
