"""Tables for people: what there is, what is in it, what state it is in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from dsvm import lock as locks
from dsvm.catalog import MANIFESTS, schemas
from dsvm.console import say, table
from dsvm.errors import DsvmError, EngineError
from dsvm.model import Lock
from dsvm.pipeline import Workshop, needed_bytes
from dsvm.plan import make_plan


def show_list(shop: Workshop) -> None:
    """The variants with their state, then every tool with its place in them."""
    catalog = shop.catalog
    found = {name: locks.find(catalog, name) for name in sorted(catalog.variants)}
    images = _images(shop)
    rows = []
    for name, lock in found.items():
        variant = catalog.variants[name]
        state, size = _lock_state(shop, lock)
        rows.append(
            [name, variant.base, variant.accelerator, ", ".join(variant.formats), state, size, images.get(name, "-")]
        )
    table("Variants", ["variant", "base", "for", "formats", "lock", "download", "image"], rows)
    say("")
    tools = sorted(catalog.tools.values(), key=lambda tool: (tool.group, tool.tool))
    rows = [
        [tool.group, tool.tool, *(_cell(found[name], catalog.variants[name].tools, tool.tool) for name in found),
         tool.summary]
        for tool in tools
    ]  # fmt: skip
    table("Tools", ["group", "tool", *found, "what it is"], rows)
    for name, lock in found.items():
        for left in lock.left_out if lock is not None else ():
            say(f"left out of {name}: {left.tool} ({left.reason})")


def _cell(lock: Lock | None, tools: tuple[str, ...], tool: str) -> str:
    if tool not in tools:
        return "-"
    if lock is None:
        return "wanted"
    if any(left.tool == tool for left in lock.left_out):
        return "left out"
    return "yes" if any(choice.tool == tool for choice in lock.choices) else "wanted"


def _lock_state(shop: Workshop, lock: Lock | None) -> tuple[str, str]:
    if lock is None:
        return "none", "-"
    sizes = {pin.sha256: pin.size for section in lock.sections for pin in section.pins}
    stale = locks.stale_sections(shop.catalog, lock)
    return "stale" if stale else lock.digest[:12], f"{sum(sizes.values()) / 1e6:.0f} MB"


def _images(shop: Workshop) -> dict[str, str]:
    """Variant -> what the engine has of it, or that there is no engine."""
    from dsvm import images

    try:
        rows = images.built(shop.engine.env)
    except DsvmError:
        return dict.fromkeys(shop.catalog.variants, "no engine")
    found: dict[str, str] = {}
    for row in rows:
        variant = row["Repository"].removeprefix("dsvm/")
        if row["Tag"] in ("latest", "unverified") and found.get(variant) != "verified":
            found[variant] = "verified" if row["Tag"] == "latest" else "unverified"
    return found


def show_variant(shop: Workshop, variant: str) -> None:
    """Stages, tools with versions, and what was left out."""
    lock = locks.find(shop.catalog, variant)
    if lock is None:
        one = shop.catalog.variant(variant)
        say(f"{variant}: {one.summary}")
        say(f"base {one.base}, {one.accelerator}, not locked yet; run: invoke lock --variant {variant}")
        say("tools: " + ", ".join(one.tools))
        return
    plan = make_plan(shop.catalog, lock)
    say(f"{variant}: {plan.summary}")
    say(f"base {plan.base.base} ({plan.base_kind}), lock {plan.lock_digest[:12]}\n")
    sections = {section.id: section for section in plan.sections}
    layers = Counter(stage.section for stage in plan.stages if stage.output or stage.name == plan.system)
    rows = []
    for name, stage in {stage.section: stage for stage in plan.stages}.items():
        pins = sections[name].pins
        cells = [
            name,
            stage.parent,
            sections[name].ecosystem,
            str(len(pins)),
            f"{sum(pin.size for pin in pins) / 1e6:.1f}",
        ]
        rows.append([*cells, str(layers[name] or "building only")])
    table("Stages", ["stage", "from", "ecosystem", "packages", "MB", "layers"], rows, right=(3, 4, 5))
    say("")
    rows = [
        [tool.group, tool.name, tool.version, tool.ecosystem, tool.env or "-", f"{tool.license}. {tool.summary}"]
        for tool in sorted(plan.tools, key=lambda tool: (tool.group, tool.name))
    ]
    table("Tools", ["group", "tool", "version", "from", "env", "license, and what it is"], rows)
    for choice in lock.choices:
        for source in choice.passed_over:
            say(f"{choice.tool}: source {source} was not within reach when this was locked")
    for left in plan.left_out:
        say(f"left out: {left.tool} ({left.reason})")


def show_doctor(shop: Workshop, variant: str | None) -> None:
    """Findings about this machine; raises EngineError when something is missing."""
    from dsvm.engine import diagnose

    lock = locks.find(shop.catalog, variant) if variant is not None else None
    findings = diagnose(needed_bytes(lock) if lock is not None else None)
    marks: Mapping[str, str] = {"ok": "ok", "slow": "SLOW", "missing": "MISSING"}
    wide = [max(map(len, column)) for column in (marks.values(), (one.subject for one in findings))]
    for one in findings:
        what = [*one.what.splitlines(), *([f"to mend it: {one.remedy}"] if one.remedy else [])]
        cells = (f"{marks[one.level]:<{wide[0]}}", f"{one.subject:<{wide[1]}}")
        say("  ".join((*cells, f"\n{' ' * (sum(wide) + 4)}".join(what))))
    missing = [one.subject for one in findings if one.level == "missing"]
    if missing:
        raise EngineError(f"missing: {', '.join(missing)}", hint="How to mend it stands above")


def schema_texts() -> dict[str, str]:
    """File name -> text of each JSON Schema."""
    return {name: json.dumps(schema, indent=1, sort_keys=True) + "\n" for name, schema in schemas().items()}


def write_schemas() -> None:
    folder = MANIFESTS / "schema"
    folder.mkdir(exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")
    say(f"{len(schema_texts())} schemas in {folder}")
