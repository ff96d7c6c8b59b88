"""Where apt of this host takes packages from, and through which proxies, by its own configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from dsvm.host.config import config_path
from dsvm.host.places import Places, unique
from dsvm.host.urls import clean_url
from dsvm.model import StoreError

# distribution -> architecture ("" is the host's) and a suite that mmdebstrap knows to be that vendor's
BOOTSTRAP_SUITES = {
    "debian": ("", "stable"),
    "debian-security": ("", "stable"),
    "ubuntu": ("amd64", "jammy"),
    "ubuntu-ports": ("arm64", "jammy"),
}


def apt_uris(places: Places) -> tuple[str, ...]:
    """URIs of all binary sources of this host's apt, in apt's order."""
    apt = places.etc / "apt"
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    found: list[str] = []
    for path in files:
        if path.suffix == ".list" and path.is_file():
            found += one_line_uris(path.read_text(encoding="utf-8", errors="replace"))
        elif path.suffix == ".sources" and path.is_file():
            found += deb822_uris(path.read_text(encoding="utf-8", errors="replace"))
    return unique(clean_url(uri) for uri in found if urlsplit(uri).scheme in ("http", "https", "file"))


def bootstrap_mirrors(distribution: str, places: Places) -> tuple[str, ...]:
    """The mirrors that mmdebstrap would write into a new system; it is stopped before it uses them."""
    from dsvm.host.programs import run

    hint = f"Name its mirror in {config_path(places.environ)}:\n  sources:\n    {distribution}: URL"
    if distribution not in BOOTSTRAP_SUITES:
        raise StoreError(f"{distribution}: this host knows no mirror of it", hint=hint)
    architecture, suite = BOOTSTRAP_SUITES[distribution]
    done = run(
        [
            "mmdebstrap",
            "--mode=chrootless",
            "--variant=custom",
            "--format=null",
            *([f"--architecture={architecture}"] if architecture else []),
            '--setup-hook=cat "$1/etc/apt/sources.list"; exit 3',
            suite,
            "/dev/null",
        ],
        timeout=60,
        check=False,
    )
    uris = one_line_uris(done.stdout + "\n" + done.stderr)
    found = unique(clean_url(uri) for uri in uris if clean_url(uri).rpartition("/")[2] == distribution)
    if not found:
        raise StoreError(f"{distribution}: mmdebstrap knows no mirror of it", hint=hint)
    return found


def apt_proxies(places: Places) -> Mapping[str, str]:
    """apt's own proxy options in force, name -> value, for example Acquire::http::Proxy."""
    import shutil

    if shutil.which("apt-config") is None:
        return {}
    from dsvm.host.programs import run

    dump = run(["apt-config", "dump"], env=places.environ, timeout=30, check=False).stdout
    return dict(re.findall(r'^(Acquire::https?::Proxy(?:::\S+)?) "(.+)";$', dump, re.MULTILINE))


def one_line_uris(text: str) -> list[str]:
    """URIs of the `deb` lines of a sources.list."""
    return re.findall(r"^[ \t]*deb[ \t]+(?:\[[^\]\n]*\][ \t]*)?([a-z+]+:[^\s\[]\S*)[ \t]+\S", text, re.MULTILINE)


def deb822_uris(text: str) -> list[str]:
    """URIs of the enabled binary entries of a .sources file."""
    from debian.deb822 import Deb822

    found: list[str] = []
    for entry in Deb822.iter_paragraphs(text.splitlines(), use_apt_pkg=False):
        enabled = str(entry.get("Enabled", "yes")).strip().lower()
        off = enabled in ("no", "false", "0", "off", "without", "disable")
        if not off and "deb" in str(entry.get("Types", "")).split():
            found += str(entry.get("URIs", "")).split()
    return found
