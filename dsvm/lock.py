"""Resolve a variant, read, write and compare locks."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dsvm import bases, ecosystems
from dsvm.blame import Unsolved, blame, out_of_reach, out_of_reach_now, probe
from dsvm.catalog import Catalog, near, suits
from dsvm.ecosystems import Context, Ecosystem, Request, Runtime
from dsvm.errors import DsvmError, GoneError, InputError, LockError, ProgramError, StoreError
from dsvm.model import (
    MACHINE_FORMATS,
    Base,
    Choice,
    Format,
    LeftOut,
    Lock,
    Pin,
    Section,
    Source,
    Tool,
    Variant,
    digest_of,
    only_machines,
)

Say = Callable[[str], None]
INSIDE = "python"  # the runtime that dsvm-start and dsvm-info are written for
MACHINE = "machine"  # the section of what a virtual machine needs beside what its container image has


@dataclass(frozen=True)
class Wanted:
    """One section before it is resolved."""

    id: str
    ecosystem: str
    tools: tuple[str, ...]
    request: Request
    formats: tuple[Format, ...] = ()

    def as_json(self) -> Any:
        kind = TypeAdapter(ecosystems.get(self.ecosystem).request_type)
        items = [kind.dump_python(item, mode="json") for item in self.request.items]
        extra: dict[str, Any] = {"kernel": True} if self.request.kernel else {}
        if self.request.repositories:
            extra["repositories"] = list(self.request.repositories)
        if self.request.runtimes:
            extra["runtimes"] = [_runtime_as_json(runtime) for runtime in self.request.runtimes]
        if self.request.builds:
            extra["builds"] = list(self.request.builds)
        return {"env": self.request.env, "items": items, "indexes": list(self.request.indexes), **extra}

    def input(self, base: Base, registries: Mapping[str, Any]) -> str:
        runtimes = (name for runtime in self.request.runtimes for name in runtime.repositories)
        names = (*self.request.indexes, *self.request.repositories, *runtimes)
        named = {name: registries[name].model_dump(mode="json") for name in names}
        return digest_of([self.ecosystem, self.as_json(), base.model_dump(mode="json"), named])


def _runtime_as_json(runtime: Runtime) -> Any:
    kind = TypeAdapter(ecosystems.get(runtime.ecosystem).request_type)
    return {**vars(runtime), "item": kind.dump_python(runtime.item, mode="json")}


def lock_path(catalog: Catalog, variant: str) -> Path:
    """Where the lock of `variant` is written: in the latest catalog folder."""
    return catalog.folders[-1] / "locks" / f"{variant}.json"


def find(catalog: Catalog, variant: str) -> Lock | None:
    """The lock of `variant`, or None; LockError when its file is broken."""
    catalog.variant(variant)
    for folder in reversed(catalog.folders):
        path = folder / "locks" / f"{variant}.json"
        if path.is_file():
            return read(path)
    return None


def read(path: Path) -> Lock:
    try:
        return Lock.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        hint = "Restore it from version control, or remove it and run: invoke lock"
        raise LockError(f"{path}: not a lock: {where}: {first['msg']}", hint=hint) from error


def write(path: Path, lock: Lock) -> None:
    """Write a lock in one go: a reader sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
        file.write(to_text(lock))
    part = Path(file.name)
    part.chmod(0o644)
    part.replace(path)


def to_text(lock: Lock) -> str:
    """JSON with one pin on a line, so that a change of one pin is a change of one line."""
    data = lock.model_dump(mode="json", exclude_none=True)
    sections = []
    for section in data.pop("sections"):
        pins = section.pop("pins")
        lines = [json.dumps(pin, sort_keys=True, ensure_ascii=False) for pin in pins]
        sections.append(_with_last(_indented(section), "pins", lines))
    return _with_last(_indented(data), "sections", sections) + "\n"


def _indented(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _with_last(text: str, key: str, items: Sequence[str]) -> str:
    """A JSON object as text with one more entry at its end: a list of JSON texts."""
    listed = ",\n".join(items)
    return text.removesuffix("\n}") + f',\n "{key}": [\n{listed}\n ]\n}}'


# --- what is wanted ----------------------------------------------------------------------------------------


def tools_of(catalog: Catalog, variant: Variant, left_out: Iterable[str] = ()) -> list[Tool]:
    """The tools of `variant` but for those of `left_out`, and those that are only for formats that it lacks."""
    gone = {*left_out, *(left.tool for left in unsuited(catalog, variant))}
    return [catalog.tools[name] for name in dict.fromkeys(variant.tools) if name not in gone]


def unsuited(catalog: Catalog, variant: Variant) -> list[LeftOut]:
    """Tools of `variant` that it cannot have because they, or all their sources, are only for other formats."""
    found = []
    for tool in (catalog.tools[name] for name in dict.fromkeys(variant.tools)):
        formats = tool.formats
        if suits(formats, variant):
            fitting = _fitting(tool, variant, catalog.bases[variant.base])
            lacking = fitting and not any(suits(source.formats, variant) for _, source in fitting)
            formats = tuple(dict.fromkeys(one for _, source in fitting for one in source.formats)) if lacking else ()
        if formats:
            found.append(LeftOut(tool=tool.tool, reason=f"only for {', '.join(formats)}"))
    return found


def _fitting(tool: Tool, variant: Variant, base: Base) -> list[tuple[int, Source]]:
    """The sources of `tool` that suit accelerator and base of `variant`, with their places.

    System packages come from the base's own ecosystem, and a language's packages need its runtime: the base's, or a
    tool of the variant.
    """
    return [
        (place, source)
        for place, source in enumerate(tool.sources)
        if source.when.holds(accelerator=variant.accelerator, base=base)
        and all(_works_on(base, ecosystems.get(name), variant) for name in (*source.requests(), *source.build))
    ]


def _works_on(base: Base, ecosystem: Ecosystem, variant: Variant) -> bool:
    if base.ecosystems and ecosystem.name not in base.ecosystems:
        return False
    if ecosystem.placement == "system" and ecosystem.name != base.ecosystem:
        return False
    return all(runtime in base.runtimes or runtime in variant.tools for runtime in ecosystem.runtimes)


def applicable(tool: Tool, variant: Variant, base: Base) -> list[tuple[int, Source]]:
    """The sources of `tool` that suit `variant` on `base`, with their places."""
    return [(place, source) for place, source in _fitting(tool, variant, base) if suits(source.formats, variant)]


def wanted_sections(catalog: Catalog, variant: Variant, choices: Sequence[Choice]) -> list[Wanted]:
    """Group what the chosen sources ask for by place: one system, one section for each env and each tool.

    What only virtual machines have stands in sections of its own: containers do not change by it.
    """
    sections = _grouped(catalog, variant, choices)
    if set(variant.formats).isdisjoint(MACHINE_FORMATS):
        return sections
    known = {one.id: one for one in sections}
    for one in _grouped(catalog, variant, choices, machine=True):
        if one.id not in known:
            sections.append(replace(one, formats=MACHINE_FORMATS))
        elif one.tools:  # compilers and runtimes are the same for all
            raise InputError(
                f"{', '.join(one.tools)}: only for virtual machines, and {one.id} is in containers too",
                hint="Give it an environment of its own: 'env' in its manifest",
            )
    return sorted(sections, key=lambda one: one.id)


def _grouped(catalog: Catalog, variant: Variant, choices: Sequence[Choice], *, machine: bool = False) -> list[Wanted]:
    """The sections of the tools that containers have; or of those of machines, beside what the container has."""
    base = catalog.bases[variant.base]
    place = MACHINE if machine else "system"
    always = base.machine if machine else base.system
    system: list[Any] = [] if always is None else [ecosystems.parse_request(base.ecosystem, always)]
    system_tools: list[str] = []
    repositories: dict[str, None] = dict.fromkeys(base.repositories)
    envs: dict[tuple[str, str], list[tuple[Tool, Any, str | None]]] = {}
    sections: list[Wanted] = []
    runtimes: dict[str, None] = {}
    builders: dict[tuple[str, str], list[Any]] = {}
    building: dict[str, set[str]] = {}
    for choice in (one for one in choices if bool(one.formats) == machine):
        tool = catalog.tools[choice.tool]
        source = tool.sources[choice.source]
        own = (source.repository,) if source.repository else ()
        for name, asked in source.requests().items():
            ecosystem = ecosystems.get(name)
            runtimes.update(dict.fromkeys(ecosystem.runtimes))
            for other, builder in ecosystem.builders.items():
                kept = builders.setdefault((name, other), [])
                kept.extend([builder] if builder not in kept else [])
            if ecosystem.placement == "system":
                system.append(asked)
                system_tools.append(tool.tool)
                repositories.update(dict.fromkeys(own))
            elif ecosystem.placement in ("env", "image"):
                env = tool.env if ecosystem.placement == "env" else name
                envs.setdefault((name, env), []).append((tool, asked, source.index))
            else:
                section = f"{tool.tool}-{name}"
                sections.append(Wanted(section, name, (tool.tool,), Request(section, tool.env, (asked,))))
        building[tool.tool] = set(source.build)
        for name, raw in source.build.items():
            section = f"{tool.tool}-build-{name}"
            of_system = ecosystems.get(name).placement == "system"
            parsed = ecosystems.parse_request(name, raw)
            beside = tuple(dict.fromkeys((*base.repositories, *own))) if of_system else ()
            request = Request(section, section, (parsed,), repositories=beside)
            sections.append(Wanted(section, name, (tool.tool,), request))
    for (name, env), parts in envs.items():
        taken = any(one.id == f"env-{env}" for one in sections)
        section = f"env-{env}-{name}" if taken else f"env-{env}"
        request = Request(
            section,
            env,
            tuple(item for _, item, _ in parts),
            tuple(dict.fromkeys(index for _, _, index in parts if index)),
            kernel=any(tool.kernel and not tool.kernel.argv for tool, _, _ in parts),
            runtimes=tuple(
                one
                for runtime in ecosystems.get(name).runtimes
                if runtime not in base.runtimes
                for one in _runtimes(catalog, choices, runtime)
            ),
            builds=tuple(f"{tool.tool}-build-{name}" for tool, _, _ in parts if name in building[tool.tool]),
        )
        sections.append(Wanted(section, name, tuple(tool.tool for tool, _, _ in parts), request))
    for runtime in runtimes:
        section = f"runtime-{runtime}"
        if runtime not in base.runtimes:
            found = _runtimes(catalog, choices, runtime)
            if not found:
                known = near(runtime, base.runtimes)
                raise InputError(
                    f"base '{base.base}' has no runtime '{runtime}'{known}, and {variant.variant} is locked without a "
                    "tool of that name",
                    hint=f"Put the tool '{runtime}' into the variant, or leave out what needs it: --leave-out TOOL",
                )
            sections += [
                Wanted(
                    section, one.ecosystem, (), Request(section, section, (one.item,), repositories=one.repositories)
                )
                for one in found
                if ecosystems.get(one.ecosystem).placement == "system"
            ]
            continue
        packages = ecosystems.parse_request(base.ecosystem, base.runtimes[runtime])
        system.insert(0, packages)
        compilers = [base.compilers[runtime]] if runtime in base.compilers else []
        needed = (packages, *(ecosystems.parse_request(base.ecosystem, one) for one in compilers))
        request = Request(section, section, needed, repositories=base.repositories)
        sections.append(Wanted(section, base.ecosystem, (), request))
    if not machine and INSIDE not in runtimes and INSIDE in base.runtimes:
        system.insert(0, ecosystems.parse_request(base.ecosystem, base.runtimes[INSIDE]))
    for (name, other), items in builders.items():
        section = f"builder-{name}-{other}"
        sections.append(Wanted(section, other, (), Request(section, section, tuple(items))))
    if system:
        request = Request(place, place, tuple(system), repositories=tuple(repositories))
        sections.append(Wanted(place, base.ecosystem, tuple(system_tools), request))
    return sorted(sections, key=lambda one: one.id)


def _runtimes(catalog: Catalog, choices: Sequence[Choice], tool: str) -> list[Runtime]:
    """What the chosen source of `tool` consists of; nothing when it is not among the choices."""
    return [
        Runtime(tool, name, item, (source.repository,) if source.repository else ())
        for choice in choices
        if choice.tool == tool
        for source in (catalog.tools[tool].sources[choice.source],)
        for name, item in source.requests().items()
    ]


# --- resolve -----------------------------------------------------------------------------------------------


def stale_sections(catalog: Catalog, lock: Lock) -> list[str]:
    """Sections that no longer fit the manifests, and sections that are missing or too many; [] for a fresh lock."""
    variant = catalog.variant(lock.variant)
    base = catalog.bases[variant.base]
    left_out = {left.tool for left in lock.left_out}
    tools = {tool.tool: tool for tool in tools_of(catalog, variant, left_out)}
    if lock.base != variant.base or set(tools) != {choice.tool for choice in lock.choices}:
        known = {choice.tool for choice in lock.choices}
        choices: list[Choice] = [choice for choice in lock.choices if choice.tool in tools]
        choices += [_first(tool, variant, base) for name, tool in tools.items() if name not in known]
    else:
        choices = list(lock.choices)
    for choice in choices:
        if choice.source not in [place for place, _ in applicable(tools[choice.tool], variant, base)]:
            return [f"source of {choice.tool}"]
    choices = [_choice(tools[choice.tool], choice.source) for choice in choices]
    wanted = {one.id: one.input(base, catalog.registries) for one in wanted_sections(catalog, variant, choices)}
    wanted["base"] = _base_input(base)
    locked = {section.id: section.input for section in lock.sections}
    return sorted(name for name in wanted.keys() | locked.keys() if wanted.get(name) != locked.get(name))


def _base_input(base: Base) -> str:
    return digest_of(base.model_dump(mode="json"))


def _choice(tool: Tool, source: int, passed_over: Sequence[str] = ()) -> Choice:
    """The choice of a source; `formats` says when the tool, or this source, is only for virtual machines."""
    special = only_machines(tool.formats) or only_machines(tool.sources[source].formats)
    formats = MACHINE_FORMATS if special else ()
    return Choice(tool=tool.tool, source=source, passed_over=tuple(passed_over), formats=formats)


def _first(tool: Tool, variant: Variant, base: Base) -> Choice:
    sources = applicable(tool, variant, base)
    if not sources:
        raise LockError(
            f"tool '{tool.tool}' has no source for {variant.base}, {variant.accelerator}",
            hint=f"Take it out of the variant, or: --leave-out {tool.tool}",
        )
    return _choice(tool, sources[0][0])


def resolve(
    catalog: Catalog,
    name: str,
    context: Context,
    *,
    previous: Lock | None = None,
    only: str | None = None,
    upgrade: bool = False,
    leave_out: Mapping[str, str] | None = None,
    say: Say = lambda line: None,
) -> Lock:
    """Lock variant `name`; `leave_out` is tool -> reason.

    Sections whose input did not change are kept, unless `upgrade` is set or their ecosystem is `only`.

    Raises LockError that names every tool with no source within reach.
    """
    variant = catalog.variant(name)
    base = catalog.bases[variant.base]
    gone = dict(leave_out or {})
    if unknown := [tool for tool in gone if tool not in catalog.tools]:
        raise InputError(catalog.no_tool(tool) for tool in unknown)
    if base.ecosystem not in ecosystems.registry():
        known = ", ".join(ecosystems.registry())
        raise LockError(
            f"{name} cannot be locked: base '{base.base}' takes its packages from the ecosystem "
            f"'{base.ecosystem}', which is not here",
            hint=f"Known ecosystems: {known}",
        )
    if only is not None and only not in ecosystems.registry():
        known = ", ".join(ecosystems.registry())
        raise InputError(f"unknown ecosystem '{only}'{near(only, ecosystems.registry())}", hint=f"Known: {known}")
    if not tools_of(catalog, variant, gone):
        raise InputError(f"nothing is left of {name}: all its tools are left out")
    kept = {section.id: section for section in previous.sections} if previous is not None else {}
    now = int(time.time())

    def reusable(section_id: str, ecosystem: str, digest: str) -> bool:
        section = kept.get(section_id)
        return section is not None and not upgrade and ecosystem != only and section.input == digest

    base_input = _base_input(base)
    status = None
    if previous is not None and reusable("base", base.ecosystem, base_input):
        base_section, base_kind = kept["base"], previous.base_kind
        status = _status_again(base, base_section, context)
    if status is None:
        say(f"base {base.base}")
        resolved = bases.resolve(context)
        if resolved.passed_over:
            say(f"base {base.base}: bootstrapped, as {resolved.passed_over}")
        base_kind, status = resolved.kind, resolved.status
        base_section = _section(
            "base", base.ecosystem, (), resolved.request, base_input, resolved.pins, resolved.extra, kept, now
        )
    context = replace(context, base_status=status)
    choices = _choose(catalog, variant, context, previous if not upgrade else None, gone, only, say)
    wanted = wanted_sections(catalog, variant, choices)
    if not any(want.id == "system" for want in wanted):
        raise InputError(f"{name} has no system packages: neither base '{base.base}' ('system') nor a tool names one")

    def one(want: Wanted, below: Sequence[Section] = (base_section,), context: Context = context) -> Section:
        digest = want.input(base, catalog.registries)
        # system packages are solved against what lies below them: when that moves, they are stale too
        same = all(one.id in kept and kept[one.id].pins == one.pins for one in below)
        if reusable(want.id, want.ecosystem, digest) and (want.ecosystem != base.ecosystem or same):
            return kept[want.id].model_copy(update={"formats": want.formats})
        say(f"{want.id} ({want.ecosystem})")
        pins, extra = ecosystems.get(want.ecosystem).resolve(want.request, context)
        extra = {"env": want.request.env, **extra} if want.id.startswith("env-") else dict(extra)
        made = _section(want.id, want.ecosystem, want.tools, want.as_json(), digest, pins, extra, kept, now)
        return made.model_copy(update={"formats": want.formats})

    faults: list[DsvmError] = []
    sections = {"base": base_section}

    sources = {choice.tool: (choice, catalog.tools[choice.tool].sources[choice.source]) for choice in choices}

    def take(want: Wanted, result: Callable[[], Section]) -> None:
        unsolved = Unsolved(want.ecosystem, want.tools, want.request, sources)
        try:
            sections[want.id] = result()
        except LockError as error:
            faults.extend(blame(unsolved, context) or [error])
        except StoreError as error:
            faults.extend(out_of_reach_now(unsolved, context) or [error])

    with ThreadPoolExecutor(4) as pool:
        futures = [(want, pool.submit(one, want)) for want in wanted if want.id != MACHINE]
        for want, future in futures:
            take(want, future.result)
    for want in wanted if not faults else ():
        if want.id == MACHINE:  # it comes on top of the container's system packages
            below = [section for name, section in sections.items() if name in ("base", "system")]
            take(want, partial(_of_machine, one, want, below, context))
    if faults:
        raise LockError("\n".join(fault.message for fault in faults), hint=faults[0].hint)
    return Lock(
        variant=name,
        base=base.base,
        base_kind=base_kind,
        choices=tuple(choices),
        left_out=tuple(LeftOut(tool=tool, reason=reason) for tool, reason in sorted(gone.items())),
        sections=tuple(sorted(sections.values(), key=lambda section: section.id)),
    )


def _of_machine(
    resolve: Callable[[Wanted, Sequence[Section], Context], Section],
    want: Wanted,
    below: Sequence[Section],
    context: Context,
) -> Section:
    """Resolve what a machine needs where the packages of all sections `below`, the base's first, are installed."""
    ecosystem: Any = ecosystems.get(context.base.ecosystem)
    try:
        added = [ecosystem.status(section.pins, context) for section in below if section.id != "base"]
    except ProgramError as error:
        raise LockError(
            "the archive has moved on from locked system packages, which a machine's come on top of",
            hint=f"Resolve them again: invoke lock --only {context.base.ecosystem}",
        ) from error
    return resolve(want, below, replace(context, base_status="\n".join((context.base_status, *added))))


def _section(
    section_id: str,
    ecosystem: str,
    tools: Sequence[str],
    request: Any,
    digest: str,
    pins: Iterable[Pin],
    extra: Mapping[str, Any],
    kept: Mapping[str, Section],
    now: int,
) -> Section:
    """A section whose epoch moves only when its pins do: what did not change is built the same again."""
    section = Section(
        id=section_id,
        ecosystem=ecosystem,
        tools=tuple(tools),
        request=request,
        input=digest,
        epoch=now,
        pins=tuple(pins),
        extra=dict(extra),
    )
    before = kept.get(section_id)
    if before is not None and before.pins == section.pins and before.extra == section.extra:
        return section.model_copy(update={"epoch": before.epoch})
    return section


def _status_again(base: Base, section: Section, context: Context) -> str | None:
    """The base's package status for a lock whose base is kept; None when the archive has moved on from it."""
    if section.pin("manifest") is not None:
        return bases.resolve(context).status
    try:
        return ecosystems.system(base).status(section.pins, context)
    except (ProgramError, GoneError):
        return None


def _choose(
    catalog: Catalog,
    variant: Variant,
    context: Context,
    previous: Lock | None,
    gone: Mapping[str, str],
    only: str | None,
    say: Say,
) -> list[Choice]:
    """The first source of each tool that applies and can be reached; earlier choices stay while they apply."""
    before = {choice.tool: choice for choice in previous.choices} if previous is not None else {}
    faults: list[str] = []
    choices: list[Choice] = []
    for tool in tools_of(catalog, variant, gone):
        sources = applicable(tool, variant, context.base)
        kept = before.get(tool.tool)
        if kept is not None and kept.source in [place for place, _ in sources]:
            choices.append(_choice(tool, kept.source, kept.passed_over))
            continue
        if not sources:
            faults.append(f"tool '{tool.tool}' has no source for {variant.base}, {variant.accelerator}")
            continue
        if lacking := _unchecked(tool, variant, context.base):
            faults.append(f"tool '{tool.tool}' has no {lacking} for {variant.base}, {variant.accelerator}")
            continue
        passed: list[str] = []
        reasons: list[str] = []
        for place, source in sources:
            # the last one is not asked twice: resolving tells whether it can be had
            fault = None if len(sources) == 1 else probe(source, context)
            if fault is None:
                choices.append(_choice(tool, place, passed))
                if source.remark:
                    say(f"{tool.tool}: source {place + 1} ({'+'.join(source.requests())}): {source.remark}")
                break
            say(f"{tool.tool}: source {place + 1} ({'+'.join(source.requests())}) passed over: {fault}")
            # the reason is news for people: it may name a host, which a lock never does
            passed.append("+".join(source.requests()))
            reasons.append(f"{passed[-1]}: {fault}")
        else:
            faults.append(out_of_reach(tool.tool, reasons))
    if faults:
        raise LockError("\n".join(faults), hint="Mend what is named above, or leave tools out: --leave-out TOOL")
    return choices


def _unchecked(tool: Tool, variant: Variant, base: Base) -> str:
    """Which kind of check a tool lacks once those are left off that cannot be made on `base`; "" when none."""
    checks = [check for check in tool.checks if check.holds(accelerator=variant.accelerator, base=base)]
    if not any(check.version is not None for check in checks):
        return "'version' check"
    return "" if any(check.version is None for check in checks) else "working check ('run' or 'script')"


# --- compare -----------------------------------------------------------------------------------------------


def changes(old: Lock | None, new: Lock) -> Iterator[str]:
    """What moved between two locks, a line each: `section: package old -> new`."""
    before = {section.id: section for section in old.sections} if old is not None else {}
    for section in new.sections:
        was = {pin.name: pin.version for pin in before[section.id].pins} if section.id in before else {}
        now = {pin.name: pin.version for pin in section.pins}
        if not was and now:
            yield f"{section.id}: new, {len(now)} packages"
            continue
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) != now.get(name):
                yield f"{section.id}: {name} {was.get(name, '(none)')} -> {now.get(name, '(none)')}"
    yield from (f"{gone}: gone" for gone in sorted(before.keys() - {section.id for section in new.sections}))
