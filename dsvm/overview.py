"""Tables for people: what there is, what is in it, what state it is in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from dsvm import compat, ecosystems
from dsvm import lock as locks
from dsvm.catalog import MANIFESTS, Catalog, known_names, schemas, suits
from dsvm.console import paragraph, say, say_marked, table, terminal_width
from dsvm.errors import DsvmError, EngineError, InputError
from dsvm.files import write_whole
from dsvm.model import Accelerator, Format, FrameworkRow, Lock, Row, Tool, Variant
from dsvm.pipeline import Workshop, findings, gate, is_built, needed_bytes
from dsvm.plan import locked_versions, make_plan
from dsvm.platforms import traits
from dsvm.report import image_sections
from dsvm.versions import upstream_version

# The matrix: characters of a cell, so that eight variants fit a terminal of 100, and what stands in one.
CELL = 7
NOT_HERE, WANTED, LEFT_OUT, NO_SOURCE, VM_ONLY = "-", "wanted", "out", "none", "VM only"
OTHER: Mapping[Accelerator, str] = {"cpu": "for GPU", "gpu": "for CPU"}
LEGEND = (
    f"A version: in its lock ({WANTED}: not locked yet). {NO_SOURCE}: no source for this base and accelerator.\n"
    f"{VM_ONLY}: only for formats of virtual machines. {' or '.join(OTHER.values())}: only for such variants.\n"
    f"{LEFT_OUT}: left out, see below. {NOT_HERE}: this variant could have it and does not name it."
)

# of the gate's findings, the worst first, with their colours
LEVELS: Mapping[compat.Level, str] = {"error": "red", "warning": "yellow", "not checked": "dim", "ok": "green"}


def show_list(shop: Workshop) -> None:
    """The variants with their state, then the matrix: every tool in every variant."""
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
    table("Variants", ["variant", "base", "for", "formats", "lock", "download", "image"], rows, wraps=(3,))
    states = {name: tool_states(catalog, catalog.variants[name], lock) for name, lock in found.items()}
    tools = sorted(catalog.tools.values(), key=lambda tool: (tool.group, tool.tool))
    for names, described in _columns(list(found), max(len(tool.tool) for tool in tools)):
        say("")
        heads = ["\n".join(_head(name)) for name in names]
        rows = []
        for group, members in groupby(tools, key=lambda tool: tool.group):
            rows.append([f"{group.replace('-', ' ')}:", *[""] * len(names), *([""] if described else [])])
            rows += [
                [f" {tool.tool}", *(_cell(states[name][tool.tool]) for name in names), *_about(tool, described)]
                for tool in members
            ]
        table("Tools", ["", *heads, *(["\nwhat it is"] if described else [])], rows)
    paragraph(f"\n{LEGEND}")
    for line in (*_left_out_lines(catalog, found), *_ecosystem_lines(catalog)):
        paragraph(line)
    catalog.refuse_broken()


def tool_states(catalog: Catalog, variant: Variant, lock: Lock | None) -> dict[str, str]:
    """Tool -> its state in `variant`: its locked version, as its makers number it, or why it has none."""
    versions = locked_versions(catalog, lock) if lock is not None else {}
    left_out = {left.tool for left in lock.left_out} if lock is not None else set()
    states = {}
    for name, tool in catalog.tools.items():
        named = name in variant.tools
        if named and name in left_out:
            states[name] = LEFT_OUT
        elif why := _out_of_question(catalog, tool, variant):
            states[name] = why
        elif not named:
            states[name] = NOT_HERE
        elif name in versions:
            states[name] = upstream_version(versions[name]).partition("+")[0]
        else:
            states[name] = WANTED
    return states


def _out_of_question(catalog: Catalog, tool: Tool, variant: Variant) -> str | None:
    """Why no image of `variant` can have `tool`, or what it requires, named or not; None when it can."""
    base = catalog.bases[variant.base]
    every = variant.model_copy(update={"formats": get_args(Format)})
    if all(source.when.accelerator not in (None, variant.accelerator) for source in tool.sources):
        return OTHER[variant.accelerator]
    if not locks.applicable(tool, every, base):
        return NO_SOURCE
    others = [_out_of_question(catalog, catalog.tools[name], variant) for name in tool.requires]
    if why := next(filter(None, others), None):
        return why
    if suits(tool.formats, variant) and locks.applicable(tool, variant, base):
        return None
    # whatever docker images cannot have is for virtual machines
    return VM_ONLY if "docker" in variant.formats else LEFT_OUT


def _left_out_lines(catalog: Catalog, found: Mapping[str, Lock | None]) -> Iterator[str]:
    """What is left out and why, one line for all tools and variants for which that is the same."""
    variants: dict[tuple[str, str], list[str]] = {}
    for name, lock in found.items():
        asked = lock.left_out if lock is not None else ()
        others = locks.unsuited(catalog, catalog.variants[name])
        for left in {left.tool: left for left in (*others, *asked)}.values():
            variants.setdefault((left.reason, left.tool), []).append(name)
    tools: dict[tuple[str, str], list[str]] = {}
    for (reason, tool), names in sorted(variants.items()):
        tools.setdefault((", ".join(names), reason), []).append(tool)
    for (where, reason), left_out in tools.items():
        yield f"left out of {where}: {', '.join(left_out)} ({reason})"


def _ecosystem_lines(catalog: Catalog) -> Iterator[str]:
    """Which ecosystems have nothing for a base that takes some of them only."""
    for base in catalog.bases.values():
        variants = sorted(name for name, one in catalog.variants.items() if one.base == base.base)
        others = [name for name in ecosystems.registry() if name not in base.ecosystems]
        if base.ecosystems and others and variants:
            yield (
                f"{', '.join(variants)}: tools come from {' and '.join(base.ecosystems)} alone; "
                f"{', '.join(others)} have nothing for {base.summary}"
            )


def _columns(names: list[str], widest: int) -> Iterator[tuple[list[str], bool]]:
    """The variants in tables that fit the terminal, each with whether there is room to describe the tools."""
    room = terminal_width() - widest - 1
    fit = max(1, room // (CELL + 2))
    for start in range(0, len(names), fit):
        part = names[start : start + fit]
        yield part, room - len(part) * (CELL + 2) >= 30


def _head(name: str) -> tuple[str, str]:
    """A variant's name in two lines, each short enough for a column where that is possible."""
    first, _, second = name.partition("-")
    return (first, second) if second else ("", first)


def _cell(state: str) -> str:
    """A state as it is; of a long version as many of its numbers as fit."""
    while len(state) > CELL and "." in state:
        state = state.rpartition(".")[0]
    return state[:CELL]


def _about(tool: Tool, described: bool) -> list[str]:
    return [tool.summary] if described else []


def _lock_state(shop: Workshop, lock: Lock | None) -> tuple[str, str]:
    if lock is None:
        return "none", "-"
    sizes = {pin.sha256: pin.size for section in lock.sections for pin in section.pins}
    stale = locks.stale_sections(shop.catalog, lock)
    return "stale" if stale else lock.of("docker").digest[:12], f"{sum(sizes.values()) / 1e6:.0f} MB"


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
        paragraph(f"{variant}: {one.summary}")
        say(f"base {one.base}, {one.accelerator}, not locked yet; run: invoke lock --variant {variant}")
        paragraph("tools: " + ", ".join(tool.tool for tool in locks.tools_of(shop.catalog, one)))
        for left in locks.unsuited(shop.catalog, one):
            say(f"left out: {left.tool} ({left.reason})")
        return
    plan = make_plan(shop.catalog, lock)
    paragraph(f"{variant}: {plan.summary}")
    say(f"base {plan.base.base} ({plan.base_kind}), lock {plan.lock_digest[:12]}\n")
    sections = {section.id: section for section in plan.sections}
    inside = {section.id for section in image_sections(plan)}
    layered = [stage.section for stage in plan.stages if stage.output or stage.name == plan.system]
    layers = Counter(layered if traits(plan.base).layered else ())
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
        rows.append([*cells, str(layers[name] or ("-" if name in inside else "only builds"))])
    table("Stages", ["stage", "from", "ecosystem", "packages", "MB", "layers"], rows, right=(3, 4, 5), wraps=(0, 1))
    say("")
    # the group stands on a line of its own: its column is the one that a narrow terminal has no room for
    rows = []
    for group, members in groupby(
        sorted(plan.tools, key=lambda tool: (tool.group, tool.name)), lambda tool: tool.group
    ):
        rows.append([f"{group.replace('-', ' ')}:", *[""] * 4])
        rows += [
            [f" {tool.name}", tool.version, tool.ecosystem, tool.env or "-", f"{tool.license}. {tool.summary}"]
            for tool in members
        ]
    table("Tools", ["tool", "version", "from", "env", "license, and what it is"], rows, wraps=(1,))
    for choice in lock.choices:
        for source in choice.passed_over:
            paragraph(f"{choice.tool}: source {source} was not within reach when this was locked")
        if remark := shop.catalog.tools[choice.tool].sources[choice.source].remark:
            paragraph(f"{choice.tool}: {remark}")
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
        "Kernel modules of the driver",
        ["modules", "packages", "GPUs from", "to"],
        rows.modules,
        lambda row: [row.modules, ", ".join(row.packages), *(f"sm_{sm}" for sm in row.sm)],
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
        "Packages by distribution",
        ["package", "made for"],
        rows.distributions,
        lambda row: [row.package, f"{row.os} {', '.join(row.releases)}"],
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
    shop.catalog.refuse_broken()


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
            say_marked(f"  {finding.level:<11}", LEVELS[finding.level], f"  {finding.what}")
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
    """Findings about this machine, for `variant` or for all; raises EngineError when something is missing.

    Of a variant that comes out as a container too, the container is what has to be possible.
    """
    from dsvm import qemu
    from dsvm.engine import diagnose
    from dsvm.model import DISK_FORMATS

    lock = locks.find(shop.catalog, variant) if variant is not None else None
    formats = set(shop.catalog.variant(variant).formats) if variant is not None else set()
    machines = "docker" not in formats and not formats.isdisjoint(DISK_FORMATS)
    # what is built already needs no disk to be built
    needed = needed_bytes(lock) if lock is not None and not is_built(shop, lock) else None
    keyrings, programs = _keyrings(shop, variant), _programs(shop, variant)
    findings = [*diagnose(needed, keyrings, programs, optional=variant is None), *qemu.diagnose(needed=machines)]
    marks: Mapping[str, str] = {"ok": "ok", "optional": "optional", "slow": "SLOW", "missing": "MISSING"}
    wide = [max(map(len, column)) for column in (marks.values(), (one.subject for one in findings))]
    for one in findings:
        what = [*one.what.splitlines(), *([f"to mend it: {one.remedy}"] if one.remedy else [])]
        cells = (f"{marks[one.level]:<{wide[0]}}", f"{one.subject:<{wide[1]}}")
        say("  ".join((*cells, f"\n{' ' * (sum(wide) + 4)}".join(what))))
    missing = [one.subject for one in findings if one.level == "missing"]
    if missing:
        raise EngineError(f"missing: {', '.join(missing)}", hint="How to mend it stands above")
    if variant is None:
        shop.catalog.refuse_broken()


def _programs(shop: Workshop, variant: str | None) -> dict[str, str]:
    """Program -> what it is for: those that the system packages of `variant`, or of all variants, need."""
    catalog = shop.catalog
    variants = catalog.variants.values() if variant is None else [catalog.variant(variant)]
    names = dict.fromkeys(catalog.bases[one.base].ecosystem for one in variants)
    found = [one for name in names if isinstance(one := ecosystems.registry().get(name), ecosystems.System)]
    return {program: purpose for one in found for program, purpose in one.programs.items()}


def _keyrings(shop: Workshop, variant: str | None) -> dict[str, str]:
    """Path of a keyring -> the bases of `variant`, or of all variants, that need it."""
    catalog = shop.catalog
    variants = catalog.variants.values() if variant is None else [catalog.variant(variant)]
    bases: dict[str, dict[str, None]] = {}
    for base in (catalog.bases[one.base] for one in variants):
        if base.bootstrap is not None and base.bootstrap.keyring is not None:
            bases.setdefault(base.bootstrap.keyring, {})[base.base] = None
    return {path: ", ".join(names) for path, names in bases.items()}


def schema_texts(folders: Sequence[Path] = ()) -> dict[str, str]:
    """File name -> text of each JSON Schema, which knows the names in the project's manifests and in `folders`."""
    found = schemas(known_names([MANIFESTS, *folders]))
    return {name: json.dumps(schema, indent=1, sort_keys=True) + "\n" for name, schema in found.items()}


def write_schemas(folders: Sequence[Path]) -> None:
    """Write the schemas to the latest of the catalog's folders; InputError when there is none such."""
    latest = (MANIFESTS, *folders)[-1]
    if not latest.is_dir():
        raise InputError(f"{latest}: no such folder")
    folder = latest / "schema"
    for name, text in (texts := schema_texts(folders)).items():
        write_whole(folder / name, text)
    say(f"{len(texts)} schemas in {folder}")
