"""The night, with what it audits and publishes by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dsvm import audit as audits
from dsvm import nightly as nights
from dsvm.model import Audit, DsvmError, Night
from dsvm.pipeline.auditing import audit
from dsvm.pipeline.releasing import home_of, publish_release
from dsvm.session import Session

if TYPE_CHECKING:
    from dsvm.nightly import NightlyOptions
    from dsvm.release import Signer


def nightly(
    session: Session,
    variants: Sequence[str],
    options: NightlyOptions,
    *,
    advisories: Sequence[str] = (),
    signer: Signer | None = None,
) -> tuple[Night, DsvmError | None]:
    """Lock anew, build, verify, audit and release; what breaks is found and held back. The error of a red night too."""

    def auditor(staged: Session, variant: str, image: bool) -> Audit:
        (found,) = audit(staged, variant, audits.AuditOptions.of(fail_on=None, advisories=advisories, image=image))
        return found

    if options.registry is None:
        return nights.nightly(session, variants, options, auditor, nights.Here(session, variants))
    home = home_of(session, options.registry)
    publish = partial(publish_release, home, channels=options.channels, signer=signer)
    publisher = nights.InRegistry(home, options.channels, publish)
    return nights.nightly(session, variants, options, auditor, publisher)
