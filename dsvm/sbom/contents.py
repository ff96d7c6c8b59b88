"""A locked variant -> its bill of materials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from packageurl import PackageURL

from dsvm import ecosystems
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.diff import tool_state
from dsvm.ecosystems import Asked, Described, HasPurls, ReadsArtefacts, Request
from dsvm.model import Base, Choice, Format, Lock, LockError, Pin, Section, Tool
from dsvm.plan import in_images, version_of
from dsvm.sbom.bill import Bill, Component, Part, Product
from dsvm.sbom.graph import Graph, reachable
from dsvm.sbom.parts import parts_of
from dsvm.store import Store

BASE_IMAGE = "docker"  # registry of the pins of a base that comes from a registry: manifest, config and layers


@dataclass(frozen=True)
class _Pool:
    """Sections whose packages need each other: all of the system, or one environment."""

    sections: tuple[Section, ...]
    graph: Graph
    # name of a package -> its refs, whatever its artefact says
    named: Mapping[str, Sequence[str]]

    def find(self, names: Sequence[str]) -> set[str]:
        """The refs of what is asked for; those of a package for an extra, NAME[EXTRA], whose artefact says nothing."""
        unsaid = [name.partition("[")[0] for name in names if name not in self.graph.providers]
        return self.graph.resolve(names) | {ref for name in unsaid for ref in self.named.get(name, ())}


def bill_of(
    catalog: Catalog,
    lock: Lock,
    store: Store,
    licenses: Mapping[str, str] | None = None,
    *,
    format: Format | None = None,
) -> Bill:
    """The bill of materials of what a lock makes in `format`: by default a container, or what comes out first.

    What artefacts need is known as far as they are in the store. Raises LockError when the lock's base is no more.
    """
    base = catalog.bases.get(lock.base)
    if base is None:
        raise LockError(
            f"the base '{lock.base}' of {lock.variant}'s lock is in no manifest",
            hint=f"Run: invoke lock --variant {lock.variant}",
        )
    variant = catalog.variant(lock.variant)
    lock = lock.of(format or ("docker" if "docker" in variant.formats else variant.formats[0]))
    sections = [section for section in lock.sections if in_images(section)]
    parts = parts_of(sections, store)
    components = {one.ref: one for section in sections for one in _components(section, base, licenses or {}, parts)}
    roots: dict[str, set[str]] = {choice.tool: set() for choice in lock.choices}
    for pool in _pools(sections, base, store):
        asked = [*_asked(catalog, lock, pool, base)]
        edges = pool.graph.edges(name for _, names in asked for name in names)
        brought: dict[str, set[str]] = {}
        for tool, names in asked:
            refs = pool.find(names)
            roots[tool.tool] |= refs
            for ref in reachable(edges, refs):
                brought.setdefault(ref, set()).add(tool.tool)
        for section in pool.sections:
            refs_of = [_ref(section, pin.plain_name, pin.version) for pin in _packages(section)]
            blind = any(ref not in edges for ref in refs_of)
            for ref in refs_of:
                found = [tool for tool in section.tools if tool in brought.get(ref, ())]
                components[ref] = replace(
                    components[ref],
                    tools=tuple(found or (section.tools if blind else ())),
                    needs=tuple(sorted(edges[ref])) if ref in edges else None,
                )
    return Bill(
        variant=lock.variant,
        summary=variant.summary,
        version=version_of(lock.epoch),
        lock=lock.digest,
        epoch=lock.epoch,
        base=lock.base,
        tools=tuple(sorted((_product(catalog, lock, one, roots[one.tool]) for one in lock.choices), key=_by_ref)),
        components=tuple(sorted(components.values(), key=_by_ref)),
    )


def _by_ref(one: Component | Product) -> str:
    return one.ref


def _ref(section: Section, name: str, version: str) -> str:
    return f"{section.id}/{name}@{version}"


def _packages(section: Section) -> list[Pin]:
    """The pins that are packages: those of a base from a registry are what its image consists of."""
    return [pin for pin in section.pins if pin.registry != BASE_IMAGE]


# --- components --------------------------------------------------------------------------------------------


def _components(
    section: Section, base: Base, licenses: Mapping[str, str], parts: Mapping[str, Sequence[Part]]
) -> Iterator[Component]:
    layers = [pin for pin in section.pins if pin.registry == BASE_IMAGE]
    if layers:
        yield from _of_base_image(section, layers, base)
    for pin in _packages(section):
        env = section.extra.get("env")
        yield Component(
            ref=_ref(section, pin.plain_name, pin.version),
            name=pin.plain_name,
            version=pin.version,
            purl=purl_of(section.ecosystem, pin, base),
            section=section.id,
            ecosystem=section.ecosystem,
            tools=section.tools,
            env=env if isinstance(env, str) else None,
            sha256=pin.sha256,
            size=pin.size,
            registry=pin.registry,
            url=pin.file if pin.file.startswith(("http://", "https://")) else None,
            license=licenses.get(pin.sha256),
            parts=tuple(parts.get(pin.sha256, ())),
        )


def _of_base_image(section: Section, layers: Sequence[Pin], base: Base) -> Iterator[Component]:
    """The image of a registry, and the packages that it says it has: their artefacts are in its layers."""
    manifest = next((pin for pin in layers if pin.name == "manifest"), layers[0])
    repository = manifest.file.partition("@")[0]
    held: Mapping[str, Any] = section.extra.get("packages") or {}
    inside = []
    for name, version in sorted(held.items()):
        pin = Pin(name=name, version=version, file=name, size=0, sha256="0" * 64, registry=BASE_IMAGE)
        inside.append(
            Component(
                ref=_ref(section, name, version),
                name=name,
                version=version,
                purl=purl_of(section.ecosystem, pin, base),
                section=section.id,
                ecosystem=section.ecosystem,
            )
        )
    yield from inside
    yield Component(
        ref=_ref(section, repository, manifest.version),
        name=repository,
        version=manifest.version,
        purl=PackageURL("oci", None, repository.rpartition("/")[2], manifest.version, {"repository_url": repository}),
        section=section.id,
        ecosystem=section.ecosystem,
        sha256=manifest.sha256,
        size=sum(pin.size for pin in layers),
        registry=BASE_IMAGE,
        needs=tuple(sorted(one.ref for one in inside)),
    )


@cache
def _namer(name: str) -> HasPurls | None:
    ecosystem = ecosystems.get(name)
    return ecosystem if isinstance(ecosystem, HasPurls) else None


def purl_of(name: str, pin: Pin, base: Base, *, sure: bool = True) -> PackageURL:
    """The package URL of a pin; a generic one where its ecosystem has no type of its own.

    Without `sure` nothing is known of its artefact.
    """
    namer = _namer(name)
    if namer is not None:
        try:
            return namer.purl(pin, base)
        except ValueError:
            pass
    url = {"download_url": pin.file} if pin.file.startswith(("http://", "https://")) else {}
    digest = {"checksum": f"sha256:{pin.sha256}"} if sure and pin.registry != BASE_IMAGE else {}
    return PackageURL("generic", None, pin.plain_name, pin.version, {**digest, **url})


# --- what needs what ---------------------------------------------------------------------------------------


def _pools(sections: Sequence[Section], base: Base, store: Store) -> Iterator[_Pool]:
    """The system's sections as one pool, and each other section as one of its own."""
    system = tuple(one for one in sections if ecosystems.get(one.ecosystem).placement == "system")
    rest = [(one,) for one in sections if one not in system]
    for members in (system, *rest):
        said: dict[str, Described] = {}
        named: dict[str, list[str]] = {}
        for section in members:
            refs = {pin.name: _ref(section, pin.plain_name, pin.version) for pin in _packages(section)}
            said |= {refs[name]: one for name, one in locks.described(section, base, store).items() if name in refs}
            for pin in _packages(section):
                named.setdefault(pin.plain_name, []).append(refs[pin.name])
        yield _Pool(members, Graph(said), named)


def _asked(catalog: Catalog, lock: Lock, pool: _Pool, base: Base) -> Iterator[tuple[Tool, Sequence[str]]]:
    """Each tool of a pool with what it asks for, called as artefacts offer it."""
    for choice in lock.choices:
        tool = catalog.tools.get(choice.tool)
        if tool is None or choice.source >= len(tool.sources):
            continue
        for name, item in tool.sources[choice.source].requests().items():
            for section in pool.sections:
                if section.ecosystem != name or tool.tool not in section.tools:
                    continue
                ecosystem = ecosystems.get(name)
                if isinstance(ecosystem, ReadsArtefacts):
                    kernel = tool.kernel is not None and not tool.kernel.argv
                    request = Request(section.id, tool.env, (item,), kernel=kernel)
                    yield tool, [*ecosystem.roots(Asked(request, base, catalog.indexes, catalog.repositories))]
                elif ecosystem.placement == "tool":
                    yield tool, [*pool.named]  # the place is its own
                else:
                    yield tool, [ecosystem.package(item)]


def _product(catalog: Catalog, lock: Lock, choice: Choice, needs: set[str]) -> Product:
    tool = catalog.tools.get(choice.tool)
    return Product(
        ref=f"tool/{choice.tool}",
        name=choice.tool,
        version=tool_state(catalog, lock, choice).version,
        summary=tool.summary if tool is not None else "",
        homepage=str(tool.homepage) if tool is not None and tool.homepage else None,
        license=tool.license if tool is not None else None,
        needs=tuple(sorted(needs)),
    )
