"""A lock for the small catalog beside this file, made without a network: its pins are invented, its form is real."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsvm import lock as locks
from dsvm.catalog import Catalog, load
from dsvm.model import Choice, Lock, Pin, Section

MANIFESTS = Path(__file__).parent / "manifests"
# section -> name -> version
PACKAGES: Mapping[str, Mapping[str, str]] = {
    "base": {"dpkg": "1.21.22", "libc6": "2.36-9+deb12u14"},
    "builder-pypi-pypi": {"uv": "0.13.9"},
    "editor-build-apt": {"make": "4.3-4.1"},
    "editor-url": {"editor-1.2.tar.gz": "1.2"},
    "env-base": {"arrays": "1.4.0", "numpy": "2.4.0"},
    "env-nets": {"ipykernel": "7.0.0", "notebooks": "2.1+special"},
    "runtime-python": {"python3-minimal": "3.11.2-1+b1"},
    "system": {"ca-certificates": "20230311", "libgomp1": "12.2.0-14", "python3-minimal": "3.11.2-1+b1"},
}
EXTRA: Mapping[str, Mapping[str, Any]] = {
    "env-base": {"env": "base"},
    "env-nets": {"env": "nets"},
    "editor-url": {
        "places": {
            "editor-1.2.tar.gz": {
                "to": "/opt/editor",
                "strip": 0,
                "unpack": True,
                "links": {"/usr/local/bin/editor": "/opt/editor/bin/editor"},
            }
        }
    },
}


def catalog() -> Catalog:
    return load(main=MANIFESTS)


def pin(ecosystem: str, name: str, version: str) -> Pin:
    file = {"apt": f"pool/main/{name}_{version}_amd64.deb", "pypi": f"{name}-{version}-py3-none-any.whl"}
    return Pin(
        name=name,
        version=version,
        file=file.get(ecosystem, f"https://example.invalid/{name}"),
        size=1000 + len(name),
        sha256=hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
        registry={"apt": "debian"}.get(ecosystem, ecosystem),
    )


def lock(found: Catalog | None = None) -> Lock:
    """The lock of variant `tiny`."""
    found = found or catalog()
    variant = found.variant("tiny")
    base = found.bases[variant.base]
    choices = tuple(
        Choice(tool=tool.tool, source=locks.applicable(tool, variant, base)[0][0])
        for tool in locks.tools_of(found, variant)
    )
    sections = [
        Section(
            id="base",
            ecosystem=base.ecosystem,
            request={},
            input=locks._base_input(base),
            epoch=1_750_000_000,
            pins=tuple(pin("apt", *one) for one in PACKAGES["base"].items()),
        )
    ]
    for number, want in enumerate(locks.wanted_sections(found, variant, choices)):
        sections.append(
            Section(
                id=want.id,
                ecosystem=want.ecosystem,
                tools=want.tools,
                request=want.as_json(),
                input=want.input(base, found.registries),
                epoch=1_760_000_000 + number,
                pins=tuple(pin(want.ecosystem, *one) for one in PACKAGES[want.id].items()),
                extra=dict(EXTRA.get(want.id, {})),
            )
        )
    return Lock(
        variant="tiny",
        base=base.base,
        base_kind="bootstrap",
        choices=choices,
        sections=tuple(sorted(sections, key=lambda section: section.id)),
    )
