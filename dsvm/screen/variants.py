"""What `invoke list` answers: every variant with its state, and every tool in every variant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, get_args

from dsvm import ecosystems
from dsvm import lock as locks
from dsvm.catalog import Catalog, applicable, suits
from dsvm.container import images
from dsvm.model import Accelerator, DsvmError, Format, Lock, LockError, Tool, Variant, answers, upstream_version
from dsvm.plan import locked_versions
from dsvm.sbom import bill_of, tree_of
from dsvm.screen.forms import faults_of
from dsvm.session import Session

ImageState = Literal["verified", "unverified", "absent", "unknown"]
OTHER: Mapping[Accelerator, answers.ToolPlace] = {"cpu": "gpu_only", "gpu": "cpu_only"}


def list_answer(session: Session, *, sizes: bool = False) -> answers.ListAnswer:
    """Variants, tools and bases of the catalog, and what is locked and built of them; `sizes` of each group too."""
    catalog = session.catalog
    found = {name: locks.find(catalog, name) for name in sorted(catalog.variants)}
    built = _images(session)
    return answers.ListAnswer(
        variants=tuple(
            _listed(
                catalog, catalog.variants[name], lock, built[name], _sizes(session, lock) if sizes and lock else None
            )
            for name, lock in found.items()
        ),
        tools=tuple(
            answers.ListedTool(tool=tool.tool, group=tool.group, summary=tool.summary)
            for tool in sorted(catalog.tools.values(), key=lambda tool: (tool.group, tool.tool))
        ),
        bases=listed_bases(catalog),
        faults=faults_of(catalog),
    )


def _sizes(session: Session, lock: Lock) -> dict[str, dict[str, int]] | None:
    try:
        tree = tree_of(bill_of(session.catalog, lock, session.store), session.catalog, lock)
    except LockError:  # of a base that is no more: the table says of the lock that it is stale
        return None
    return {
        group.name: {tool.name: tool.size for tool in sorted(group.children.values(), key=lambda one: one.name)}
        for group in sorted(tree.children.values(), key=lambda one: one.name)
    }


def _listed(
    catalog: Catalog,
    variant: Variant,
    lock: Lock | None,
    image: ImageState,
    sizes: dict[str, dict[str, int]] | None,
) -> answers.ListedVariant:
    left_out = (*locks.unsuited(catalog, variant), *(lock.left_out if lock is not None else ()))
    return answers.ListedVariant(
        variant=variant.variant,
        base=variant.base,
        accelerator=variant.accelerator,
        formats=variant.formats,
        lock=lock_state(catalog, lock) if lock is not None else None,
        image=image,
        left_out=tuple(one for _, one in sorted({left.tool: left for left in left_out}.items())),
        tools=dict(sorted(tool_states(catalog, variant, lock).items())),
        sizes=sizes,
    )


def lock_state(catalog: Catalog, lock: Lock) -> answers.LockState:
    """Whether a lock fits the manifests, when it changed, and what it holds."""
    sizes = {pin.sha256: pin.size for section in lock.sections for pin in section.pins}
    return answers.LockState(
        state="stale" if locks.stale_sections(catalog, lock) else "current",
        digest=lock.of("docker").digest,
        changed=datetime.fromtimestamp(lock.epoch, UTC) if lock.sections else None,
        size=sum(sizes.values()),
    )


def tool_states(catalog: Catalog, variant: Variant, lock: Lock | None) -> dict[str, answers.ToolState]:
    """Tool -> its state in `variant`, with its locked version or with why it has none."""
    versions = locked_versions(catalog, lock) if lock is not None else {}
    left_out = {left.tool for left in lock.left_out} if lock is not None else set()

    def place(name: str, tool: Tool) -> answers.ToolPlace:
        named = name in variant.tools
        if named and name in left_out:
            return "left_out"
        if why := _out_of_question(catalog, tool, variant):
            return why
        if not named:
            return "not_named"
        return "locked" if name in versions else "wanted"

    places = {name: place(name, tool) for name, tool in catalog.tools.items()}
    return {
        name: answers.ToolState(
            state=state,
            version=upstream_version(versions[name]).partition("+")[0] if state == "locked" else None,
        )
        for name, state in places.items()
    }


def _out_of_question(catalog: Catalog, tool: Tool, variant: Variant) -> answers.ToolPlace | None:
    """Why no image of `variant` can have `tool`, or what it requires, named or not; None when it can."""
    base = catalog.bases[variant.base]
    every = variant.model_copy(update={"formats": get_args(Format)})
    if all(source.when.accelerator not in (None, variant.accelerator) for source in tool.sources):
        return OTHER[variant.accelerator]
    if not applicable(tool, every, base):
        return "no_source"
    others = (_out_of_question(catalog, catalog.tools[name], variant) for name in tool.requires)
    if why := next((why for why in others if why is not None), None):
        return why
    if suits(tool.formats, variant) and applicable(tool, variant, base):
        return None
    # whatever docker images cannot have is for virtual machines
    return "machines_only" if "docker" in variant.formats else "left_out"


def listed_bases(catalog: Catalog) -> tuple[answers.ListedBase, ...]:
    """The bases, with the ecosystems that have something for each."""
    known = tuple(ecosystems.registry())
    return tuple(
        answers.ListedBase(
            base=base.base,
            summary=base.summary,
            variants=tuple(sorted(name for name, one in catalog.variants.items() if one.base == base.base)),
            ecosystems=base.ecosystems or known,
            excluded=tuple(name for name in known if base.ecosystems and name not in base.ecosystems),
        )
        for base in catalog.bases.values()
    )


def _images(session: Session) -> dict[str, ImageState]:
    """Variant -> what the engine has of it."""
    found: dict[str, ImageState] = dict.fromkeys(session.catalog.variants, "absent")
    try:
        names = images.built(session.engine)
    except DsvmError:
        return dict.fromkeys(found, "unknown")
    for name in names:
        repository, _, tag = name.rpartition(":")
        variant = repository.removeprefix("dsvm/")
        if tag in ("latest", "unverified") and found.get(variant) != "verified":
            found[variant] = "verified" if tag == "latest" else "unverified"
    return found
