"""Repositories of system packages beside the base's own: their place, their key, and what may come from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from pysequoia import Cert

from dsvm.ecosystems.protocol import Asked, Context
from dsvm.host import redact
from dsvm.model import Key, LockError, Pin, Place, Repository, StoreError


class OutOfReach(LockError):
    """A repository does not answer: a tool's next source takes over."""


class Untrusted(LockError):
    """A repository is not what its manifest says: nothing takes over, for somebody has to look at it."""


def place_of(repository: Repository, context: Context) -> Place:
    """Where the packages for the context's base are; OutOfReach when the repository has none for it."""
    found = repository.place(context.base.base)
    if found is None:
        raise OutOfReach(f"repository '{repository.repository}' has no place for {context.base.base}")
    return found


def roots(repository: Repository, context: Context) -> Sequence[str]:
    """URIs of the repository for the context's base, the best first, without trailing slashes.

    Raises OutOfReach when this host knows none.
    """
    place, name = place_of(repository, context), repository.repository
    known = context.host.source(name) or ((repository.uri,) if repository.uri else ())
    try:
        known = known or context.host.apt_mirrors(str(repository.archive))
    except StoreError as error:
        raise OutOfReach(f"repository '{name}': {error.message}", hint=error.hint) from error
    return [f"{root.rstrip('/')}/{place.path}".rstrip("/") for root in known]


# --- key ---------------------------------------------------------------------------------------------------


def located(pin: Pin, context: Context) -> list[str]:
    """URLs of a package of a distribution's archive, or of a repository beside it, best first."""
    repository = context.repositories.get(pin.registry)
    places = roots(repository, context) if repository else context.host.apt_mirrors(pin.registry)
    return [f"{place}/{pin.file}" for place in places]


def signing_key(whose: str, key: Key, root: str, context: Context) -> Cert:
    """The one key that may sign what messages call `whose`; fetched, and compared with the manifest.

    `root` is where a URL without a scheme is below. Raises OutOfReach when the key cannot be had, and Untrusted when
    it is another one, or no longer valid.
    """
    unreached: list[str] = []
    strange: list[str] = []
    for url in (urljoin(root.rstrip("/") + "/", one) for one in key.urls):
        data = _read(url, context, unreached)
        if data is None:
            continue
        found = certificates(data)
        cert = found.get(key.fingerprint)
        if cert is None:
            fingerprints = " and ".join(found) or "no OpenPGP key"
            strange.append(f"{redact(url)} holds {fingerprints}")
            continue
        if fault := expired(cert):
            raise Untrusted(
                f"{whose}: its key {key.fingerprint} {fault}",
                hint="Ask its owner for the new key and write its fingerprint into the manifest",
            )
        return cert
    if strange:
        raise Untrusted(
            f"{whose}: its manifest names the key {key.fingerprint}, but {'; '.join(strange)}",
            hint="Do not go on before its owner confirms the new key; then correct the fingerprint in the manifest",
        )
    raise OutOfReach(f"{whose}: its key cannot be had: {'; '.join(unreached)}")


def _read(url: str, context: Context, unreached: list[str]) -> bytes | None:
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return Path(unquote(parts.path)).read_bytes()
        response = context.host.get(url)
    except OSError as error:
        unreached.append(f"{url}: {error.strerror}")
    except StoreError as error:
        unreached.append(error.message)
    else:
        if response.status_code < 400:
            return response.content
        unreached.append(f"{redact(url)}: HTTP {response.status_code}")
    return None


def certificates(data: bytes) -> Mapping[str, Cert]:
    """OpenPGP certificates by fingerprint, in upper case; none where `data` is something else."""
    try:
        found = Cert.split_bytes(data)
    except RuntimeError:  # pysequoia's, for everything that is no certificate
        return {}
    return {cert.fingerprint.upper(): cert for cert in found}


def expired(cert: Cert) -> str | None:
    """Since when the key is no longer valid, in words, or None.

    It is for a clear message only: apt's or dnf's verifier decides, and knows old signatures that this library
    refuses.
    """
    try:
        end = cert.expiration
        revoked = bool(cert.is_revoked)
    except RuntimeError:
        return None
    if revoked:
        return "was revoked"
    return f"expired on {end:%Y-%m-%d}" if end is not None and end < datetime.now(UTC) else None


# --- what may come from it ---------------------------------------------------------------------------------


def named_by(repository: Repository, package: str) -> bool:
    """Whether the manifest says that `package` comes from the repository."""
    return any(fnmatchcase(package, pattern) for pattern in repository.packages)


def out_of_place(section: str, pins: Iterable[Pin], asked: Asked, *, ending: str) -> Iterator[str]:
    """What is wrong with the places of locked system packages, whose files end with `ending`, a line each.

    They come from the base's own archives, or from a repository that a manifest names for them.
    """
    base = asked.base
    own = {suite.partition("/")[0] for suite in base.bootstrap.suites} if base.bootstrap else set()
    named = {*asked.request.repositories, *(base.repositories if section != "base" else ())}
    for pin in pins:
        repository = asked.repositories.get(pin.registry) if pin.registry in named else None
        if repository is None and pin.registry not in own:
            yield f"{pin.name}: it cannot come from '{pin.registry}': {', '.join(sorted(own | named))} can serve it"
        elif repository is not None and not repository.needs and not named_by(repository, pin.name):
            yield f"{pin.name}: repository '{pin.registry}' is not let in for it"
        if "://" in pin.file or not pin.file.endswith(ending):
            yield f"{pin.name}: {pin.file} is no path of a package"
