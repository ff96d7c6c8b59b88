"""What users do over a network works with servers that they trust, and with no others."""

from __future__ import annotations

import os
from pathlib import Path

from dsvm.checks.planned import Case
from image.certificates import certificates
from image.harness import Image, fail


def test_network(case: Case, image: Image) -> None:
    assert case.client is not None
    made = certificates(Path(os.environ["DSVM_VERIFY"]))
    faults = image.probe("network.py", case.client.kind, case.client.program, made, timeout=180)
    if faults:
        fail(f"{case.client.program}:", "\n".join(faults))
