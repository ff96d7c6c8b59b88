"""Python packages in an image, by what each leaves of itself.

https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.utils import canonicalize_name

from dsvm.ecosystems.protocol import Recorded

# .egg-info is what setuptools once left, and Debian's packages still do
RECORDS = re.compile(r".*/[^/]+\.(?:dist-info/METADATA|egg-info(?:/PKG-INFO)?)")


def recorded(data: bytes) -> Iterator[Recorded]:
    """The package that METADATA, or PKG-INFO, is of. Raises ValueError when it names none."""
    from packaging.metadata import parse_email  # slow to load, and most commands read no package

    said, _ = parse_email(data)
    name, version = said.get("name", "").strip(), said.get("version", "").strip()
    if not name or not version:
        raise ValueError("it names no package, or no version")
    words = said.get("license_expression", "") or said.get("license", "")
    yield Recorded(canonicalize_name(name), version, license=words.strip())
