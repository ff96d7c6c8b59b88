"""Locks for the small catalogs beside this file, made without a network: invented pins in a real form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dsvm import lock as locks
from dsvm.catalog import Catalog, applicable, load
from dsvm.ecosystems import bases
from dsvm.lock.requests import input_of_base, wanted_sections
from dsvm.lock.selection import choice_of
from dsvm.model import BaseKind, Lock, Pin, Section

MANIFESTS = Path(__file__).parent / "manifests"
WINDOWS = Path(__file__).parent / "windows"
Packages = Mapping[str, Mapping[str, str]]
# section -> name -> version
PACKAGES: Packages = {
    "base": {"dpkg": "1.21.22", "libc6": "2.36-9+deb12u14"},
    "builder-pypi-pypi": {"uv": "0.13.9"},
    "editor-build-apt": {"make": "4.3-4.1"},
    "editor-url": {"editor-1.2.tar.gz": "1.2"},
    "env-base": {"arrays": "1.4.0", "numpy": "2.4.0"},
    "env-nets": {"ipykernel": "7.0.0", "notebooks": "2.1+special", "pip": "26.0"},
    "runtime-python": {"python3-minimal": "3.11.2-1+b1"},
    "system": {"ca-certificates": "20230311", "libgomp1": "12.2.0-14", "python3-minimal": "3.11.2-1+b1"},
}
# what only machines have, in the same form
MACHINE_PACKAGES: Mapping[str, Mapping[str, str]] = {
    "env-hub": {"hub": "1.0"},
    "machine": {"cloud-init": "22.4", "libpam": "1.5", "linux-image": "6.1"},
}
EXTRA: Mapping[str, Mapping[str, Any]] = {
    "env-base": {"env": "base"},
    "env-hub": {"env": "hub"},
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

WINDOWS_PACKAGES: Packages = {
    "base": {},
    "builder-pypi-pypi": {"uv": "0.13.9"},
    "env-base": {"arrays": "1.4.0", "ipykernel": "7.0.0", "pip": "26.0"},
    "runtime-python": {"Vendor.Python": "3.13.1"},
    "system": {"Vendor.Python": "3.13.1", "Vendor.Runtime": "14.5", "Vendor.Tracker": "2.1"},
}


@cache
def project() -> Catalog:
    """The project's own manifests."""
    return load()


@cache
def catalog() -> Catalog:
    return load(main=MANIFESTS)


@cache
def machine_catalog() -> Catalog:
    """The same with a variant that comes out as a virtual machine too."""
    return load([MANIFESTS.with_name("machine")], main=MANIFESTS)


@cache
def windows_catalog() -> Catalog:
    return load(main=WINDOWS)


# What the manifest of the editor says
EDITOR = {"size": 100, "sha256": "a" * 64}


def pin(ecosystem: str, name: str, version: str) -> Pin:
    file = {"apt": f"pool/main/{name}_{version}_amd64.deb", "pypi": f"{name}-{version}-py3-none-any.whl"}
    found = Pin(
        name=name,
        version=version,
        file=file.get(ecosystem, f"https://example.invalid/{name}"),
        size=1000 + len(name),
        sha256=hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
        registry={"apt": "debian", "winget": "url"}.get(ecosystem, "special" if "+special" in version else ecosystem),
    )
    return found.model_copy(update=EDITOR) if name == "editor-1.2.tar.gz" else found


def lock(found: Catalog | None = None, name: str = "tiny") -> Lock:
    """The lock of a variant; an epoch is that of the same section in all of them."""
    return make(found or catalog(), name, "bootstrap", {**PACKAGES, **MACHINE_PACKAGES}, EXTRA)


def windows_lock() -> Lock:
    """The lock of variant `tiny-windows`."""
    how = {"type": "inno", "inside": "", "arguments": "/S", "success": [0], "reboot": [3010], "files": [], "alias": "x"}
    order = ["Vendor.Runtime", "Vendor.Python", "Vendor.Tracker"]
    installers = {name: {**how, "path": [], "file": f"{name}.exe"} for name in order}
    runtime = {"installers": {"Vendor.Python": installers["Vendor.Python"]}, "order": ["Vendor.Python"]}
    extra: Mapping[str, Mapping[str, Any]] = {
        "builder-pypi-pypi": {"python": r"C:\dsvm\envs\builder-pypi-pypi\Scripts\python.exe"},
        "env-base": {"env": "base", "python": r"C:\dsvm\envs\base\Scripts\python.exe"},
        "runtime-python": runtime,
        "system": {"installers": installers, "order": order},
    }
    return make(windows_catalog(), "tiny-windows", "machine", WINDOWS_PACKAGES, extra)


def make(found: Catalog, name: str, kind: BaseKind, packages: Packages, extra: Mapping[str, Mapping[str, Any]]) -> Lock:
    variant = found.variant(name)
    base = found.bases[variant.base]
    choices = tuple(choice_of(tool, applicable(tool, variant, base)[0][0]) for tool in locks.tools_of(found, variant))
    sections = [
        Section(
            id="base",
            ecosystem=base.ecosystem,
            request=bases.request_of(base, kind),
            input=input_of_base(base),
            epoch=1_750_000_000,
            pins=tuple(pin(base.ecosystem, *one) for one in packages["base"].items()),
        )
    ]
    wanted = sorted(wanted_sections(found, variant, choices), key=lambda one: (bool(one.formats), one.id))
    for number, want in enumerate(wanted):
        sections.append(
            Section(
                id=want.id,
                ecosystem=want.ecosystem,
                tools=want.tools,
                request=want.as_json(),
                input=want.input(base, found.registries),
                epoch=1_760_000_000 + number,
                pins=tuple(pin(want.ecosystem, *one) for one in packages[want.id].items()),
                extra=dict(extra.get(want.id, {})),
                formats=want.formats,
            )
        )
    return Lock(
        variant=name,
        base=base.base,
        base_kind=kind,
        choices=choices,
        sections=tuple(sorted(sections, key=lambda section: section.id)),
    )
