"""How apt is told of a repository beside the base's own: its line, its key, and what may come from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from dsvm.ecosystems.protocol import Context
from dsvm.ecosystems.repositories import Untrusted, place_of, roots, signing_key
from dsvm.host import without_user
from dsvm.model import Repository

# How gpgv and sqv, by way of apt, say that a signature is not the wanted key's.
UNTRUSTED = re.compile(r"NO_PUBKEY|EXPKEYSIG|REVKEYSIG|BADSIG|EXPSIG|signature|not signed|Missing key", re.IGNORECASE)
# Fields of a Release file whose values a pin can hold as they are: no comma, no pattern, no regular expression.
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:+/-]*")
STAY = 999  # the priority of versions to stay at: before all that is offered, and no downgrade of what is installed


def source_line(repository: Repository, keyring: Path, context: Context) -> str:
    """The line of a sources.list that names the repository."""
    place = place_of(repository, context)
    options = f"arch={context.base.arch} signed-by={keyring}"
    root = without_user(roots(repository, context)[0])
    return " ".join(("deb", f"[{options}]", f"{root}/", place.suite, *place.components))


def keyring(repository: Repository, folder: Path, context: Context) -> Path:
    """A file with the one key that may sign the repository; fetched, and compared with the manifest.

    Raises OutOfReach when it cannot be had, and Untrusted when it is another one, or no longer valid.
    """
    key = place_of(repository, context).key
    if key is None:
        assert context.base.bootstrap is not None  # noqa: S101 - an apt root has been made from it
        return Path(str(context.base.bootstrap.keyring))
    root = roots(repository, context)[0]
    cert = signing_key(f"repository '{repository.repository}'", key, root, context)
    path = folder / f"{repository.repository}.gpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(cert))
    return path


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


def stay_at(versions: Mapping[str, str]) -> str:
    """apt_preferences(5): these versions before all others, but for those that are installed already."""
    return "".join(
        f"Package: {name}\nPin: version {version}\nPin-Priority: {STAY}\n\n"
        for name, version in sorted(versions.items())
    )


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
