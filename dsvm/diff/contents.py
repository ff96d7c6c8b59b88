"""What is in a lock, or in an image, in the one form that is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from dsvm.catalog import Catalog
from dsvm.lock import unsuited
from dsvm.model import Artefact, Choice, Format, Line, Lock, LockError, Pin, Section, Side, ToolState, digest_of
from dsvm.plan import in_images, planned_tool

BASE_ARCHIVE = "the base's archive"


class _ImageTool(BaseModel):
    name: Line
    version: Line
    ecosystem: Line
    env: Line | None = None


class _ImageLeftOut(BaseModel):
    tool: Line
    reason: Line


class _ImageSection(BaseModel):
    ecosystem: Line
    packages: dict[Line, Line]


class ImageManifest(BaseModel):
    """What is compared of an image's /etc/dsvm/manifest.json, which an earlier or a later DSVM may have written."""

    model_config = ConfigDict(extra="ignore")

    variant: Line
    base: Line
    lock: Line
    tools: tuple[_ImageTool, ...]
    left_out: tuple[_ImageLeftOut, ...] = ()
    packages: dict[Line, _ImageSection] = Field(description="section -> what it holds")


@dataclass(frozen=True)
class Contents:
    """One side of a comparison."""

    side: Side
    # (section, package, without a version in its name) -> what there is of it, by version
    packages: Mapping[tuple[str, str], Mapping[str, Artefact]]
    # section -> ecosystem
    sections: Mapping[str, str]
    # the sections whose packages are in images
    inside: frozenset[str]
    tools: Mapping[str, ToolState]
    # tool -> reason
    left_out: Mapping[str, str]
    # section -> what was asked of it -> digest; for a lock alone
    asked: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # what it was read from, where that is a lock
    lock: Lock | None = None
    # digest -> bytes, unpacked, of an image's layers; None where the engine does not tell, or it is no such image
    layers: Mapping[str, int | None] | None = None

    @property
    def is_lock(self) -> bool:
        return self.side.size is not None


def of_lock(catalog: Catalog, lock: Lock, name: str, what: str, *, as_image: Format | None = None) -> Contents:
    """What is in a lock; `as_image`, what an image of that format would say of itself, to be compared with one."""
    left_out = {left.tool: left.reason for left in lock.left_out}
    digest = lock.of(as_image).digest if as_image else lock.digest
    whole = lock
    if as_image:
        lock = lock.of(as_image)
        lock = lock.model_copy(update={"sections": tuple(one for one in lock.sections if in_images(one))})
        if lock.variant in catalog.variants:
            variant = catalog.variants[lock.variant].model_copy(update={"formats": (as_image,)})
            left_out = {left.tool: left.reason for left in unsuited(catalog, variant)} | left_out
    pins = {pin.sha256: pin.size for section in lock.sections for pin in section.pins}
    packages: dict[tuple[str, str], dict[str, Artefact]] = {}
    for section in lock.sections:
        for package, artefact in _artefacts(section):
            packages.setdefault((section.id, package), {})[artefact.version] = artefact
    return Contents(
        side=Side(
            name=name,
            what=what,
            variant=lock.variant,
            base=lock.base,
            base_kind=lock.base_kind,
            lock=digest,
            changed=datetime.fromtimestamp(lock.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            artefacts=len(pins),
            size=sum(pins.values()),
        ),
        packages=packages,
        sections={section.id: section.ecosystem for section in lock.sections},
        inside=frozenset(section.id for section in lock.sections if in_images(section)),
        tools={choice.tool: tool_state(catalog, lock, choice) for choice in lock.choices},
        left_out=left_out,
        asked={section.id: _asked(section) for section in lock.sections},
        lock=whole,
    )


def of_image(manifest: ImageManifest, name: str, what: str, layers: Mapping[str, int | None] | None = None) -> Contents:
    """What an image says that it has."""
    packages: dict[tuple[str, str], dict[str, Artefact]] = {}
    for section, held in manifest.packages.items():
        for package, version in held.packages.items():
            plain = package.removesuffix(f"@{version}")
            packages.setdefault((section, plain), {})[version] = Artefact(section=section, version=version)
    return Contents(
        side=Side(name=name, what=what, variant=manifest.variant, base=manifest.base, lock=manifest.lock),
        packages=packages,
        sections={section: held.ecosystem for section, held in manifest.packages.items()},
        inside=frozenset(manifest.packages),
        tools={
            tool.name: ToolState(version=tool.version, ecosystem=tool.ecosystem, env=tool.env)
            for tool in manifest.tools
        },
        left_out={left.tool: left.reason for left in manifest.left_out},
        layers=layers,
    )


def _artefacts(section: Section) -> list[tuple[str, Artefact]]:
    """Plain name and artefact of every pin; a registry's base says beside its layers which packages they hold."""
    held = section.extra.get("packages") if section.id == "base" else None
    said = [(str(name), Artefact(section=section.id, version=str(one))) for name, one in (held or {}).items()]
    return said + [
        (
            pin.plain_name,
            Artefact(
                section=section.id,
                version=pin.version,
                registry=pin.registry,
                file=pin.file,
                size=pin.size,
                sha256=pin.sha256,
            ),
        )
        for pin in section.pins
    ]


def _asked(section: Section) -> dict[str, str]:
    data = section.model_dump(mode="json", include={"request", "tools", "extra", "formats"})
    return {name: digest_of(value) for name, value in data.items()}


def tool_state(catalog: Catalog, lock: Lock, choice: Choice) -> ToolState:
    """A tool of a lock, as far as the manifests of today know the source that was chosen for it."""
    mine = [section for section in lock.sections if choice.tool in section.tools and in_images(section)]
    tool = catalog.tools.get(choice.tool)
    if tool is not None and lock.variant in catalog.variants and choice.source < len(tool.sources):
        try:
            planned = planned_tool(catalog, lock, tool)
        except LockError:
            planned = None
        if planned is not None:
            places = [*mine, *(section for section in lock.sections if section.id in ("system", "base"))]
            pins = (section.pin(planned.package) for section in places if section.ecosystem == planned.ecosystem)
            pin = next(filter(None, pins), None)
            return ToolState(
                version=planned.version,
                ecosystem=planned.ecosystem,
                env=planned.env,
                registry=_registry(catalog, lock, pin) if pin is not None else None,
                size=pin.size if pin is not None else None,
            )
    # a package of the tool's own name is the tool, as far as anybody can tell
    for section in mine:
        if (pin := section.pin(choice.tool)) is not None:
            env = section.extra.get("env")
            return ToolState(
                version=pin.version,
                ecosystem=section.ecosystem,
                env=env if isinstance(env, str) else None,
                registry=_registry(catalog, lock, pin),
                size=pin.size,
            )
    return ToolState(ecosystem=mine[0].ecosystem if mine else None)


def _registry(catalog: Catalog, lock: Lock, pin: Pin) -> str:
    """Where a pin comes from. All archives of the base are one: what is fixed in one of them goes to another later."""
    base = catalog.bases.get(lock.base)
    suites = base.bootstrap.suites if base is not None and base.bootstrap is not None else ()
    return BASE_ARCHIVE if pin.registry in {suite.partition("/")[0] for suite in suites} else pin.registry
