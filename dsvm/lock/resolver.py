"""A variant's lock: sections that did not change are kept, all others are resolved."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from dsvm import ecosystems
from dsvm.catalog import Catalog, near
from dsvm.ecosystems import Context, GrowsOnTop, Request, bases
from dsvm.lock.conflicts import Unsolved, blame, out_of_reach_now, without
from dsvm.lock.requests import MACHINE, Wanted, input_of_base, wanted_sections
from dsvm.lock.selection import Echo, choose
from dsvm.lock.sharing import Member, can_share, share
from dsvm.lock.sources import tools_of
from dsvm.lock.wishes import Wishes
from dsvm.model import (
    Base,
    DsvmError,
    GoneError,
    InputError,
    Later,
    LeftOut,
    Lock,
    LockError,
    OutOfReachError,
    Pin,
    ProgramError,
    Section,
    StoreError,
)


def resolve(
    catalog: Catalog,
    name: str,
    context: Context,
    *,
    previous: Lock | None = None,
    only: str | None = None,
    upgrade: bool = False,
    leave_out: Sequence[LeftOut] = (),
    keep_base: bool = False,
    anew: Collection[str] = (),
    echo: Echo = lambda line: None,
    wishes: Wishes | None = None,
    stays: Callable[[str, DsvmError], None] | None = None,
) -> Lock:
    """Lock variant `name` without the tools of `leave_out`.

    Sections whose input did not change are kept, unless `upgrade` is set or their ecosystem is `only`. Those that
    `wishes` speaks of come out as it says. A section that cannot be solved stays as it was where its input did not
    change and `stays` takes the reason; without `stays` it is a fault. With `keep_base` the base stays too, also where
    the archive has moved on from it; of the tools `anew` an earlier source than the chosen one is taken, where that
    answers now.

    Raises LockError that names every tool with no source within reach.
    """
    wishes = wishes or Wishes()
    variant = catalog.variant(name)
    base = catalog.bases[variant.base]
    gone = {left.tool: left for left in leave_out}
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
        if section is None or section.input != digest:
            return False
        return wishes.keeps(section) or (not upgrade and ecosystem != only)

    base_input = input_of_base(base)
    status, moved_on = None, False
    if previous is not None and reusable("base", base.ecosystem, base_input):
        base_section, base_kind = kept["base"], previous.base_kind
        try:
            status = _status_again(base, base_section, context)
        except DsvmError:
            if not keep_base:
                raise
        moved_on = keep_base and status is None
    if status is None and not moved_on:
        echo(f"base {base.base}")
        resolved = bases.resolve(context)
        if resolved.passed_over:
            echo(f"base {base.base}: bootstrapped, as {resolved.passed_over}")
        base_kind, status = resolved.kind, resolved.status
        base_section = made_section(
            "base", base.ecosystem, (), resolved.request, base_input, resolved.pins, resolved.extra, kept, now
        )
    context = replace(context, base_status=status or "")
    choices = choose(catalog, variant, context, previous if not upgrade else None, gone, echo, anew)
    wanted = wanted_sections(catalog, variant, choices)
    if not any(want.id == "system" for want in wanted):
        raise InputError(f"{name} has no system packages: neither base '{base.base}' ('system') nor a tool names one")

    def input_of(want: Wanted) -> str:
        return want.input(base, catalog.registries)

    def as_it_was(want: Wanted, below: Sequence[Section]) -> Section | None:
        # system packages are solved against what lies below them: when that moves, they are stale too
        same = all(one.id in kept and kept[one.id].pins == one.pins for one in below)
        if reusable(want.id, want.ecosystem, input_of(want)) and (want.ecosystem != base.ecosystem or same):
            return kept[want.id].model_copy(update={"formats": want.formats})
        return None

    def one(want: Wanted, below: Sequence[Section] = (base_section,), context: Context = context) -> Section:
        if (section := as_it_was(want, below)) is not None:
            return section
        if moved_on and want.ecosystem == base.ecosystem:
            raise LockError(
                f"{want.id}: the archive has moved on from the base that is locked",
                hint=f"Resolve all of it again: invoke lock --variant {name} --upgrade",
            )
        echo(f"{want.id} ({want.ecosystem})")
        return solved(want, wishes.asked(want.request), context)

    def solved(want: Wanted, request: Request, context: Context = context) -> Section:
        pins, extra = ecosystems.get(want.ecosystem).resolve(request, context)
        extra = extra_of(want.id, want.request, extra)
        digest = input_of(want)
        moved.add(want.id)
        made = made_section(want.id, want.ecosystem, want.tools, want.as_json(), digest, pins, extra, kept, now)
        return made.model_copy(update={"formats": want.formats})

    moved: set[str] = set()
    faults: list[DsvmError] = []
    sections = {"base": base_section}

    sources = {choice.tool: (choice, catalog.tools[choice.tool].sources[choice.source]) for choice in choices}

    def take(want: Wanted, result: Callable[[], Section]) -> None:
        unsolved = Unsolved(want.ecosystem, want.tools, want.request, sources)
        try:
            sections[want.id] = result()
        except LockError as error:
            before = kept.get(want.id)
            if stays is not None and before is not None and before.input == input_of(want):
                stays(want.id, error)
                sections[want.id] = before.model_copy(update={"formats": want.formats})
                return
            faults.extend(blame(unsolved, context) or [error])
        except StoreError as error:
            faults.extend(out_of_reach_now(unsolved, context) or [error])

    with ThreadPoolExecutor(4) as pool:
        futures = [(want, pool.submit(one, want)) for want in wanted if want.id != MACHINE]
        for want, future in futures:
            take(want, future.result)
    if not faults:
        sections |= _shared(wanted, sections, moved, wishes, solved, echo)
    for want in wanted if not faults else ():
        if want.id == MACHINE:  # it comes on top of the container's system packages
            below = [section for name, section in sections.items() if name in ("base", "system")]
            if (section := as_it_was(want, below)) is not None:
                sections[want.id] = section
            else:
                take(want, partial(_of_machine, one, want, below, context))
    if faults:
        text = "\n".join(fault.message for fault in faults)
        out_of_reach = [tool for fault in faults if isinstance(fault, OutOfReachError) for tool in fault.tools]
        if not all(isinstance(fault, OutOfReachError) for fault in faults):
            raise LockError(text, hint=next((fault.hint for fault in faults if fault.hint), ""))
        gone_too = catalog.with_dependents(out_of_reach, variant)
        raise OutOfReachError(text, tools=out_of_reach, hint=without(name, gone_too))
    return Lock(
        variant=name,
        base=base.base,
        base_kind=base_kind,
        choices=tuple(choices),
        left_out=tuple(left for _, left in sorted(gone.items())),
        sections=tuple(sorted(sections.values(), key=lambda section: section.id)),
    )


def _shared(
    wanted: Sequence[Wanted],
    sections: Mapping[str, Section],
    moved: Collection[str],
    wishes: Wishes,
    solved: Callable[[Wanted, Request], Section],
    echo: Echo,
) -> dict[str, Section]:
    """The environments that follow others; `sections` has each as it was kept, or those of `moved` solved alone."""
    by_id = {want.id: want for want in wanted if can_share(want.ecosystem)}

    def again(member: Member, prefer: Mapping[str, str], exact: Mapping[str, str]) -> Section:
        asked = wishes.asked(member.request)
        return solved(by_id[member.section.id], replace(asked, prefer=prefer, exact={**exact, **asked.exact}))

    members = [
        Member(
            sections[want.id],
            want.request,
            stays={**wishes.prefer.get(want.id, {}), **wishes.exact.get(want.id, {})},
            moves=want.id in moved,
        )
        for want in by_id.values()
    ]
    return share(members, again, echo)


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
    except (ProgramError, GoneError) as error:
        raise LockError(
            "the archive has moved on from locked system packages, which a machine's come on top of",
            hint=f"Resolve them again: invoke lock --only {context.base.ecosystem}",
        ) from error
    return resolve(want, below, replace(context, base_status="\n".join((context.base_status, *added))))


def extra_of(section_id: str, request: Request, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What an ecosystem leaves for installing; in that of an environment, the environment's name too."""
    return {"env": request.env, **extra} if section_id.startswith("env-") else dict(extra)


def made_section(
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
    """A section whose epoch moves only when its pins do: what did not change is built the same again.

    What comes to packages that all stay is `later`, where the ecosystem can lay it on top of them.
    """
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
    if before is None or before.extra != section.extra:
        return section
    if before.pins == section.pins:
        return section.model_copy(update={"epoch": before.epoch, "later": before.later})
    if isinstance(ecosystems.get(ecosystem), GrowsOnTop) and {*before.pins} < {*section.pins}:
        came = {pin.name for pin in section.pins} - {pin.name for pin in before.pins}
        came |= {*before.later.packages} if before.later else set()
        later = Later(packages=tuple(sorted(came)), epoch=now)
        return section.model_copy(update={"epoch": before.epoch, "later": later})
    return section


def _status_again(base: Base, section: Section, context: Context) -> str | None:
    """The base's package status for a lock whose base is kept; None when the archive has moved on from it."""
    if section.pin("manifest") is not None:
        return bases.resolve(context).status
    try:
        return ecosystems.system(base).status(section.pins, context)
    except (ProgramError, GoneError):
        return None
