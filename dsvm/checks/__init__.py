"""Plan -> testinfra run on the started image -> Report."""

from dsvm.checks.container import ENTRYPOINT, SCRIPTS_INSIDE, check_settings, forget_killed
from dsvm.checks.planned import IMAGE, MACHINE, Case, kernels, places, planned_checks
from dsvm.checks.suite import run_suite, staged_scripts
from dsvm.checks.verification import MANIFESTS, failures, make_report, report_name, summary, verify, write_report
from dsvm.checks.watch import ConsoleWatcher, Watcher

__all__ = [
    "ENTRYPOINT",
    "IMAGE",
    "MACHINE",
    "MANIFESTS",
    "SCRIPTS_INSIDE",
    "Case",
    "ConsoleWatcher",
    "Watcher",
    "check_settings",
    "failures",
    "forget_killed",
    "kernels",
    "make_report",
    "places",
    "planned_checks",
    "report_name",
    "run_suite",
    "staged_scripts",
    "summary",
    "verify",
    "write_report",
]
