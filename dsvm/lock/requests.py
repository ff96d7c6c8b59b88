"""The sections that a variant wants, and the digest of what each asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from dsvm import ecosystems
from dsvm.catalog import Catalog, near
from dsvm.ecosystems import Request, Runtime
from dsvm.model import MACHINE_FORMATS, Base, Choice, Format, InputError, Tool, Variant, digest_of

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
    said = {**vars(runtime), "item": kind.dump_python(runtime.item, mode="json")}
    return {**said, "repositories": list(runtime.repositories)}  # as it is read again


def input_of_base(base: Base) -> str:
    """The input of the section of the base itself."""
    return digest_of(base.model_dump(mode="json"))


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
            request = Request(section, section, (parsed,), _everywhere(catalog, name), repositories=beside)
            sections.append(Wanted(section, name, (tool.tool,), request))
    for (name, env), parts in envs.items():
        taken = any(one.id == f"env-{env}" for one in sections)
        section = f"env-{env}-{name}" if taken else f"env-{env}"
        request = Request(
            section,
            env,
            tuple(item for _, item, _ in parts),
            tuple(dict.fromkeys((*(index for _, _, index in parts if index), *_everywhere(catalog, name)))),
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
        request = Request(section, section, tuple(items), _everywhere(catalog, other))
        sections.append(Wanted(section, other, (), request))
    if system:
        request = Request(place, place, tuple(system), repositories=tuple(repositories))
        sections.append(Wanted(place, base.ecosystem, tuple(system_tools), request))
    return sorted(sections, key=lambda one: one.id)


def _everywhere(catalog: Catalog, ecosystem: str) -> tuple[str, ...]:
    """Indexes that serve their packages to every environment."""
    in_environments = ecosystems.get(ecosystem).placement == "env"
    return tuple(name for name, one in catalog.indexes.items() if one.everywhere) if in_environments else ()


def _runtimes(catalog: Catalog, choices: Sequence[Choice], tool: str) -> list[Runtime]:
    """What the chosen source of `tool` consists of; nothing when it is not among the choices."""
    return [
        Runtime(tool, name, item, (source.repository,) if source.repository else ())
        for choice in choices
        if choice.tool == tool
        for source in (catalog.tools[tool].sources[choice.source],)
        for name, item in source.requests().items()
    ]
