"""What an image says of itself: /etc/dsvm/manifest.json."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dsvm.model import Plan, Section


def image_sections(plan: Plan) -> tuple[Section, ...]:
    """The sections whose packages are in the finished image; those that only building needs are not."""
    stages = {stage.name: stage for stage in plan.stages}
    inside = {stage.name for stage in plan.stages if stage.output}
    # The image continues from the system stage, and so from what that started from; a machine comes on top of it.
    for name in (plan.system, *([plan.machine.stage] if plan.machine else [])):
        while name in stages:
            inside.add(name)
            name = stages[name].parent
    named = {"base", *(stage.section for stage in plan.stages if stage.name in inside)}
    return tuple(section for section in plan.sections if section.id in named)


def image_manifest(plan: Plan) -> dict[str, Any]:
    """What stands in /etc/dsvm/manifest.json, for `dsvm-info`, `dsvm-start` and people."""
    return {
        "variant": plan.variant,
        "summary": plan.summary,
        "accelerator": plan.accelerator,
        "base": plan.base.base,
        "lock": plan.lock_digest,
        "created": datetime.fromtimestamp(plan.epoch, UTC).date().isoformat(),
        "tools": [
            {
                **tool.model_dump(
                    mode="json",
                    include={
                        "name",
                        "version",
                        "summary",
                        "homepage",
                        "license",
                        "group",
                        "env",
                        "ecosystem",
                    },
                ),
                "commands": list(tool.commands),
                "kernel": tool.kernel.name if tool.kernel else None,
                **({"notebook": tool.notebook.model_dump(mode="json")} if tool.notebook else {}),
            }
            for tool in plan.tools
        ],
        "services": {name: service.model_dump(mode="json") for name, service in plan.services.items()},
        "left_out": [left_out.model_dump(mode="json") for left_out in plan.left_out],
        "packages": {
            section.id: {
                "ecosystem": section.ecosystem,
                "packages": {pin.name: pin.version for pin in section.pins},
            }
            for section in image_sections(plan)
        },
    }
