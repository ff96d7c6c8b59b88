"""Verified images and disks go out: signed, published, named, taken back, compared, cleared away."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm import audit as audits
from dsvm import cloud, container
from dsvm import lock as locks
from dsvm import release as releases
from dsvm import report as reports
from dsvm import sbom as bills
from dsvm.model import AlteredError, InputError, LockError
from dsvm.pipeline.auditing import audit, licenses, refuse_forbidden, report, sbom
from dsvm.plan import make_plan
from dsvm.session import Session, need_lock

if TYPE_CHECKING:
    from dsvm.model import answers
    from dsvm.release import (
        Candidate,
        Checked,
        CheckedDisk,
        Claim,
        Doomed,
        Home,
        Keep,
        Published,
        Signer,
        Surroundings,
        Switch,
        Verifier,
    )


def keygen(prefix: Path, kind: str, password_file: Path | None) -> tuple[Path, Path]:
    """Make a key that signs releases: the files of its private and its public half."""
    known = next((one for one in releases.KINDS if one == kind), None)
    if known is None:
        raise InputError(f"--kind: '{kind}' is no kind of key", hint=f"There are: {', '.join(releases.KINDS)}")
    password = releases.read_password(os.environ, password_file)
    if password is None:
        hint = "Set COSIGN_PASSWORD, to nothing where it is to have none, or name a file: --password-file FILE"
        raise InputError("a key has a password, and nobody says it", hint=hint)
    return releases.make_pair(prefix, known, password)


def signer(
    session: Session, *, key: Path | None, password_file: Path | None, keyless: bool, trust_config: Path | None
) -> Signer | None:
    """What signs releases: the private key in a file, or the identity that this runs with; None for neither.

    Raises InputError where one of them is not at hand: now, and not when all else is done.
    """
    if keyless and key is not None:
        raise InputError(
            "--keyless and --key: one of them signs", hint="Without a key an identity does: docs/release.md"
        )
    if trust_config is not None and not keyless:
        raise InputError("--trust-config says whom --keyless signs with, and that is missing")
    if key is not None:
        return releases.KeySigner(releases.read_signing_key(key, releases.read_password(os.environ, password_file)))
    if not keyless:
        return None
    releases.identity_token()
    return releases.IdentitySigner(releases.Signing(releases.Instance.of(trust_config), session.note))


def release(
    session: Session,
    variants: Sequence[str],
    registry: str,
    *,
    channels: Sequence[str],
    alone: bool,
    signer: Signer | None = None,
) -> Published:
    """Publish verified images as one release, signed by `signer`, and have `channels` name it; nothing is built.

    Raises PolicyError for what the policy forbids, RegistryError when the registry fails: no channel has moved then.
    """
    sessions = dict.fromkeys(variants, session)
    return publish_release(home_of(session, registry), sessions, channels=channels, alone=alone, signer=signer)


def publish_release(
    home: Home,
    sessions: Mapping[str, Session],
    *,
    channels: Sequence[str],
    alone: bool = False,
    signer: Signer | None = None,
) -> Published:
    """Publish the images that variants have, each in a session of its own, as one release."""
    around = releases.Surroundings.of(os.environ)
    found = [_candidate(session, variant, around) for variant, session in sessions.items()]
    session = next(iter(sessions.values()))
    seal = releases.Sealer(
        signer, {candidate.variant: claims for candidate, claims in found}, around, channels, note=session.note
    )
    candidates = [candidate for candidate, _ in found]
    return home.publish(candidates, session.engine, channels=channels, alone=alone, seal=seal)


def _candidate(session: Session, variant: str, around: Surroundings) -> tuple[Candidate, Sequence[Claim]]:
    """The verified image of a variant with what is known and to be said of it; nothing that the policy forbids."""
    with session.working_on(variant):
        locked = locks.find(session.catalog, variant)
        if locked is None:
            raise LockError(f"{variant} has no lock", hint=f"Run: invoke lock --variant {variant}")
        plan = make_plan(session.catalog, locked)
        container.need_verified(session, plan)
        session.note(f"release: {variant}: looking into the image")
        audited = audit(session, variant, audits.AuditOptions.of(fail_on=None, advisories=(), image=True))
        refuse_forbidden(audited)
        bill = sbom(session, variant, image=True)
        candidate = releases.candidate_of(session, plan, locked, bill, audited)
        return candidate, releases.claims_of(session, plan, locked, candidate, around)


def release_disk(session: Session, variant: str, format: str, signer: Signer | None = None) -> list[Path]:
    """Write all that belongs to the verified disk of a variant beside it, signed by `signer`; returns these files.

    Raises PolicyError for what the policy forbids.
    """
    known = cloud.disk_format(session, variant, format)
    with session.working_on(variant):
        lock = need_lock(session, variant, locked=True)
        disk = releases.disk_of(session, variant, known, lock)
        audited = audit(session, variant, audits.AuditOptions.of(fail_on=None, advisories=()))
        refuse_forbidden(audited)
        bill = bills.bill_of(session.catalog, lock, session.store, licenses(session, lock), format=known)
        page, *_ = report(session, variant, reports.Asked.of(image=False, advisories=()))
        return releases.release_disk(session, disk, bill, audited, page, signer, releases.Surroundings.of(os.environ))


def promote(
    session: Session, registry: str, to: str, channels: Sequence[str], signer: Signer | None = None
) -> list[Switch]:
    """Have channels name a release that is in the registry, of a day or of another channel; signed by `signer`."""
    around = releases.Surroundings.of(os.environ)
    seal = partial(releases.sign_promotion, signer=signer, around=around, channels=channels) if signer else None
    return home_of(session, registry).promote(to, channels, seal)


def verifier(
    *, keys: Sequence[Path], identity: str | None, issuer: str | None, trust_config: Path | None
) -> Verifier | None:
    """Who is to have signed a release: the owner of one of the keys, or an identity; None for nobody."""
    named = [bool(identity), bool(issuer)]
    if keys and (any(named) or trust_config is not None):
        raise InputError("--key and --identity: a release is verified by one of them at a time")
    if any(named) != all(named) or (trust_config is not None and not any(named)):
        hint = "Who has signed, and the URL of who says so: releasing with --keyless prints both"
        raise InputError("--identity and --issuer: both are wanted", hint=hint)
    if identity and issuer:
        return releases.IdentityVerifier(releases.Instance.of(trust_config), releases.Identity(identity, issuer))
    return releases.KeyVerifier([releases.read_public_key(path) for path in keys]) if keys else None


def verify_release(session: Session, reference: str, verifier: Verifier | None) -> Checked | CheckedDisk:
    """Compare a release, one image, or a disk with what was published and signed; nothing of it is kept."""
    if releases.is_disk(reference):
        return releases.verify_disk(Path(reference), verifier)
    place = releases.Reference.of(reference)
    return releases.verify(releases.Registry(place, session.host), place.what, verifier, note=session.note)


def refuse_altered(checked: Checked | CheckedDisk) -> None:
    """Raise AlteredError when something of a release is not as it was published."""
    if checked.faults:
        hint = "Nothing of it can be relied on: ask those who published it, and go back to a release that is whole"
        raise AlteredError("\n".join(checked.faults), hint=hint)


def rollback(session: Session, variant: str, registry: str, to: str | None, channels: Sequence[str]) -> list[Switch]:
    """Have channels name an older release again, with all its variants; nothing is built or sent."""
    return home_of(session, registry).rollback(variant, to, channels)


def collect(session: Session, registry: str, keep: Keep, *, delete: bool) -> Doomed:
    """What of a registry may go; with `delete` it does."""
    home = home_of(session, registry)
    return home.collect(keep) if delete else home.doomed(keep)


def pull_size(session: Session, old: str, new: str, variant: str | None) -> answers.PullAnswer:
    """What a machine with the image `old` fetches for `new`, by what the registry says of them."""
    return releases.pull_size(old, new, session.host, variant)


def home_of(session: Session, registry: str) -> Home:
    return releases.Home.of(registry, session.host, session.store.root, note=session.note, warn=session.warn)
