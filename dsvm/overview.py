"""Tables for people: what there is, what is in it, what state it is in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from dsvm import compat
from dsvm import lock as locks
from dsvm.catalog import MANIFESTS, schemas
from dsvm.console import coloured, say, table
from dsvm.errors import DsvmError, EngineError
from dsvm.model import FrameworkRow, Lock, Row
from dsvm.pipeline import Workshop, findings, gate, needed_bytes
from dsvm.plan import make_plan

# of compat.py's findings, the worst first, with their colours
LEVELS: Mapping[compat.Level, str] = {"error": "red", "warning": "yellow", "not checked": "dim", "ok": "green"}


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


def show_compat(shop: Workshop) -> None:
    """The rows of compat.yaml with their sources, and what the gate says of each variant."""
    rows = shop.catalog.compat
    today = date.today()

    def show(title: str, columns: list[str], members: Sequence[Row], cells: Callable[[Any], list[str]]) -> None:
        table(title, [*columns, "read on", "source"], [[*cells(row), str(row.date), row.source] for row in members])
        say("")

    show(
        "CUDA by major version",
        ["cuda", "driver from", "GPUs from"],
        rows.cuda,
        lambda row: [str(row.cuda), str(row.driver), f"sm_{row.sm}"],
    )
    show(
        "Drivers that toolkits bundle",
        ["toolkit", "linux", "windows"],
        rows.toolkits,
        lambda row: [row.toolkit, row.linux, row.windows or "-"],
    )
    show(
        "GPUs",
        ["gpu", "architecture", "first CUDA", "last driver"],
        rows.gpus,
        lambda row: [row.gpu, f"sm_{row.sm}", row.cuda or "-", str(row.last_driver or "-")],
    )
    show(
        "Architectures in a build",
        ["package", "cuda", "from", "to"],
        rows.builds,
        lambda row: [row.package, row.cuda, *(f"sm_{sm}" for sm in row.sm)],
    )
    show("Frameworks", ["package", "version", "python", "cuda", "cudnn"], rows.frameworks, _framework_cells)
    show(
        "Repositories of vendors",
        ["path", "for"],
        rows.repositories,
        lambda row: [row.path, f"{row.os} {row.release}"],
    )
    show(
        "Ends of life",
        ["product", "release", "support", "extended", "today"],
        rows.ends,
        lambda row: [
            row.product, row.release, str(row.support), str(row.extended or "-"), compat.end_state(rows, row, today)[0]
        ],
    )  # fmt: skip
    table("Sources", ["source", "what it is"], [[name, text] for name, text in rows.sources.items()])
    say("")
    verdicts = []
    for name in sorted(shop.catalog.variants):
        lock = _fresh_lock(shop, name)
        found = findings(shop, name, lock)
        count = Counter(finding.level for finding in found)
        refused = ", ".join(dict.fromkeys(finding.rule for finding in compat.violations(found)))
        verdict = f"refused: {refused}" if refused else "fits"
        verdicts.append(
            [name, "lock" if lock else "promises", verdict, *(str(count[level]) for level in [*LEVELS][1:])]
        )
    table("Variants", ["variant", "judged by", "verdict", *[*LEVELS][1:]], verdicts, right=(3, 4, 5))
    say("\nWhy: invoke compat --explain VARIANT")


def _fresh_lock(shop: Workshop, variant: str) -> Lock | None:
    """The lock of `variant` if it fits the manifests: else it says nothing about what will be in the image."""
    lock = locks.find(shop.catalog, variant)
    return lock if lock is not None and not locks.stale_sections(shop.catalog, lock) else None


def _framework_cells(row: FrameworkRow) -> list[str]:
    span = f"{row.since} to before {row.before}" if row.before else f"from {row.since}"
    cuda = ", ".join([*row.cuda, *(f"[{extra}]" for extra in row.extras)])
    return [row.package, span, row.python or "-", cuda or "none", row.cudnn or "-"]


def show_reasoning(shop: Workshop, variant: str) -> None:
    """Every rule with what it looked at and its verdict; raises what the gate raises."""
    lock = _fresh_lock(shop, variant)
    found = findings(shop, variant, lock)
    one = shop.catalog.variants[variant]
    say(f"{variant}: base {one.base}, {one.accelerator}, judged by {'its lock' if lock else 'what manifests promise'}")
    for rule in compat.RULES:
        name = compat.rule_name(rule)
        say(f"\n{name}: {rule.__doc__}")
        mine = [finding for finding in found if finding.rule == name]
        for finding in mine:
            say(f"  {coloured(f'{finding.level:<11}', LEVELS[finding.level])}  {finding.what}")
            more = (("source", finding.why), ("do", finding.remedy))
            for line in (f"{word}: {text}" for word, text in more if text):
                say(f"{'':<17}{line}")
        if not mine:
            say("  nothing in this variant that it looks at")
    say("")
    shop.warned |= {finding.what for finding in found}
    gate(shop, variant, lock)
    say(f"{variant} fits together")


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
