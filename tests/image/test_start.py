"""dsvm-start does what it promises, in the image itself, with small services of our own beside the image's."""

from __future__ import annotations

from dsvm.checks.planned import Case
from image.harness import Image, fail


def _try(image: Image, what: str) -> None:
    faults = image.probe("start.py", what, str(image.slowness), timeout=120)
    if faults:
        fail("dsvm-start does not do as it promises:", "\n".join(faults))


def test_start_command(case: Case, image: Image) -> None:
    _try(image, "command")


def test_start_refusals(case: Case, image: Image) -> None:
    _try(image, "refusals")


def test_start_services(case: Case, image: Image) -> None:
    _try(image, "services")


def test_start_ends(case: Case, image: Image) -> None:
    _try(image, "ends")


def test_start_orphans(case: Case, image: Image) -> None:
    _try(image, "orphans")
