"""Certificate authorities that programs trust, beyond those of packages."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator

from dsvm.ledger.comparing import Difference
from dsvm.ledger.properties.sight import Sight

CERTIFICATE = re.compile(r"-----BEGIN (?:TRUSTED )?CERTIFICATE-----\s+(.*?)-----END", re.DOTALL)
# what programs read, as Debian and Red Hat have it
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")
JAVA = ("/etc/ssl/certs/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts")
# where packages put what those are made of
PACKAGED = ("/usr/share/ca-certificates/", "/usr/share/pki/ca-trust-source/")
JAVA_MAGIC = 0xFEEDFEED


def authorities(sight: Sight) -> Iterator[Difference]:
    """Authorities in the bundles that no package brings."""
    sources = [path for folder in PACKAGED for path in sight.below(folder) if sight.is_vouched(path)]
    known = {one for path in sources for one in pem(sight.text(path))}
    for path in BUNDLES:
        yield from _foreign(path, pem(sight.text(path)) - known)
    for path in JAVA:
        data = sight.data(path)
        try:
            yield from _foreign(path, java_store(data) - known if data and not sight.is_vouched(path) else set())
        except ValueError as error:
            yield Difference("ca-bundle", path, f"whom Java trusts cannot be read: {error}")


def _foreign(path: str, foreign: set[bytes]) -> Iterator[Difference]:
    if foreign:
        what = f"{len(foreign)} authorities in it are of no package: whoever has them reads what is encrypted"
        yield Difference("ca-bundle", path, what)


def pem(text: str) -> set[bytes]:
    """The certificates in a text; one that is no base64 as it is written."""
    found = set()
    for body in CERTIFICATE.findall(text):
        plain = "".join(body.split())
        try:
            found.add(base64.b64decode(plain, validate=True))
        except (binascii.Error, ValueError):
            found.add(plain.encode())
    return found


def java_store(data: bytes) -> set[bytes]:
    """The certificates of a Java trust store: see scripts/image/pin-java-truststore. Raises ValueError."""
    found = set()
    try:
        magic, version, count = struct.unpack_from(">III", data)
        if magic != JAVA_MAGIC or version != 2:
            raise ValueError("it is no trust store of Java's own form")
        place = 12
        for _ in range(count):
            place = _after_text(data, place + 4) + 8  # kind, alias, time
            place = _after_text(data, place)
            (length,) = struct.unpack_from(">I", data, place)
            place += 4 + length
            found.add(data[place - length : place])
    except struct.error as error:
        raise ValueError(f"it ends too early: {error}") from error
    return found


def _after_text(data: bytes, place: int) -> int:
    (length,) = struct.unpack_from(">H", data, place)
    return place + 2 + int(length)
