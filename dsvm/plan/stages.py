"""Sections of a lock -> the stages of an image, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsvm import ecosystems
from dsvm.ecosystems import Ecosystem
from dsvm.lock import MACHINE
from dsvm.model import Base, Lock, Section, Stage, Step

IMAGE = "image"  # what a machine's stage starts from: the finished container image
# Modification time of what places hold. It is the same for all and for ever: layers of equal pins are equal, however
# long ago each was locked, and BuildKit takes a layer from its cache whatever times are in it, where Julia looks at
# them. Not 1970, which zip cannot express; npm packs its files with this one.
FILE_TIME = 499162500  # 1985-10-26 08:15 UTC


def has_own_place(section: Section) -> bool:
    """Whether the place of a section is one tool's own."""
    return bool(section.tools) and section.id == f"{section.tools[0]}-{section.ecosystem}"


def in_images(section: Section) -> bool:
    """Whether the packages of a section are in an image; what only building needs is not."""
    return section.id in ("base", "system", MACHINE) or section.id.startswith("env-") or has_own_place(section)


@dataclass(frozen=True)
class Placed:
    """A section of a lock, and the ecosystem that installs it."""

    section: Section
    ecosystem: Ecosystem

    @property
    def is_tool(self) -> bool:
        """Whether its place is one tool's own."""
        return has_own_place(self.section)

    @property
    def is_place(self) -> bool:
        """Whether it has a place of its own in an image, beside the system."""
        return self.section.id.startswith("env-") or self.is_tool

    @property
    def title(self) -> str:
        tools = self.section.tools
        return ", ".join(tools[:3]) + (f" and {len(tools) - 3} more" if tools[3:] else "")


def placed(lock: Lock) -> dict[str, Placed]:
    """Id -> section with its ecosystem, in the order of the lock. Raises LockError when one is not here."""
    return {section.id: Placed(section, ecosystems.get(section.ecosystem)) for section in lock.sections}


def layered(base: Base, sections: Mapping[str, Placed], epoch: int) -> tuple[Stage, ...]:
    """Runtimes, then the system, then one stage for each place; what changed longest ago first.

    That order keeps the lower layers of an image the same while the upper ones change. What came later to places is on
    top of all of them. `epoch` is the lock's.
    """
    ground = sections["base"].section.epoch
    stages = [
        stage
        for name, one in sections.items()
        if name.startswith("runtime-")
        for stage in _stages_of(one, base, "base", ground, title=name.replace("-", " ", 1))
    ]
    finish = Step(
        script="finish-system",
        args=("--epoch", str(max(ground, sections["system"].section.epoch))),
        helpers=("clamp-system",),
    )
    (system,) = _stages_of(sections["system"], base, "base", ground, title="system packages")
    stages.append(system.model_copy(update={"steps": (*system.steps, finish)}))
    places = {name: one for name, one in sections.items() if one.is_place}
    below = {name: _runtime_tools(one, list(places.values())) for name, one in places.items()}
    epochs = {name: max(it.section.epoch for it in (one, *below[name])) for name, one in places.items()}
    on_top: list[tuple[int, Stage]] = []
    for name in sorted(places, key=lambda name: (epochs[name], len(below[name]), name)):
        one = places[name]
        parent = "base"
        runtimes = one.ecosystem.runtimes
        if runtimes and f"runtime-{runtimes[0]}" in sections:
            parent = f"runtime-{runtimes[0]}"
        compiled = one.is_tool or one.ecosystem.placement == "image"
        for tool in one.section.tools if compiled else ():
            build = sections.get(f"{tool}-build-{base.ecosystem}")
            if build is not None:
                stages += _stages_of(build, base, parent, ground, title=f"build tools of {tool}")
                parent = build.section.id
        under = {it.section.id for it in below[name]}
        brings = tuple(stage.name for stage in stages if stage.section in under)
        own = _stages_of(one, base, parent, ground, title=one.title, output=True, brings=brings)
        if later := one.section.later:
            on_top.append((later.epoch, own.pop()))
        stages += own
    stages += [stage for _, stage in sorted(on_top, key=lambda one: (one[0], one[1].name))]
    if MACHINE in sections:
        # it lies on top of everything, so it leaves the times of everything alone
        stages += _stages_of(sections[MACHINE], base, IMAGE, epoch, title="what only a machine needs")
    return tuple(stages)


def sequence(base: Base, sections: Mapping[str, Placed]) -> tuple[Stage, ...]:
    """System packages, then each place, one after the other in one system that is what comes out.

    Runtimes are among the system packages; what only building needs is read by the steps, and not installed.
    """
    system = [one for name, one in sections.items() if name == "system"]
    stages: list[Stage] = []
    for one in (*system, *(one for one in sections.values() if one.is_place)):
        name = one.section.id
        stages.append(
            Stage(
                name=name,
                section=name,
                title="system packages" if name == "system" else one.title,
                parent=stages[-1].name if stages else "base",
                steps=(one.ecosystem.install(one.section, base),),
            )
        )
    return tuple(stages)


def _runtime_tools(one: Placed, places: Sequence[Placed]) -> list[Placed]:
    """Those of `places` that hold a tool, with a prefix of its own, that `one` runs on."""
    return [other for other in places if other.is_tool and other.section.tools[0] in one.ecosystem.runtimes]


def _stages_of(
    one: Placed,
    base: Base,
    parent: str,
    ground: int,
    *,
    title: str,
    output: bool = False,
    brings: tuple[str, ...] = (),
) -> list[Stage]:
    """The stages of a section, one for each of its parts.

    `ground` is the epoch of what lies below it, whose files are left alone.
    """
    section = one.section
    timed = section.model_copy(update={"epoch": FILE_TIME if output else max(section.epoch, ground)})
    parts = one.ecosystem.parts(timed)
    steps = [one.ecosystem.install(part, base) for part in parts]
    return [
        Stage(
            name=part.id,
            section=section.id,
            title=title if len(parts) == 1 else f"{title}; {number} of {len(parts)}",
            parent=parent,
            brings=brings,
            steps=(step,),
            output=output,
            unreproducible=step.unreproducible,
        )
        for number, (part, step) in enumerate(zip(parts, steps, strict=True), 1)
    ]
