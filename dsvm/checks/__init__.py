"""Plan -> testinfra run on the started image -> Report."""

from dsvm.checks.container import ENTRYPOINT, SCRIPTS_INSIDE, check_settings
from dsvm.checks.planned import Case, kernels, places, planned_checks
from dsvm.checks.verification import failures, report_name, summary, verify
from dsvm.checks.watch import ConsoleWatcher, Watcher

__all__ = [
    "ENTRYPOINT",
    "SCRIPTS_INSIDE",
    "Case",
    "ConsoleWatcher",
    "Watcher",
    "check_settings",
    "failures",
    "kernels",
    "places",
    "planned_checks",
    "report_name",
    "summary",
    "verify",
]
