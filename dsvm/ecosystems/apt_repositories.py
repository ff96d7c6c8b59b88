"""Repositories of Debian packages beside the base's own: their place, their key, and what may come from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from pysequoia import Cert

from dsvm.ecosystems import Context
from dsvm.errors import LockError, StoreError
from dsvm.model import Key, Place, Repository
from dsvm.urls import redact

# How gpgv and sqv, by way of apt, say that a signature is not the wanted key's.
UNTRUSTED = re.compile(r"NO_PUBKEY|EXPKEYSIG|REVKEYSIG|BADSIG|EXPSIG|signature|not signed|Missing key", re.IGNORECASE)
# Fields of a Release file whose values a pin can hold as they are: no comma, no pattern, no regular expression.
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:+/-]*")


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

    Raises OutOfReach when this machine knows none.
    """
    place, name = place_of(repository, context), repository.repository
    known = context.machine.source(name) or ((repository.uri,) if repository.uri else ())
    try:
        known = known or context.machine.apt_mirrors(str(repository.archive))
    except StoreError as error:
        raise OutOfReach(f"repository '{name}': {error.message}", hint=error.hint) from error
    return [f"{root.rstrip('/')}/{place.path}".rstrip("/") for root in known]


def source_line(repository: Repository, keyring: Path, context: Context) -> str:
    """The line of a sources.list that names the repository."""
    place = place_of(repository, context)
    options = f"arch={context.base.arch} signed-by={keyring}"
    return " ".join(("deb", f"[{options}]", roots(repository, context)[0] + "/", place.suite, *place.components))


# --- key ---------------------------------------------------------------------------------------------------


def keyring(repository: Repository, folder: Path, context: Context) -> Path:
    """A file with the one key that may sign the repository; fetched, and compared with the manifest.

    Raises OutOfReach when it cannot be had, and Untrusted when it is another one, or no longer valid.
    """
    key = place_of(repository, context).key
    if key is None:
        assert context.base.bootstrap is not None  # noqa: S101 - an apt root has been made from it
        return Path(context.base.bootstrap.keyring)
    cert = _fetched(repository, key, context)
    path = folder / f"{repository.repository}.gpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(cert))
    return path


def _fetched(repository: Repository, key: Key, context: Context) -> Cert:
    root = roots(repository, context)[0] + "/"
    unreached: list[str] = []
    strange: list[str] = []
    for url in (urljoin(root, one) for one in key.urls):
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
                f"repository '{repository.repository}': its key {key.fingerprint} {fault}",
                hint="Ask its owner for the new key and write its fingerprint into the repository's manifest",
            )
        return cert
    name = f"repository '{repository.repository}'"
    if strange:
        raise Untrusted(
            f"{name}: its manifest names the key {key.fingerprint}, but {'; '.join(strange)}",
            hint="Do not go on before its owner confirms the new key; then correct the fingerprint in the manifest",
        )
    raise OutOfReach(f"{name}: its key cannot be had: {'; '.join(unreached)}")


def _read(url: str, context: Context, unreached: list[str]) -> bytes | None:
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return Path(unquote(parts.path)).read_bytes()
        response = context.machine.get(url)
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

    It is for a clear message only: apt's verifier decides, and knows old signatures that this library refuses.
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


def release_pin(repository: Repository, own: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> str:
    """The `Pin:` by which apt tells one list of the repository from `others`.

    By its Release file, else by its host, else, in the same archive, by its component.
    Raises Untrusted when it cannot be told from one of them: nothing would keep its packages apart.
    """
    plain = {key: value for key, value in own.items() if key != "site" and PLAIN.fullmatch(value)}
    fields = {key: value for key, value in plain.items() if key != "c"}
    if fields and not any(fields.items() <= other.items() for other in others):
        return _release(fields)
    host = _host(own)
    if host and host not in map(_host, others):
        return f"origin {host}"
    if fields and "c" in plain and not any(plain.items() <= other.items() for other in others):
        return _release(plain)
    said = ", ".join(f"{key}={value}" for key, value in fields.items()) or "nothing"
    raise Untrusted(
        f"repository '{repository.repository}' says of itself {said}: that does not tell it from the distribution's "
        "own archive, and nothing would keep their packages apart",
        hint="Its Release file needs an Origin, a Label or a Codename of its own, or its manifest a component that the "
        "base does not use",
    )


def _release(fields: Mapping[str, str]) -> str:
    return "release " + ",".join(f"{key}={value}" for key, value in fields.items())


def _host(fields: Mapping[str, str]) -> str:
    return urlsplit(fields.get("site", "")).hostname or ""


def preferences(repository: Repository, pins: Iterable[str]) -> str:
    """apt_preferences(5): the named packages before the base's own, and all others never, or only if need be."""
    return "".join(
        f"Package: {packages}\nPin: {pin}\nPin-Priority: {priority}\n\n"
        for pin in dict.fromkeys(pins)
        for packages, priority in (
            (" ".join(repository.packages), repository.priority),
            ("*", 1 if repository.needs else -1),
        )
    )


def named_by(repository: Repository, package: str) -> bool:
    """Whether the manifest says that `package` comes from the repository."""
    return any(fnmatchcase(package, pattern) for pattern in repository.packages)
