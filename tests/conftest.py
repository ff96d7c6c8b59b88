"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import signal
from fnmatch import fnmatchcase

import hypothesis
import pytest

# A shell that runs the tests in the background has them ignore Ctrl-C, and with them every program that they start
# and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Tests that continuous integration may skip: a pattern of their ids -> what a good machine can be without.
MAY_BE_SKIPPED = {
    "tests/programs/test_cosign.py::*": "no package of cosign, or one before 3",
    "tests/unit/test_qemu.py::test_kvm_is_where_firmware_starts_under_it*": "the machine has no /dev/kvm",
    "tests/programs/test_archive.py::test_a_stage_begins_with_what_others_hand_over_*": "/tmp lies on an overlay",
    "tests/programs/test_checks.py::test_the_driver_is_not_exercised_without_a_gpu": "the machine has a GPU",
}


def pytest_configure(config: pytest.Config) -> None:
    # workers of xdist report to the process that started them
    if os.environ.get("DSVM_FORBID_SKIPS") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ForbidSkips())


class ForbidSkips:
    """Fails a run that skips anything but MAY_BE_SKIPPED: a test that never runs would go unnoticed."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.skipped: dict[str, str] = {}  # id of a test or a module -> reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        self.files.add(report.nodeid.partition("::")[0])
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped[report.nodeid] = reason.removeprefix("Skipped: ")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._forbidden() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name, reason in self._forbidden().items():
            terminalreporter.line(f"may not be skipped (MAY_BE_SKIPPED, tests/conftest.py): {name}: {reason}", red=True)
        for pattern in self._idle():
            terminalreporter.line(f"may be skipped, and was not (MAY_BE_SKIPPED, tests/conftest.py): {pattern}")

    def _forbidden(self) -> dict[str, str]:
        return {
            name: reason
            for name, reason in sorted(self.skipped.items())
            if not any(fnmatchcase(name, pattern) for pattern in MAY_BE_SKIPPED)
        }

    def _idle(self) -> list[str]:
        """Patterns of files that took part, for which nothing was skipped."""
        return [
            pattern
            for pattern in MAY_BE_SKIPPED
            if pattern.partition("::")[0] in self.files and not any(fnmatchcase(name, pattern) for name in self.skipped)
        ]


def pytest_collection_finish() -> None:
    """What was collected stays until the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
