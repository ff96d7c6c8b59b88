"""The words of DSVM as frozen data: manifests in, lock and plan out. No I/O, and nothing of ours imported."""

from dsvm.model.bases import Base, Bootstrap, CloudImages
from dsvm.model.common import (
    DISK_FORMATS,
    MACHINE_FORMATS,
    Accelerator,
    BaseKind,
    Format,
    ImagePath,
    Line,
    Model,
    Platform,
    Sha256,
    canonical_json,
    digest_of,
    is_empty,
    is_none,
    only_machines,
)
from dsvm.model.compatibility import Compat, EndRow, FrameworkRow, GpuRow, ModulesRow, Row
from dsvm.model.lock import Choice, LeftOut, Lock, NoExtra, Pin, Section
from dsvm.model.plan import MachinePart, Plan, PlannedTool, Stage, Step
from dsvm.model.registries import Index, Key, Place, Repository
from dsvm.model.report import CheckResult, Outcome, Report
from dsvm.model.retired import Retired, RetiredTools
from dsvm.model.tools import Check, File, Kernel, Service, Source, Tool, When
from dsvm.model.variants import Variant

__all__ = [
    "DISK_FORMATS",
    "MACHINE_FORMATS",
    "Accelerator",
    "Base",
    "BaseKind",
    "Bootstrap",
    "Check",
    "CheckResult",
    "Choice",
    "CloudImages",
    "Compat",
    "EndRow",
    "File",
    "Format",
    "FrameworkRow",
    "GpuRow",
    "ImagePath",
    "Index",
    "Kernel",
    "Key",
    "LeftOut",
    "Line",
    "Lock",
    "MachinePart",
    "Model",
    "ModulesRow",
    "NoExtra",
    "Outcome",
    "Pin",
    "Place",
    "Plan",
    "PlannedTool",
    "Platform",
    "Report",
    "Repository",
    "Retired",
    "RetiredTools",
    "Row",
    "Section",
    "Service",
    "Sha256",
    "Source",
    "Stage",
    "Step",
    "Tool",
    "Variant",
    "When",
    "canonical_json",
    "digest_of",
    "is_empty",
    "is_none",
    "only_machines",
]
