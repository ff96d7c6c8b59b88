"""The rows of a page's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from dsvm import ecosystems
from dsvm.checks import IMAGE, planned_checks
from dsvm.model import LEVELS, Audit, CheckResult, Level, Lock, upstream_version
from dsvm.plan import in_images, locked_tools, own_pin
from dsvm.report.contents import LayerRow, PackageRow, Standing, ToolRow
from dsvm.sbom import Bill
from dsvm.session import Session

OTHER = "other"
# Layers that no stage of the plan is
LAYERS = {"base": "operating system", "workdir": "working folder", "files": "small files of tools and DSVM"}


def tool_rows(session: Session, lock: Lock, bill: Bill, standing: Standing) -> Iterator[ToolRow]:
    """The image as a whole, then the tools in the order of the lock, then what is left out."""
    catalog, plan, report = session.catalog, standing.plan, standing.report
    licenses = {one.sha256: one.license for one in bill.components if one.sha256 and one.license}
    planned = Counter(case.tool for case in planned_checks(plan)) if plan is not None else Counter[str]()
    results: dict[str, list[CheckResult]] = {}
    for result in report.results if report is not None else ():
        results.setdefault(result.tool, []).append(result)
    known = locked_tools(catalog, lock.of("docker"))
    rows = [ToolRow(IMAGE, "whole image", summary="what holds whatever is in it")]
    for choice in lock.of("docker").choices:
        tool, manifest = known.get(choice.tool), catalog.tools.get(choice.tool)
        if tool is None or manifest is None:
            rows.append(ToolRow(choice.tool, OTHER))
            continue
        own = own_pin(catalog, lock, manifest)
        rows.append(
            ToolRow(
                name=tool.name,
                group=tool.group.replace("-", " "),
                version=upstream_version(tool.version),
                license=licenses.get(own[1].sha256, "") if own is not None else "",
                size=own[1].size if own is not None else None,
                place=f"{tool.ecosystem}, {tool.env}" if tool.env else tool.ecosystem,
                summary=tool.summary,
                homepage=tool.homepage if tool.homepage.startswith(("https://", "http://")) else "",
            )
        )
    for row in rows:
        yield replace(row, checks=tuple(results.get(row.name, ())), planned=planned[row.name])
    for left in plan.left_out if plan is not None else lock.left_out:
        manifest = catalog.tools.get(left.tool)
        group = manifest.group.replace("-", " ") if manifest is not None else OTHER
        yield ToolRow(left.tool, group, summary=manifest.summary if manifest else "", left_out=left.reason)


def package_rows(bill: Bill, audit: Audit) -> Iterator[PackageRow]:
    said: dict[tuple[str | None, str], list[Level]] = {}
    for finding in audit.findings:
        if finding.waived is None and finding.where.pin:
            said.setdefault((finding.where.section, finding.where.pin), []).append(finding.level)
    for one in sorted(bill.components, key=lambda one: (-(one.size or 0), one.ref)):
        levels = said.get((one.section, f"{one.name} {one.version}"), [])
        yield PackageRow(
            name=one.name,
            version=one.version,
            section=one.section,
            ecosystem=one.ecosystem,
            license=one.license or "",
            size=one.size,
            tools=one.tools,
            level=min(levels, key=LEVELS.index, default=None),
            findings=len(levels),
        )


def layer_rows(lock: Lock, standing: Standing) -> Iterator[LayerRow]:
    """The layers of the built image; of one that is not built those that will hold artefacts, with bytes of these."""
    build, plan = standing.build, standing.plan
    stages = {stage.name: stage for stage in plan.stages} if plan is not None else {}
    titles = LAYERS | {name: stage.title for name, stage in stages.items()}
    if build is not None:
        total = build.built.size or 1
        for one in build.built.layers:
            yield LayerRow(
                name=one.stage,
                title=titles.get(one.stage, ""),
                size=one.size,
                share=100 * one.size / total,
                digest=one.digest,
                unreproducible=one.unreproducible or "",
            )
        return
    parts = {
        part.id: sum(pin.size for pin in part.pins)
        for section in lock.of("docker").sections
        if in_images(section)
        for part in ecosystems.get(section.ecosystem).parts(section)
    }
    order = ["base", *stages]  # as they will lie on each other
    for name, size in sorted(parts.items(), key=lambda one: order.index(one[0]) if one[0] in order else len(order)):
        why = stages[name].unreproducible if name in stages else None
        share = 100 * size / (sum(parts.values()) or 1)
        yield LayerRow(name=name, title=titles.get(name, ""), size=size, share=share, unreproducible=why or "")
