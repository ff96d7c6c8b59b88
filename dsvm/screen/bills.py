"""Bills of materials, to standard output or a file."""

from __future__ import annotations

from pathlib import Path

from dsvm.host import write_whole
from dsvm.sbom import OTHERS, UNLOCKED, Bill, to_cyclonedx, to_spdx
from dsvm.screen.console import document, echo, warn

SHOWN = 20  # names in one warning
BILL_FORMATS = {"cyclonedx": "CycloneDX 1.6", "spdx": "SPDX 2.3"}


def show_bill(bill: Bill, format: str, output: str | None) -> None:
    """Print it in one of BILL_FORMATS, or write it to the file `output`."""
    if bill.unknown:
        warn(
            f"what {bill.unknown} of {len(bill.components)} components need is unknown: their artefacts are not in the "
            f"store (invoke fetch --variant {bill.variant}), or say nothing of it"
        )
    for what, found in (
        ("in the lock and not in the image", bill.missing),
        ("in the image and not in the lock", bill.with_evidence(UNLOCKED)),
        ("in the image with other files than the locked artefact has", bill.with_evidence(OTHERS)),
        ("records of packages that tell nothing", bill.unread),
    ):
        if found:
            warn("\n".join([f"{len(found)} {what}:", *(f"  {one}" for one in found[:SHOWN])]))
    text = to_spdx(bill) if format == "spdx" else to_cyclonedx(bill)
    if output is None:
        document(text)
    else:
        write_whole(Path(output), text)
        echo(f"{BILL_FORMATS[format]}, {len(bill.components)} components: {output}")
